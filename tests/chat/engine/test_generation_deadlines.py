"""What the end of an answer at a deadline says of its provider."""

from __future__ import annotations

import asyncio

import pytest

from apps.llm.breaker import BreakerPolicy, ProcessBreaker
from tests.chat.engine.configured import mock_generation


@pytest.mark.parametrize(("after_s", "code"), [(1_001, "gap_timeout"), (10_001, None)])
async def test_only_silence_is_held_against_a_provider(after_s: float, code: str | None):
    """A client may have asked for an answer that goes on past TOTAL_TIMEOUT."""
    breaker = ProcessBreaker(BreakerPolicy())
    generation = await mock_generation("stall", breaker)
    generation.start()
    await generation.ready.wait()
    generation.beat(asyncio.get_running_loop().time() + after_s)
    await generation.done.wait()
    assert generation.status.value == "failed"
    assert breaker.health().last_error_code == code
