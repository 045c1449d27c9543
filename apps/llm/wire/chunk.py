"""One event of a stream, read as far as the relay needs to understand it; `upstream.py` says what is tolerated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.llm.wire.json import loads
from apps.llm.wire.types import Chunk, JsonObject, Usage

__all__ = ["MAX_TOOL_CALLS", "TooManyToolCalls", "chunk_of", "parse_chunk", "parse_usage"]

MAX_TOOL_CALLS = 128
"""Of one answer: as many as a request may have tools."""

_READ_FROM_CHOICE = frozenset({"index", "delta", "message", "finish_reason"})
# More tokens than any context window will hold: a number beyond it is noise and bills nobody.
_MAX_COUNT = 10**9


class TooManyToolCalls(ValueError):
    """One event, or an answer, has more than MAX_TOOL_CALLS."""


def parse_chunk(data: bytes) -> Chunk:
    """Read the data of one event of our own. Raises ValueError if it is no chunk."""
    chunk = chunk_of(loads(data))
    if chunk is None:
        raise ValueError("neither choices, usage nor an error")
    return chunk


def chunk_of(event: object, *, is_error: bool = False) -> Chunk | None:
    """Read one event: a chat.completion.chunk, a whole chat.completion, or an error; None if it is none of these.

    What is no chunk is an error if `is_error`, the event's name, says so. Choices other than index 0, and members that
    nobody knows or that have another type than theirs, are passed over. Raises TooManyToolCalls.
    """
    if not isinstance(event, dict):
        return Chunk(error=_error(event) or {}) if is_error else None
    error = _error(event.get("error"))
    if error is not None:
        return Chunk(error=error)
    choices = event.get("choices")
    if not isinstance(choices, list):
        choices = [choices] if isinstance(choices, dict) else None
    if choices is None:
        if "error" in (event.get("object"), event.get("type")) or event.get("success") is False:
            return Chunk(error=event)
        if not _is_silent_chunk(event):
            return Chunk(error=event) if is_error else None
        choices = ()
    fingerprint = event.get("system_fingerprint")
    chunk = Chunk(
        usage=parse_usage(event.get("usage")),
        system_fingerprint=fingerprint if isinstance(fingerprint, str) else None,
    )
    for choice in choices:
        if isinstance(choice, dict) and choice.get("index") in (None, 0):
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
    if not isinstance(delta, dict):
        delta = choice.get("message")
    if isinstance(delta, dict):
        content = delta.get("content")
        if content:
            if isinstance(content, str):
                chunk.content = content
            else:
                _read_parts(content, chunk)
        # Most deltas say one thing.
        if len(delta) > 1 or not content:
            _read_rest(delta, chunk)
    finish_reason = choice.get("finish_reason")
    # Some vendors write an empty finish_reason instead of null.
    if finish_reason and isinstance(finish_reason, str):
        chunk.finish_reason = finish_reason
    if not choice.keys() <= _READ_FROM_CHOICE:
        extra = {name: value for name, value in choice.items() if value is not None and name not in _READ_FROM_CHOICE}
        chunk.error = _error(extra.pop("error", None))
        chunk.extra = extra or None


def _read_rest(delta: dict[str, Any], chunk: Chunk) -> None:
    """Add what a delta says beside its content."""
    reasoning = delta.get("reasoning_content") or delta.get("reasoning")
    if reasoning:
        chunk.reasoning += _text(reasoning)
    refusal = delta.get("refusal")
    if isinstance(refusal, str):
        chunk.refusal += refusal
    calls = delta.get("tool_calls")
    if calls and isinstance(calls, list):
        if len(calls) > MAX_TOOL_CALLS:
            raise TooManyToolCalls("too many tool calls")
        chunk.tool_calls = [call for call in calls if isinstance(call, dict)]


def _read_parts(content: object, chunk: Chunk) -> None:
    """Add what the parts of a content say; those of unknown types say nothing here."""
    texts: list[str] = []
    thoughts: list[str] = []
    refusals: list[str] = []
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict):
            match part.get("type"):
                case None | "text" | "output_text":
                    texts.append(_text(part.get("text")))
                case "thinking" | "reasoning":
                    thoughts.append(_text(part.get("thinking") or part.get("reasoning") or part.get("text")))
                case "refusal":
                    refusals.append(_text(part.get("refusal")))
    chunk.content, chunk.reasoning, chunk.refusal = "".join(texts), "".join(thoughts), "".join(refusals)


def _text(value: object) -> str:
    """Return a text, or the texts of a list of parts joined; anything else is none."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        return ""
    texts = [part.get("text") if isinstance(part, dict) else part for part in value]
    return "".join([text for text in texts if isinstance(text, str)])
