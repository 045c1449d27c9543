"""A latch: set once, passed by all, before and after."""

from __future__ import annotations

import asyncio

import pytest

from apps.chat.engine.latch import Latch


async def test_all_who_wait_pass_and_all_who_come_later():
    latch = Latch()
    waiting = [asyncio.ensure_future(latch.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    assert not latch.is_set()
    assert not any(one.done() for one in waiting)
    latch.set()
    latch.set()
    await asyncio.gather(*waiting)
    await latch.wait()
    assert latch.is_set()


async def test_who_is_cancelled_is_forgotten_and_the_others_pass():
    latch = Latch()
    first, second = asyncio.ensure_future(latch.wait()), asyncio.ensure_future(latch.wait())
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert latch._waiters is not None
    assert len(latch._waiters) == 1
    latch.set()
    await second


async def test_cancelled_in_the_same_turn_as_it_is_set():
    latch = Latch()
    waiting = asyncio.ensure_future(latch.wait())
    await asyncio.sleep(0)
    waiting.cancel()
    latch.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
