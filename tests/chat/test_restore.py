"""A row as a stream again says what the stream said, in events that a reader can hold."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from apps.chat.models import Completion
from apps.chat.restore import restore_log
from apps.llm.wire.assembly import assembling

LONG = "Grüße 🦉 " * 10_000


def row(**fields: Any) -> Completion:
    return Completion(
        **{"id": "chatcmpl-1", "model": "m", "provider": "zai", "created_at": datetime.now(UTC)}
        | {"content": None, "reasoning_content": None, "refusal": None, "finish_reason": "stop"}
        | fields
    )


def call(name: str, arguments: str) -> dict[str, Any]:
    return {"id": f"call_{name}", "type": "function", "function": {"name": name, "arguments": arguments}}


@pytest.mark.parametrize(
    "fields",
    [
        {"content": LONG},
        {"content": LONG, "reasoning_content": LONG[:20_000]},
        {"refusal": LONG},
        {"tool_calls": [call("a", ""), call("b", LONG), call("c", "{}")], "finish_reason": "tool_calls"},
        {"content": "short"},
    ],
    ids=["text", "thoughts", "a refusal", "tool calls", "a word"],
)
def test_it_says_the_same_in_pieces(fields: dict[str, Any]):
    stored = row(**fields)
    log = restore_log(stored)
    whole = assembled(log.parts())
    assert (whole.content or None, whole.reasoning_content or None, whole.refusal or None) == (
        stored.content,
        stored.reasoning_content,
        stored.refusal,
    )
    assert list(whole.tool_calls) == stored.tool_calls
    assert whole.finish_reason == stored.finish_reason
    position = 0
    while position < log.last_id:
        events, position = log.replay(position, 1)
        assert len(events) < 150_000


def assembled(parts: Any) -> Any:
    steps = assembling(parts)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
