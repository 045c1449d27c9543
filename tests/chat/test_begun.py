"""An awaitable begun at once: over without a wait, or awaited for the rest."""

from __future__ import annotations

import asyncio

import pytest

from apps.chat.begun import Rest, begin


async def test_one_that_does_not_wait_is_over_with_its_value():
    async def quick() -> int:
        return 3

    assert begin(quick()) == 3


async def test_one_that_waits_goes_on_where_it_waits():
    gate = asyncio.Event()
    steps = []

    async def slow() -> str:
        steps.append("begun")
        await gate.wait()
        await asyncio.sleep(0)
        steps.append("over")
        return "value"

    rest = begin(slow())
    assert steps == ["begun"]
    gate.set()
    assert isinstance(rest, Rest)
    assert await rest == "value"
    assert steps == ["begun", "over"]


async def test_what_is_raised_at_once_and_later_comes_through():
    async def broken(waits: bool) -> None:
        if waits:
            await asyncio.sleep(0)
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        begin(broken(False))
    rest = begin(broken(True))
    assert rest is not None
    with pytest.raises(OSError, match="gone"):
        await rest


async def test_a_cancellation_reaches_it_and_may_be_refused():
    said = []

    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            said.append("no")
            await asyncio.sleep(0)
        return "still here"

    rest = begin(stubborn())
    assert isinstance(rest, Rest)

    async def wait() -> str:
        return await rest

    task = asyncio.ensure_future(wait())
    await asyncio.sleep(0)
    task.cancel()
    assert await task == "still here"
    assert said == ["no"]
