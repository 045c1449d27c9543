"""Turns on the event loop: who may begin in each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from apps.core import loop_turns
from apps.core.loop_turns import LoopTurns, Worked
from apps.llm.errors import RateLimited, ServiceUnavailable
from tests.waiting import ends_at_once


@pytest.fixture
def turns() -> LoopTurns:
    return LoopTurns()


def is_at_once(turns: LoopTurns, caller: str) -> bool:
    """Ask for a request, and tell whether it begins without a wait."""
    return ends_at_once(turns.wait(caller))


async def crowd_of(turns: LoopTurns, caller: str, count: int, begun: list[str]) -> list[asyncio.Task[None]]:
    async def ask() -> None:
        await turns.wait(caller)
        begun.append(caller)

    tasks = [asyncio.ensure_future(ask()) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


async def test_whoever_is_alone_begins_many_in_a_turn(turns):
    assert [is_at_once(turns, "ann") for _ in range(17)] == [True] * 16 + [False]


async def test_all_begin_in_the_end_and_in_their_order(turns):
    begun: list[int] = []

    async def ask(number: int) -> None:
        await turns.wait("ann")
        begun.append(number)

    await asyncio.gather(*(ask(number) for number in range(200)))
    assert begun == list(range(200))
    assert not turns._lines
    assert turns._waiting == 0


async def test_a_crowd_never_makes_another_wait_and_begins_one_in_each_of_their_turns(turns):
    begun: list[str] = []
    tasks = await crowd_of(turns, "ann", 300, begun)
    assert is_at_once(turns, "bob")
    await asyncio.sleep(0)
    before = len(begun)
    for _ in range(20):
        await asyncio.sleep(0)
    # What bob does takes twenty turns of the loop: as many of ann's begin meanwhile.
    assert len(begun) - before <= 21
    assert is_at_once(turns, "bob")
    await asyncio.gather(*tasks)


async def test_two_crowds_take_turns(turns):
    begun: list[str] = []
    tasks = await crowd_of(turns, "ann", 100, begun)
    tasks += await crowd_of(turns, "bob", 40, begun)
    # What ann was let begin while she was alone is on its way.
    first = begun.index("bob") + 16
    await asyncio.gather(*tasks)
    both = begun[first : first + 40]
    assert abs(both.count("ann") - both.count("bob")) <= 4


async def test_whoever_leaves_costs_no_turn(turns):
    begun: list[str] = []
    tasks = await crowd_of(turns, "ann", 60, begun)
    for one in tasks[16:-1]:
        one.cancel()
    await tasks[-1]
    assert begun == ["ann"] * 17
    assert turns._waiting == 0


async def test_lines_are_bounded(turns, monkeypatch):
    monkeypatch.setattr(loop_turns, "_MOST_OF_CALLER", 3)
    monkeypatch.setattr(loop_turns, "_MOST_WAITING", 3)
    begun: list[str] = []
    tasks = await crowd_of(turns, "ann", 19, begun)
    with pytest.raises(RateLimited):
        await turns.wait("ann")
    assert is_at_once(turns, "bob")
    with pytest.raises(ServiceUnavailable):
        await turns.wait("bob")
    await asyncio.gather(*tasks)


def parts_of(turns: LoopTurns, caller: str, parts: list[str], begun: list[str]) -> list[asyncio.Future[None]]:
    """Have one of each of these parts ask, all in this turn."""

    async def ask(part: str) -> None:
        await turns.wait(caller, part)
        begun.append(part)

    return [asyncio.ensure_future(ask(part)) for part in parts]


async def test_parts_of_a_line_take_turns(turns):
    assert is_at_once(turns, "bob")
    begun: list[str] = []
    await asyncio.gather(*parts_of(turns, "ann", ["old"] * 60 + ["new"] * 3, begun))
    assert begun[:7] == ["old", "old", "new", "old", "new", "old", "new"]
    assert begun[7:] == ["old"] * 56


async def test_many_parts_are_one_line(turns):
    begun: list[str] = []
    asking = parts_of(turns, "bob", ["bob"] * 60, begun)
    asking += parts_of(turns, "ann", [f"{number}" for number in range(40)], begun)
    await asyncio.gather(*asking)
    first = next(place for place, one in enumerate(begun) if one != "bob")
    assert 8 <= begun[first : first + 20].count("bob") <= 12


async def test_in_a_full_line_the_longest_part_makes_room(turns, monkeypatch):
    monkeypatch.setattr(loop_turns, "_MOST_OF_CALLER", 4)
    assert is_at_once(turns, "bob")
    assert is_at_once(turns, "ann")
    begun: list[str] = []
    # One begins and four wait; then two of each do, and one more would be no fairer.
    asking = parts_of(turns, "ann", ["old"] * 5 + ["new"] * 3, begun)
    results = await asyncio.gather(*asking, return_exceptions=True)
    assert [isinstance(one, RateLimited) for one in results] == [False] * 3 + [True] * 2 + [False] * 2 + [True]
    assert sorted(begun) == ["new"] * 2 + ["old"] * 3
    assert (turns._waiting, len(turns._lines)) == (0, 0)


def test_another_loop_begins_anew():
    turns = LoopTurns()

    async def leave_some() -> None:
        for _ in range(20):
            is_at_once(turns, "ann")

    asyncio.run(leave_some())

    async def ask() -> int:
        await asyncio.gather(*(turns.wait("ann") for _ in range(40)))
        return turns._waiting

    assert asyncio.run(ask()) == 0


class Timed(asyncio.SelectorEventLoop):
    """An event loop whose clock the test turns; timers wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.worked_s = 0.0
        self.threads_s = 0.0
        self.timers: list[float] = []
        """What was asked for, in seconds."""
        self.turns = LoopTurns(clock=self.time, worked=lambda: Worked(self.worked_s, self.worked_s + self.threads_s))

    def time(self) -> float:
        return self.now

    async def turn(self, *, worked_s: float, of_threads_s: float = 0.0) -> None:
        """Let two turns go by, enough for any line to move if it may, after so much work."""
        self.worked_s += worked_s
        self.threads_s += of_threads_s
        self.now += worked_s
        for _ in range(2):
            await asyncio.sleep(0)

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        self.timers.append(delay)
        return super().call_later(delay, callback, *args, context=context)


