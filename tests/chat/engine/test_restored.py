"""Logs made anew of rows: readers of one completion share one, and users cannot fill the process with them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from apps.chat.engine.log_memory import MemoryLog
from apps.chat.engine.restored import RESTORED_S, RestoredLogs
from apps.llm.errors import RateLimited, ServiceUnavailable

MAL, ANN = 1, 2
BOUND = 100_000


def log_of(size_bytes: int) -> MemoryLog:
    log = MemoryLog()
    log.append(b"x" * size_bytes)
    log.close(b"")
    return log


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def restored(clock: Clock) -> RestoredLogs:
    return RestoredLogs(clock, most_bytes=BOUND, most_bytes_per_user=BOUND // 2)


def test_readers_of_one_completion_share_its_log(restored):
    first, _ = restored.follow("a", MAL, log_of(20_000))
    for _ in range(100):
        another, _ = restored.follow("a", MAL, log_of(20_000))
        assert another is first
    assert restored.find("a") is first
    assert restored.size_bytes < 30_000


def test_it_stays_for_a_while_after_the_last_reader(restored, clock):
    log, left = restored.follow("a", MAL, log_of(10))
    _, left_too = restored.follow("a", MAL, log_of(10))
    left()
    clock.now += RESTORED_S
    restored.expire()
    assert restored.find("a") is log
    left_too()
    clock.now += RESTORED_S - 1
    restored.expire()
    assert restored.follow("a", MAL, log_of(10))[0] is log
    clock.now += RESTORED_S
    restored.expire()
    assert restored.find("a") is log


def test_what_nobody_reads_any_more_goes(restored, clock):
    for name in "ab":
        restored.follow(name, MAL, log_of(10))[1]()
        clock.now += 1
    clock.now += RESTORED_S - 2
    restored.expire()
    assert (restored.find("a"), len(restored)) == (None, 1)
    clock.now += 1
    restored.expire()
    assert (len(restored), restored.size_bytes) == (0, 0)


def test_a_user_reads_so_much_at_once(restored):
    _, left = restored.follow("a", MAL, log_of(20_000))
    restored.follow("b", MAL, log_of(20_000))
    with pytest.raises(RateLimited) as caught:
        restored.follow("c", MAL, log_of(20_000))
    assert caught.value.retry_after_s
    # Another user's bound is their own, and what is read already may be read by more.
    restored.follow("d", ANN, log_of(20_000))
    restored.follow("b", MAL, log_of(20_000))
    left()
    restored.follow("c", MAL, log_of(20_000))


def test_one_log_is_never_too_large_for_a_user_who_reads_nothing_else(restored):
    restored.follow("a", MAL, log_of(60_000))


def test_what_is_unread_makes_room_and_what_is_read_does_not(restored):
    for name in "abcd":
        restored.follow(name, MAL, log_of(20_000))[1]()
    assert len(restored) == 4
    leave = fill(restored, user_ids=range(10, 14))
    assert restored.size_bytes <= BOUND
    assert len(restored) == 4
    assert restored.find("d") is None
    with pytest.raises(ServiceUnavailable):
        restored.follow("e", ANN, log_of(20_000))
    leave[0]()
    restored.follow("e", ANN, log_of(20_000))


def test_small_ones_are_bounded_too(restored):
    for number in range(1_000):
        restored.follow(str(number), MAL, log_of(0))[1]()
    assert restored.size_bytes <= BOUND
    assert len(restored) < BOUND / 2_000


def fill(restored: RestoredLogs, user_ids: range) -> list[Callable[[], None]]:
    return [restored.follow(f"of {user_id}", user_id, log_of(20_000))[1] for user_id in user_ids]
