"""A reader that was let go of is not a client that left: its completion runs on for the grace period."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from apps.chat.engine.generation import Stop
from apps.chat.engine.reader import STUCK_AFTER_S
from tests.chat.engine.configured import mock_generation


@pytest.fixture
async def generation():
    one = await mock_generation("stall")
    yield one
    one.stop(Stop.SHUTDOWN)
    await one.done.wait()


async def held(message: Any) -> None:
    await asyncio.Event().wait()


async def test_a_stuck_reader_leaves_its_completion_running_for_the_grace(generation):
    reader = generation.attach()
    driving = asyncio.ensure_future(reader.drive(held))
    running = generation.start()
    await generation.ready.wait()
    await asyncio.sleep(0)
    now = asyncio.get_running_loop().time()
    reader.beat(now + STUCK_AFTER_S + 1, keepalive_interval_s=15)
    await asyncio.wait({driving})
    assert reader.detached
    generation.beat(now + 1)
    assert generation.status.value == "in_progress"
    assert not running.done()
    generation.beat(now + 31)
    await generation.done.wait()
    assert generation.status.value == "cancelled"


async def test_a_reader_that_leaves_ends_it_at_once(generation):
    reader = generation.attach()
    generation.start()
    await generation.ready.wait()
    reader.close()
    await generation.done.wait()
    assert generation.status.value == "cancelled"
