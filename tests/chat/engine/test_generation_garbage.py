"""A finished completion is freed when it is let go of, without Python's collector: that one may come minutes later."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

from apps.chat.engine.attempts import Attempts
from apps.chat.engine.exchange import Exchange
from apps.chat.engine.generation import Generation, Stop
from apps.chat.engine.order import Question
from tests.chat.engine.configured import mock_generation
from tests.each import each


async def swallow(message: Any) -> None:
    return


async def run(scenario: str | None, stop: Stop | None) -> tuple[weakref.ref[Generation], str]:
    """Run a completion to its end, let go of it, and return what is left of it."""
    generation = await mock_generation(scenario)
    reader = generation.attach()
    driving = asyncio.ensure_future(reader.drive(swallow))
    running = generation.start()
    await generation.ready.wait()
    if stop is not None:
        generation.stop(stop)
    await generation.done.wait()
    await running
    await driving
    return weakref.ref(generation), generation.status.value


@each(
    ("scenario", "stop", "status"),
    [
        (None, None, "completed"),
        ("reasoning", None, "completed"),
        ("tool_call", None, "completed"),
        ("no_usage", None, "completed"),
        ("error_first", None, "failed"),
        ("cut_after_n", None, "failed"),
        ("error_after_n", None, "failed"),
        ("stall", Stop.CANCELLED, "cancelled"),
        ("stall", Stop.SHUTDOWN, "failed"),
    ],
)
async def test_nothing_is_left_for_the_collector(scenario: str | None, stop: Stop | None, status: str):
    gc.collect()
    gc.disable()
    try:
        left, became = await run(scenario, stop)
        for _ in range(5):
            await asyncio.sleep(0)
        assert became == status
        assert left() is None
        kinds = (Attempts, Exchange, Question)
        # Not isinstance, which wakes objects that are lazy.
        assert [one for one in gc.get_objects() if type(one) in kinds] == []
    finally:
        gc.enable()
