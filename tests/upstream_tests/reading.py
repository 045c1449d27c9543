"""A lenient reader of event streams, for what the simulator sends: the standard's rules and nothing else."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from tests.sse_answer import pair_surrogates
from tests.sse_client import SseStream, open_stream
from tests.upstream import UpstreamServer
from tests.waiting import HANG_S

__all__ = ["BODY", "Read", "ask", "dispatch", "read"]

BODY = {
    "model": "glm-4-any",
    "messages": [{"role": "user", "content": "When does the tide turn?"}],
    "stream": True,
    "stream_options": {"include_usage": True},
    "thinking": {"type": "disabled"},
}


@dataclass
class Read:
    """What a stream's bytes say."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    tool_calls: dict[int, list[str]] = field(default_factory=dict)
    finishes: list[str] = field(default_factory=list)
    usages: list[dict[str, Any]] = field(default_factory=list)
    errors: list[Any] = field(default_factory=list)
    chunks: list[dict[str, Any]] = field(default_factory=list)
    done: bool = False
    broken: bool = False
    """Whether an event was not a JSON object."""


def dispatch(data: bytes) -> list[str]:
    """Return the data of every event that the bytes dispatch."""
    events: list[str] = []
    pending: list[str] = []
    text = data.decode("utf-8-sig", "replace")
    lines = re.split(r"\r\n|\n|\r", text)
    for line in lines[:-1]:
        if not line and pending:
            events.append("\n".join(pending))
        pending = [] if not line else pending
        if line.startswith("data:"):
            pending.append(line[5:].removeprefix(" "))
    return events


def read(data: bytes) -> Read:
    """Join the chunks of a body."""
    answer = Read()
    for event in dispatch(data):
        if event.strip() == "[DONE]":
            answer.done = True
            break
        try:
            chunk = json.loads(event)
        except ValueError:
            chunk = None
        if not isinstance(chunk, dict):
            answer.broken = True
            break
        answer.chunks.append(chunk)
        if chunk.get("error"):
            answer.errors.append(chunk["error"])
        if chunk.get("usage"):
            answer.usages.append(chunk["usage"])
        for choice in chunk.get("choices", ()):
            _join(answer, choice)
    answer.text, answer.reasoning = pair_surrogates(answer.text), pair_surrogates(answer.reasoning)
    return answer


def _join(answer: Read, choice: dict[str, Any]) -> None:
    delta = choice["delta"]
    answer.text += delta.get("content") or ""
    answer.reasoning += delta.get("reasoning_content") or ""
    answer.refusal += delta.get("refusal") or ""
    for fragment in delta.get("tool_calls") or ():
        call = answer.tool_calls.setdefault(fragment["index"], ["", "", ""])
        call[0] += fragment.get("id") or ""
        call[1] += fragment["function"].get("name") or ""
        call[2] += fragment["function"]["arguments"]
    if choice.get("finish_reason"):
        answer.finishes.append(choice["finish_reason"])


def ask(upstream: UpstreamServer, vendor: str, *, timeout_s: float = HANG_S, **fields: Any) -> SseStream:
    """Send a chat request that no vendor refuses."""
    body = BODY | fields
    if vendor == "openai":
        body.pop("thinking", None)
    return open_stream(
        upstream.base_url(vendor) + "/chat/completions",
        json={name: value for name, value in body.items() if value is not None},
        headers={"Authorization": "Bearer sk-any-key-9876"},
        timeout_s=timeout_s,
    )
