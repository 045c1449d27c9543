"""A stored completion as a stream again: for an Idempotency-Key that outlives its log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from apps.chat.engine.log_memory import MemoryLog
from apps.chat.engine.stamp import Stamp
from apps.chat.store import StoredCompletion, message_of, usage_of
from apps.llm.wire.openai import Chunk, Usage
from apps.llm.wire.sse import DONE

__all__ = ["restore_log"]

_PIECE = 8_192
"""Characters of an event: a reader holds one whole, and clients with small buffers can take it."""
_PIECE_OF_CALL = 65_536
"""Of one that is kept whole with all that is around it, which is little beside that."""


def restore_log(stored: StoredCompletion) -> MemoryLog:
    """Return a closed log with the stored answer's text, finish and usage; its event ids are its own.

    Raises LogFull for an answer that filled its log, and has a little more around it in this one.
    """
    log = MemoryLog()
    stamp = Stamp(log, completion_id=stored.id, created=int(stored.created_at.timestamp()))
    stamp.serve(model=stored.model, mock=stored.provider == "mock")
    message = message_of(stored)
    for piece in _pieces(message.reasoning_content or ""):
        stamp.content(Chunk(reasoning=piece))
    for piece in _pieces(message.content or ""):
        stamp.content(Chunk(content=piece))
    for piece in _pieces(message.refusal or ""):
        stamp.content(Chunk(refusal=piece))
    for index, call in enumerate(message.tool_calls):
        for delta in _call_pieces(call):
            stamp.content(Chunk(tool_calls=[{"index": index, **delta}]))
    stamp.finish(message.finish_reason or "stop")
    if stored.include_usage:
        stamp.usage(usage_of(stored) or Usage(prompt_tokens=0, completion_tokens=0), stored.cost_nano_usd)
    log.close(DONE)
    return log


def _pieces(text: str, size: int = _PIECE) -> Iterator[str]:
    for start in range(0, len(text), size):
        yield text[start : start + size]


def _call_pieces(call: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield a tool call with the beginning of its arguments, then their rest."""
    function = call.get("function") or {}
    first, *rest = [*_pieces(function.get("arguments") or "", _PIECE_OF_CALL)] or [""]
    yield {**call, "function": {**function, "arguments": first}} if rest else call
    for piece in rest:
        yield {"function": {"arguments": piece}}
