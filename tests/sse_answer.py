"""A chat completion's stream read to its end and joined.

with open_stream(url, json={...}, headers=server.bearer()) as stream:
    answer = collect(stream)
assert (answer.text, answer.finish, answer.done) == ("...", "stop", True)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.sse_client import ProtocolViolation, SseEvent, SseStream

__all__ = ["Collected", "collect", "pair_surrogates"]


@dataclass(slots=True, kw_only=True)
class Collected:
    """A chat completion's stream, joined."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    tool_calls: dict[int, dict[str, str]] = field(default_factory=dict)
    """By index: `id`, `name`, `arguments`."""
    finishes: list[str] = field(default_factory=list)
    usage: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    done: bool = False
    chunks: list[dict[str, Any]] = field(default_factory=list)
    events: list[SseEvent] = field(default_factory=list)
    ended: str | None = None

    @property
    def finish(self) -> str | None:
        """The one finish_reason. Raises ProtocolViolation if there are several."""
        if len(self.finishes) > 1:
            raise ProtocolViolation(f"several finishes: {self.finishes}")
        return self.finishes[0] if self.finishes else None

    @property
    def ids(self) -> list[int]:
        """The event ids, `[DONE]` aside."""
        return [int(event.id) for event in self.events if event.id is not None]


def collect(stream: SseStream) -> Collected:
    """Read a chat completion's stream to its end and join it; ids must rise and nothing may follow `[DONE]`."""
    answer = Collected()
    for event in stream.events():
        if answer.done:
            raise ProtocolViolation(f"after [DONE]: {event.data!r}")
        answer.events.append(event)
        if event.data == "[DONE]":
            answer.done = True
            continue
        chunk = event.json()
        answer.chunks.append(chunk)
        answer.usage = chunk.get("usage") or answer.usage
        answer.error = chunk.get("error") or answer.error
        for choice in chunk.get("choices", ()):
            _join(answer, choice)
    if answer.ids != sorted(set(answer.ids)):
        raise ProtocolViolation(f"ids do not rise: {answer.ids}")
    answer.text, answer.reasoning = pair_surrogates(answer.text), pair_surrogates(answer.reasoning)
    answer.ended = stream.ended
    return answer


def _join(answer: Collected, choice: Mapping[str, Any]) -> None:
    delta = choice["delta"]
    answer.text += delta.get("content") or ""
    answer.reasoning += delta.get("reasoning_content") or ""
    answer.refusal += delta.get("refusal") or ""
    for fragment in delta.get("tool_calls") or ():
        call = answer.tool_calls.setdefault(fragment["index"], {"id": "", "name": "", "arguments": ""})
        call["id"] += fragment.get("id") or ""
        call["name"] += fragment.get("function", {}).get("name") or ""
        call["arguments"] += fragment.get("function", {}).get("arguments") or ""
    if choice.get("finish_reason"):
        answer.finishes.append(choice["finish_reason"])


def pair_surrogates(text: str) -> str:
    """Join the halves of surrogate pairs that came in two deltas."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
