"""What one attempt takes of a provider: bounds that no answer comes near."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from apps.chat.engine import log_memory
from apps.chat.engine.exchange import Exchange
from apps.chat.engine.log_memory import MemoryLog
from apps.chat.engine.record import Attempt
from apps.chat.engine.stamp import Stamp
from apps.llm.errors import BreakerVerdict, Failure, ProviderError
from apps.llm.providers.mock import MockProvider
from apps.llm.wire.json import dumps
from apps.llm.wire.openai import MAX_TOOL_CALLS
from apps.llm.wire.values import MAX_VALUES
from tests.chat.engine.configured import mock_generation

FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'


def event(delta: Any, **choice: Any) -> bytes:
    return b"data: " + dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": None, **choice}]}) + b"\n\n"


def call(index: int) -> bytes:
    return event({"tool_calls": [{"index": index, "function": {"name": "tide", "arguments": "x"}}]})


async def fed(*pieces: bytes) -> MemoryLog:
    """Feed an exchange and return its log. Raises ProviderError."""
    log = MemoryLog()
    exchange = exchange_of(log, time.monotonic)
    for piece in pieces:
        exchange.feed(piece)
    return log


def exchange_of(log: MemoryLog, clock: Callable[[], float]) -> Exchange:
    return Exchange(
        provider=MockProvider(),
        attempt=Attempt(provider="mock", model="mock", started_at=0, started_monotonic=0),
        stamp=Stamp(log, completion_id="chatcmpl-1", created=1),
        log=log,
        clock=clock,
        on_first_content=lambda: None,
    )


async def test_as_many_tool_calls_as_a_request_has_tools():
    calls = [call(index) for index in range(MAX_TOOL_CALLS)]
    assert (await fed(*calls, *calls)).last_id == 2 * MAX_TOOL_CALLS
    with pytest.raises(ProviderError) as caught:
        await fed(*calls, call(MAX_TOOL_CALLS))
    assert caught.value.failure is Failure.BAD_RESPONSE
    # A client may have asked for them: that says nothing of the provider.
    assert caught.value.breaker_verdict is BreakerVerdict.NOTHING
    with pytest.raises(ProviderError) as caught:
        await fed(event({"tool_calls": [{"index": 0}] * (MAX_TOOL_CALLS + 1)}))
    assert caught.value.failure is Failure.BAD_RESPONSE
    assert caught.value.breaker_verdict is BreakerVerdict.NOTHING


async def test_an_answer_that_the_log_has_no_room_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(log_memory, "MAX_LOG_BYTES", 100)
    with pytest.raises(ProviderError) as caught:
        await fed(*[event({"content": "x" * 30})] * 5)
    assert caught.value.failure is Failure.BAD_RESPONSE
    assert caught.value.breaker_verdict is BreakerVerdict.NOTHING


@pytest.mark.parametrize("values", [[[]] * MAX_VALUES, [{"a": 1}] * MAX_VALUES], ids=["arrays", "objects"])
async def test_an_event_of_too_many_values(values: list[Any]):
    assert (await fed(event({"content": "x"}, logprobs=values[:1000]))).last_id == 1
    with pytest.raises(ProviderError) as caught:
        await fed(event({"content": "x"}, logprobs=values))
    assert caught.value.failure is Failure.BAD_RESPONSE
    assert caught.value.breaker_verdict is BreakerVerdict.FAILURE
    # A whole answer stays whole, whatever follows.
    assert (await fed(event({"content": "x"}), FINISH, event({"content": "x"}, logprobs=values))).last_id == 2


async def test_a_member_of_any_name_is_handed_on():
    log = await fed(event({"content": "x"}, self=1, delta_=2))
    ((_, data),) = log.parts()
    assert b'"self":1' in data


async def test_a_long_answer_is_put_together_in_turns():
    generation = await mock_generation(None)
    data = dumps({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": "x"}}]}}]})
    for _ in range(2_000):
        generation.log.append(data)
    turns = 0
    putting_together = asyncio.ensure_future(generation.message())
    while not putting_together.done():
        await asyncio.sleep(0)
        turns += 1
    message = await putting_together
    assert message.tool_calls[0]["function"]["arguments"] == "x" * 2_000
    assert turns > 5


@pytest.mark.parametrize(
    ("data", "counts"),
    [
        (event({"reasoning": "hm "}), True),
        (event({"content": [{"type": "thinking", "thinking": "hm"}]}), True),
        (event({"content": [{"type": "text", "text": "a"}]}), True),
        (call(0), True),
        (event({"content": [{"type": "image", "text": "a"}]}), False),
        (event({"tool_calls": [{"index": 0, "id": None, "function": {"arguments": ""}}]}), False),
        (event({"reasoning": {}, "content": ""}), False),
        (b'event: ping\ndata: {"type":"ping"}\n\n', False),
        (b"data: {}\n\n", False),
        (b': comment\n\ndata: {"choices":[]}\n\n', False),
    ],
)
async def test_what_watchdogs_count(data: bytes, counts: bool):
    log, now = MemoryLog(), 1.0
    exchange = exchange_of(log, lambda: now)
    exchange.feed(call(0))
    now, before = 5.0, log.last_id
    for _ in range(100):
        exchange.feed(data)
    assert exchange.last_content_monotonic == (5.0 if counts else 1.0)
    assert log.last_id == before + (100 if counts else 0)


async def test_thoughts_of_another_name_are_learnt_and_what_follows_them_too():
    log = await fed(*[event({"reasoning": "hm "})] * 50, *[event({"content": "a"})] * 50)
    parts = [(kind, text) for kind, text in log.parts() if kind]
    assert b"".join(text for kind, text in parts if kind == "reasoning_content") == b"hm " * 50
    assert b"".join(text for kind, text in parts if kind == "content") == b"a" * 50
