"""Turns on the event loop: who may begin in each."""

from __future__ import annotations

import asyncio

import pytest

from apps.core import loop_turns
from apps.core.loop_turns import LoopTurns
from apps.llm.errors import RateLimited, ServiceUnavailable


@pytest.fixture
def turns() -> LoopTurns:
    return LoopTurns()


def is_at_once(turns: LoopTurns, caller: str) -> bool:
    """Ask for a request, and tell whether it begins without a wait."""
    step = turns.wait(caller)
    try:
        step.send(None)
    except StopIteration:
        return True
    step.close()
    return False


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