@pytest.fixture
def timed() -> Iterator[Timed]:
    loop = Timed()
    yield loop
    loop.close()


async def crowd_beside(
    loop: Timed, *, bob: bool, cost_s: float = 0.005, of_threads_s: float = 0.0, before_s: float = 0.005, carl: int = 0
) -> list[str]:
    """Have a crowd of Ann's begin, of which each has its cost, and Bob or a crowd beside it; return who began."""
    begun: list[str] = []
    tasks = await crowd_of(loop.turns, "ann", 60, begun)
    tasks += await crowd_of(loop.turns, "carl", carl, begun)
    # Carl was nobody yet when he began, as Bob is.
    for _ in range(3):
        loop.now += 0.2
        tasks += await crowd_of(loop.turns, "ann", 10, begun)
        tasks += await crowd_of(loop.turns, "carl", carl // 6, begun)
        await loop.turn(worked_s=before_s)
    loop.timers.clear()
    if bob:
        assert is_at_once(loop.turns, "bob")
    for _ in range(6):
        await loop.turn(worked_s=cost_s, of_threads_s=of_threads_s)
    for one in tasks:
        one.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return begun


def test_a_crowd_rests_for_as_long_as_it_works_while_somebody_asks_beside_it(timed):
    timed.run_until_complete(crowd_beside(timed, bob=True))
    assert timed.timers
    # It has worked for 10 ms.
    assert timed.timers[0] == pytest.approx(0.01)


@pytest.mark.parametrize(("of_threads_s", "rest_s"), [(0.001, 0.008), (0.002, 0.01), (0.1, 0.02)])
def test_work_of_threads_makes_the_rest_longer(timed, of_threads_s, rest_s):
    timed.run_until_complete(crowd_beside(timed, bob=True, cost_s=0.001, of_threads_s=of_threads_s))
    # The loop has worked for 1 ms, and for 5 ms before Bob asked.
    assert timed.timers[0] == pytest.approx(rest_s)


def test_of_threads_that_always_work_a_crowd_keeps_a_part_of_the_loop(timed):
    timed.run_until_complete(crowd_beside(timed, bob=True, cost_s=0.0005, of_threads_s=1.0, before_s=0.0005))
    assert timed.timers[0] == pytest.approx(4 * 0.001)


def test_a_crowd_alone_never_rests(timed):
    timed.run_until_complete(crowd_beside(timed, bob=False))
    assert timed.timers == []


def test_crowds_beside_each_other_never_rest(timed):
    timed.run_until_complete(crowd_beside(timed, bob=False, carl=60))
    assert timed.timers == []


def test_a_crowd_is_one_between_its_lines_too(timed):
    async def ask() -> None:
        begun: list[str] = []
        tasks = []
        for _ in range(4):
            for name in ("ann", "carl"):
                tasks += await crowd_of(timed.turns, name, 20, begun)
            timed.now += 0.2
            await asyncio.gather(*tasks)
        timed.timers.clear()
        for name in ("ann", "carl", "ann"):
            assert is_at_once(timed.turns, name)
            await timed.turn(worked_s=0.005)

    timed.run_until_complete(ask())
    assert timed.timers == []


def test_a_rest_ends_and_the_line_moves_on(timed):
    async def ask() -> None:
        begun: list[str] = []
        tasks = await crowd_of(timed.turns, "ann", 40, begun)
        await timed.turn(worked_s=0.005)
        assert is_at_once(timed.turns, "bob")
        for _ in range(100):
            await timed.turn(worked_s=0.005)
            timed.now += 0.02
        assert begun == ["ann"] * 40
        await asyncio.gather(*tasks)

    timed.run_until_complete(ask())
    assert timed.timers


def test_whoever_waited_long_ago_is_no_crowd(timed):
    async def ask() -> None:
        begun: list[str] = []
        await asyncio.gather(*await crowd_of(timed.turns, "ann", 20, begun))
        timed.now += 1.0
        await timed.turn(worked_s=0.005)
        assert is_at_once(timed.turns, "ann")
        await timed.turn(worked_s=0.005)
        assert not timed.turns._crowds

    timed.run_until_complete(ask())


def test_what_a_rest_is_short_of_is_owed_to_the_next():
    """What was begun last is worked on while a rest lasts: by itself that leaves the process busy."""
    now_s = worked_s = 0.0
    turns = LoopTurns(clock=lambda: now_s, worked=lambda: Worked(worked_s, worked_s))
    for _ in range(50):
        rest_s = turns._rest_s(now_s)
        worked_s += 0.004
        now_s += max(rest_s, 0.004)
    assert worked_s == pytest.approx(0.5 * now_s, rel=0.05)
