"""A stored completion as a stream again: for an Idempotency-Key that outlives its log."""

from __future__ import annotations

from apps.chat.engine.log_memory import MemoryLog
from apps.chat.engine.stamp import Stamp
from apps.chat.store import StoredCompletion, message_of, usage_of
from apps.llm.wire.openai import Chunk, Usage
from apps.llm.wire.sse import DONE

__all__ = ["restore_log"]


def restore_log(stored: StoredCompletion) -> MemoryLog:
    """Return a closed log with the stored answer's text, finish and usage; its event ids are its own."""
    log = MemoryLog()
    stamp = Stamp(log, completion_id=stored.id, created=int(stored.created_at.timestamp()))
    stamp.serve(model=stored.model, mock=stored.provider == "mock")
    message = message_of(stored)
    for chunk in (
        Chunk(reasoning=message.reasoning_content or ""),
        Chunk(content=message.content or ""),
        Chunk(refusal=message.refusal or ""),
        Chunk(tool_calls=[{"index": index, **call} for index, call in enumerate(message.tool_calls)]),
    ):
        if chunk.has_content:
            stamp.content(chunk)
    stamp.finish(message.finish_reason or "stop")
    if stored.include_usage:
        stamp.usage(usage_of(stored) or Usage(prompt_tokens=0, completion_tokens=0), stored.cost_nano_usd)
    log.close(DONE)
    return log
