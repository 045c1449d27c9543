"""One event of an upstream's stream, read as far as the relay needs to understand it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.llm.wire.json import loads
from apps.llm.wire.types import Chunk, JsonObject, Usage

__all__ = ["MAX_TOOL_CALLS", "TooManyToolCalls", "parse_chunk", "parse_usage"]

MAX_TOOL_CALLS = 128
"""Of one answer: as many as a request may have tools. Those of one event are counted here, of all in the engine."""

_READ_FROM_CHOICE = frozenset({"index", "delta", "message", "finish_reason"})
# More tokens than any context window will hold: a number beyond it is noise and bills nobody.
_MAX_COUNT = 10**9


class TooManyToolCalls(ValueError):
    """One event has more than MAX_TOOL_CALLS."""


def parse_chunk(data: bytes) -> Chunk:
    """Read one event's data: a chat.completion.chunk, a whole chat.completion, or an error.

    Choices other than index 0, and members nobody knows, are passed over. Raises ValueError if it is not a JSON
    object of that shape.
    """
    event = loads(data)
    if not isinstance(event, dict):
        raise ValueError("not an object")
    error = _error(event.get("error"))
    if error is not None:
        return Chunk(error=error)
    fingerprint = event.get("system_fingerprint")
    chunk = Chunk(
        usage=parse_usage(event.get("usage")),
        system_fingerprint=fingerprint if isinstance(fingerprint, str) else None,
    )
    choices = event.get("choices")
    if choices is None:
        if not _is_silent_chunk(event):
            raise ValueError("neither choices, usage nor an error")
        return chunk
    if not isinstance(choices, list):
        raise ValueError("choices is not an array")
    for choice in choices:
        if not isinstance(choice, dict):
            raise ValueError("a choice is not an object")
        if choice.get("index") in (None, 0):
            _read_choice(choice, chunk)
            break
    return chunk


def parse_usage(value: object) -> Usage | None:
    """Read a usage object; None if there is none, or if its two main counts are not plausible numbers.

    Implausible details count as 0, and never more than the count they are part of.
    """
    if not isinstance(value, dict):
        return None
    prompt_tokens = _count(value.get("prompt_tokens"))
    completion_tokens = _count(value.get("completion_tokens"))
    if prompt_tokens is None or completion_tokens is None:
        return None
    cached = _count(_member(value.get("prompt_tokens_details"), "cached_tokens"))
    if cached is None:
        # DeepSeek's own name for it.
        cached = _count(value.get("prompt_cache_hit_tokens"))
    reasoning = _count(_member(value.get("completion_tokens_details"), "reasoning_tokens"))
    return Usage(
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        cached_tokens=min(cached or 0, prompt_tokens),
        reasoning_tokens=min(reasoning or 0, completion_tokens),
    )


def _count(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= _MAX_COUNT:
        return None
    return int(value)


def _member(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, dict) else None


def _error(value: object) -> JsonObject | None:
    """Return the error of an event as an object; vendors also write it as a string. Empty means none."""
    if not value:
        return None
    if isinstance(value, dict):
        return value
    return {"message": value if isinstance(value, str) else "", "code": value if isinstance(value, int) else None}


def _is_silent_chunk(event: Mapping[str, Any]) -> bool:
    """Tell whether an event without choices is a chunk all the same, such as one of usage or moderation."""
    kind = event.get("object")
    return isinstance(event.get("usage"), dict) or (isinstance(kind, str) and kind.startswith("chat.completion"))


def _read_choice(choice: dict[str, Any], chunk: Chunk) -> None:
    delta = choice.get("delta")
    if delta is None:
        delta = choice.get("message")
    if delta is not None:
        if not isinstance(delta, dict):
            raise ValueError("the delta is not an object")
        # Most deltas say one thing, or nothing.
        if "content" in delta:
            chunk.content = _text(delta, "content")
        if "reasoning_content" in delta:
            chunk.reasoning = _text(delta, "reasoning_content")
        if "refusal" in delta:
            chunk.refusal = _text(delta, "refusal")
        calls = delta.get("tool_calls")
        if calls:
            chunk.tool_calls = _tool_calls(calls)
    # Some vendors write an empty finish_reason instead of null.
    chunk.finish_reason = _text(choice, "finish_reason") or None
    if not choice.keys() <= _READ_FROM_CHOICE:
        extra = {name: value for name, value in choice.items() if value is not None and name not in _READ_FROM_CHOICE}
        chunk.extra = extra or None


def _text(owner: dict[str, Any], name: str) -> str:
    value = owner.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{name} is not a string")
    return value


def _tool_calls(value: object) -> list[JsonObject]:
    """Check the fragments of tool calls; one without an index (a whole message has none) gets its place."""
    if not isinstance(value, list):
        raise ValueError("tool_calls is not an array")
    if len(value) > MAX_TOOL_CALLS:
        raise TooManyToolCalls("too many tool calls")
    calls: list[JsonObject] = []
    for place, call in enumerate(value):
        if not isinstance(call, dict):
            raise ValueError("a tool call is not an object")
        index = call.get("index")
        if index is None:
            call = {**call, "index": place}
        elif isinstance(index, bool) or not isinstance(index, int) or index < 0:
            raise ValueError("the index of a tool call is not a whole number")
        _text(call, "id")
        function = call.get("function")
        if function is not None:
            if not isinstance(function, dict):
                raise ValueError("the function of a tool call is not an object")
            _text(function, "name")
            _text(function, "arguments")
        calls.append(call)
    return calls
