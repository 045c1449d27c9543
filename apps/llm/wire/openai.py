"""OpenAI's chat format: the request parsed once at the edge, a stream's chunks, the assembled answer.

types.py      what crosses the layers
request.py    parse_request, over messages.py, tools.py and the primitives of checks.py
upstream.py   UpstreamAnswer, over tool_calls.py: what is tolerated from providers
chunk.py      parse_chunk
assembly.py   assembling
"""

from __future__ import annotations

from apps.llm.wire.assembly import assembling
from apps.llm.wire.chunk import MAX_TOOL_CALLS, TooManyToolCalls, parse_chunk
from apps.llm.wire.request import parse_request
from apps.llm.wire.types import (
    AssembledMessage,
    Chunk,
    CompletionRequest,
    JsonObject,
    Message,
    OnDisconnect,
    OnInterrupt,
    Role,
    Usage,
)
from apps.llm.wire.upstream import BrokenChunk, UpstreamAnswer, finish_of

__all__ = [
    "MAX_TOOL_CALLS",
    "AssembledMessage",
    "BrokenChunk",
    "Chunk",
    "CompletionRequest",
    "JsonObject",
    "Message",
    "OnDisconnect",
    "OnInterrupt",
    "Role",
    "TooManyToolCalls",
    "UpstreamAnswer",
    "Usage",
    "assembling",
    "finish_of",
    "parse_chunk",
    "parse_request",
]
