from __future__ import annotations

import threading
import uuid

from apps.accounts.memory import MOST_REMEMBERED, REMEMBERED_S, TokenMemory
from tests.accounts.conftest import Clock

FAR = 10**12


def memory_with(clock, **options):
    return TokenMemory(clock=clock, wall_clock=lambda: 0.0, **options)


def test_the_promise_of_five_seconds_leaves_room_for_the_query():
    assert REMEMBERED_S <= 4
    assert MOST_REMEMBERED == 10_000


def test_remembers_for_its_lifetime_from_the_moment_of_asking():
    clock = Clock()
    memory = memory_with(clock)
    asked_at = memory.now()
    clock.now += 1
    memory.remember("token", "ada", asked_at=asked_at, expires_at_s=FAR)
    clock.now += 2.9
    assert memory.recall("token") == "ada"
    clock.now += 0.1
    assert memory.recall("token") is None


def test_never_outlives_the_token():
    wall = Clock()
    memory: TokenMemory[str] = TokenMemory(clock=Clock(), wall_clock=wall)
    memory.remember("token", "ada", asked_at=memory.now(), expires_at_s=1_002)
    wall.now = 1_001.99
    assert memory.recall("token") == "ada"
    wall.now = 1_002
    assert memory.recall("token") is None


def test_at_the_bound_the_oldest_goes():
    memory = memory_with(Clock(), most=3)
    for name in "abcd":
        memory.remember(name, name, asked_at=memory.now(), expires_at_s=FAR)
    assert [memory.recall(name) for name in "abcd"] == [None, "b", "c", "d"]
    memory.remember("b", "b again", asked_at=memory.now(), expires_at_s=FAR)
    memory.remember("e", "e", asked_at=memory.now(), expires_at_s=FAR)
    assert [memory.recall(name) for name in "bcde"] == ["b again", None, "d", "e"]
    assert len(memory) == 3


def test_the_forgotten_leave_no_entries():
    clock = Clock()
    memory = memory_with(clock)
    for name in "abc":
        memory.remember(name, name, asked_at=memory.now(), expires_at_s=FAR)
    clock.now += 5
    memory.remember("d", "d", asked_at=memory.now(), expires_at_s=FAR)
    assert len(memory) == 1


def test_an_ended_family_is_asked_for_again():
    clock = Clock()
    memory = memory_with(clock)
    ended, other = uuid.uuid4(), uuid.uuid4()
    memory.remember("before", "ada", asked_at=memory.now(), expires_at_s=FAR, family_id=ended)
    memory.remember("other", "bob", asked_at=memory.now(), expires_at_s=FAR, family_id=other)
    asked_at = memory.now()
    memory.forget(ended)
    # The database was asked before the end, and answers after it.
    memory.remember("meanwhile", "ada", asked_at=asked_at, expires_at_s=FAR, family_id=ended)
    assert [memory.recall(name) for name in ("before", "meanwhile", "other")] == [None, None, "bob"]
    clock.now += 0.001
    memory.remember("after", "eve", asked_at=memory.now(), expires_at_s=FAR, family_id=ended)
    assert memory.recall("after") == "eve", "whoever asked after the end was told of it"


def test_ends_are_bounded():
    clock = Clock()
    memory = memory_with(clock, most=3)
    for _ in range(5):
        memory.forget(uuid.uuid4())
    assert len(memory._ended) == 3
    clock.now += 5
    memory.forget(uuid.uuid4())
    assert len(memory._ended) == 1


def test_holds_no_token():
    memory = memory_with(Clock())
    memory.remember("secret-token", "ada", asked_at=memory.now(), expires_at_s=FAR)
    assert "secret-token" not in repr(vars(memory))


def test_survives_several_threads():
    memory = memory_with(Clock(), most=10)
    errors = []

    def work(number):
        try:
            for turn in range(300):
                memory.remember(f"{number}.{turn}", turn, asked_at=memory.now(), expires_at_s=FAR)
                memory.recall(f"{(number + 1) % 4}.{turn}")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not errors
    assert len(memory) == 10
