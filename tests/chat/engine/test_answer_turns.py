"""Large answers are made one at a time for each user, some at once for all, and nobody waits for long."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from apps.chat.engine.answer_turns import AnswerTurns
from apps.llm.errors import RateLimited, ServiceUnavailable

MAL, ANN = 1, 2


async def test_a_user_waits_for_their_own_and_for_nobody_elses():
    turns, made = AnswerTurns(), []

    async def make(user_id: int, go_on: asyncio.Event) -> None:
        async with turns.turn(user_id):
            made.append(user_id)
            await go_on.wait()

    go_on = asyncio.Event()
    tasks = [asyncio.ensure_future(make(user_id, go_on)) for user_id in (MAL, MAL, MAL, ANN)]
    for _ in range(10):
        await asyncio.sleep(0)
    assert made == [MAL, ANN]
    go_on.set()
    await asyncio.gather(*tasks)
    assert made == [MAL, ANN, MAL, MAL]
    assert turns._lines == {}


async def test_a_user_who_waits_too_long_is_refused_with_429():
    turns = AnswerTurns(wait_s=0.01)
    async with turns.turn(MAL):
        with pytest.raises(RateLimited) as caught:
            await turns.turn(MAL).__aenter__()
        assert caught.value.retry_after_s
        async with turns.turn(ANN):
            pass
    async with turns.turn(MAL):
        pass
    assert turns._lines == {}


async def test_too_many_users_at_once_are_refused_with_503():
    turns = AnswerTurns(most_at_once=2, wait_s=0.01)
    async with AsyncExitStack() as stack:
        for user_id in (10, 11):
            await stack.enter_async_context(turns.turn(user_id))
        with pytest.raises(ServiceUnavailable):
            await turns.turn(ANN).__aenter__()
    async with turns.turn(ANN):
        pass
    assert turns._lines == {}


@pytest.mark.parametrize("where", ["waiting", "making"])
async def test_whoever_leaves_gives_the_turn_back(where: str):
    turns = AnswerTurns()

    async def make() -> None:
        async with turns.turn(MAL):
            await asyncio.Event().wait()

    first = asyncio.ensure_future(make())
    await asyncio.sleep(0)
    second = asyncio.ensure_future(make())
    await asyncio.sleep(0)
    for task in (second, first) if where == "waiting" else (first, second):
        task.cancel()
        await asyncio.wait({task})
    async with turns.turn(MAL):
        pass
    assert turns._lines == {}
