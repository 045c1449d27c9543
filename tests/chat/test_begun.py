"""An awaitable begun at once: over without a wait, or awaited for the rest."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from apps.chat.begun import Listening, Rest, begin, listen


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


class _Foreign:
    """What a server may wait on that is no future of asyncio's: it gives the loop a turn and looks again."""

    def __init__(self) -> None:
        self.come = False

    def __await__(self):
        while not self.come:
            yield


def _heard(event: asyncio.Event | _Foreign) -> tuple[list[str], Listening | None]:
    said: list[str] = []

    async def hear() -> None:
        try:
            if isinstance(event, asyncio.Event):
                await event.wait()
            else:
                await event
            said.append("come")
        finally:
            said.append("over")

    return said, listen(hear())


async def _turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_listening_makes_a_task_when_the_event_comes_and_none_before():
    event = asyncio.Event()
    before = asyncio.all_tasks()
    said, listening = _heard(event)
    await _turns()
    assert asyncio.all_tasks() == before
    assert said == []
    event.set()
    await _turns()
    assert said == ["come", "over"]
    assert listening is not None
    listening.close()


async def test_listening_that_is_closed_hears_no_more():
    event = asyncio.Event()
    said, listening = _heard(event)
    assert listening is not None
    listening.close()
    assert said == ["over"]
    event.set()
    await _turns()
    assert said == ["over"]


async def test_listening_may_be_closed_while_the_event_is_on_its_way():
    event = asyncio.Event()
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    said, listening = _heard(event)
    assert listening is not None
    event.set()
    listening.close()
    await _turns()
    assert said == ["over"]
    assert told == []
    again, listening = _heard(asyncio.Event())
    assert listening is not None
    listening.close()
    listening.close()
    assert again == ["over"]


async def test_listening_works_on_what_is_no_future():
    event = _Foreign()
    said, listening = _heard(event)
    await _turns()
    event.come = True
    await _turns()
    assert said == ["come", "over"]
    silent, listening = _heard(_Foreign())
    assert listening is not None
    await _turns()
    listening.close()
    await _turns()
    assert silent == ["over"]


async def test_what_has_happened_already_is_not_listened_for():
    event = asyncio.Event()
    event.set()
    said, listening = _heard(event)
    assert said == ["come", "over"]
    assert listening is None


class _Plain:
    """As granian's: it can be waited for, and nothing can be thrown into it."""

    def __init__(self) -> None:
        self.future: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def __await__(self) -> Any:
        return self

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        if self.future.done():
            raise StopIteration(self.future.result())
        self.future._asyncio_future_blocking = True
        return self.future


@pytest.mark.parametrize("ends", ["value", "late", "cancelled"])
async def test_a_servers_own_awaitable_is_waited_for_as_others(ends):
    waited = _Plain()
    rest: Any = begin(waited)
    assert isinstance(rest, Rest)
    asyncio.get_running_loop().call_soon(waited.future.set_result if ends == "value" else lambda _: None, "value")
    if ends == "value":
        assert await rest == "value"
        return
    if ends == "late":
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await rest
    else:
        waiting = asyncio.ensure_future(rest)
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert waited.future.cancelled()
