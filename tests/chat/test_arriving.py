"""Who makes room when the memory for arriving bodies is full: the caller who holds most, with the largest body."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from apps.chat.arriving import ArrivingBodies

Send = Callable[..., "asyncio.Task[None]"]


@pytest.fixture
def bodies() -> ArrivingBodies:
    return ArrivingBodies(most_bytes=100)


@pytest.fixture
def crowded_out() -> list[tuple[str, int]]:
    return []


@pytest.fixture
async def send(bodies: ArrivingBodies, crowded_out: list[tuple[str, int]]) -> AsyncIterator[Send]:
    """Return a function that begins a body, which never ends."""
    tasks: list[asyncio.Task[None]] = []

    async def read(caller: str, size_bytes: int) -> None:
        try:
            async with asyncio.timeout(60) as deadline:
                body = bodies.open(caller, deadline)
                try:
                    body.grow(size_bytes)
                    await asyncio.Event().wait()
                finally:
                    body.close()
        except TimeoutError:
            assert body.crowded_out
            crowded_out.append((caller, size_bytes))

    def begin(caller: str, size_bytes: int) -> asyncio.Task[None]:
        tasks.append(asyncio.ensure_future(read(caller, size_bytes)))
        return tasks[-1]

    yield begin
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert bodies.held_bytes == 0


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_fills_it_makes_room_for_others(bodies, send, crowded_out):
    for size_bytes in (30, 40, 25):
        send("mal", size_bytes)
    send("ann", 20)
    await turns()
    assert crowded_out == [("mal", 40)]
    assert bodies.held_bytes == 75
    send("mal", 26)
    await turns()
    assert crowded_out == [("mal", 40), ("mal", 30)]
    assert bodies.held_bytes == 71


async def test_a_small_body_passes_among_large_ones_of_the_same_caller(send, crowded_out):
    """Behind a proxy that says nothing of its clients, all of them are one."""
    for size_bytes in (30, 30, 35):
        send("all", size_bytes)
    small = send("all", 10)
    await turns()
    assert crowded_out == [("all", 35)]
    assert not small.done()


async def test_several_make_room_for_one(bodies, send, crowded_out):
    for size_bytes in (10, 11, 12, 13, 14, 15, 16):
        send("mal", size_bytes)
    send("ann", 45)
    await turns()
    assert crowded_out == [("mal", 16), ("mal", 15), ("mal", 14)]
    assert bodies.held_bytes == 91


async def test_a_growing_one_may_crowd_itself_out(send, crowded_out):
    send("ann", 40)
    await turns()
    send("mal", 70)
    await turns()
    assert crowded_out == [("mal", 70)]
