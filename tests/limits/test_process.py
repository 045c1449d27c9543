"""The limiter of one process: it never waits, and forgets who has left."""

from __future__ import annotations

import pytest

from apps.limits.limiter import Limits
from apps.limits.process import ProcessLimiter
from apps.limits.streams import StreamSlots
from tests.limits.stores import Clock, admitted, refused_for_s, taken


def limiter_of(clock: Clock, **limits: float) -> ProcessLimiter:
    return ProcessLimiter(
        Limits(rate=int(limits.get("rate", 3)), window_s=limits.get("window_s", 10), streams=5),
        StreamSlots(10_000),
        clock,
    )


def test_no_step_waits(clock: Clock) -> None:
    """A request is admitted before anything else runs on the event loop."""
    limiter = limiter_of(clock)
    for step in (limiter.admit(1), limiter.look(1), limiter.aclose()):
        with pytest.raises(StopIteration):
            step.send(None)


async def test_no_more_is_told_than_the_window(clock: Clock) -> None:
    """Times near 1024, where the sum of a time and a window is rounded more than the time is."""
    limiter = limiter_of(clock, rate=1, window_s=60)
    for user_id in range(100):
        clock.now_s = 1000 + user_id * 0.1234567
        assert (await limiter.admit(user_id)).window.reset_s == 60
        assert await refused_for_s(limiter, user_id) == 60


class TestMemory:
    async def test_users_who_left_are_forgotten(self, clock: Clock) -> None:
        limiter = limiter_of(clock)
        for user_id in range(5_000):
            clock.now_s = 1000 + user_id / 10
            await admitted(limiter, user_id)
        # 100 of them asked within the last window; some more are waiting to be looked at.
        assert len(limiter._windows._taken) <= 250
        assert not limiter._running

    async def test_a_crowd_that_left_is_forgotten_as_one_stays(self, clock: Clock) -> None:
        limiter = limiter_of(clock)
        for user_id in range(1_000):
            await admitted(limiter, user_id)
        for step in range(1_100):
            clock.now_s = 1020 + step / 100
            await limiter.look(1)
        assert len(limiter._windows._taken) <= 2

    async def test_users_who_are_there_are_not_forgotten(self, clock: Clock) -> None:
        limiter = limiter_of(clock, rate=1)
        for user_id in range(200):
            await taken(limiter, user_id)
        clock.now_s += 9
        for user_id in range(200):
            assert not await admitted(limiter, user_id)

    async def test_a_flood_of_one_user_keeps_no_more_than_the_limit(self, clock: Clock) -> None:
        limiter = limiter_of(clock, rate=5)
        for _ in range(2_000):
            clock.now_s += 0.01
            await admitted(limiter, 1)
        assert len(next(iter(limiter._windows._taken.values()))) <= 5
