"""The deltas of an answer joined into the message they spell."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

from apps.llm.wire.chunk import parse_chunk
from apps.llm.wire.json import join_surrogates, loads
from apps.llm.wire.sse import is_done
from apps.llm.wire.types import AssembledMessage, Chunk

__all__ = ["assembling"]

_STEP_PARTS = 256
_STEP_BYTES = 512 * 1024


def assembling(parts: Iterable[tuple[str, bytes]]) -> Generator[None, None, AssembledMessage]:
    """Join what our own events say into one message, and return it; yield every millisecond or so of work.

    A part is ("", the data of a whole event), or what one says and the inside of that JSON string: of `content`,
    `reasoning_content`, `refusal`, `finish_reason`; of any other kind it says nothing here. `[DONE]` and silent
    chunks add nothing; an in-stream error is the finish_reason `error`. Content is None where a tool call or a
    refusal came instead of it. Holds the whole answer, which the caller has bounded. Raises ValueError for what is
    not a chunk.
    """
    content: list[str] = []
    reasoning: list[str] = []
    refusal: list[str] = []
    texts = {"content": content, "reasoning_content": reasoning, "refusal": refusal}
    calls: dict[int, _ToolCall] = {}
    logprobs: dict[str, list[Any]] = {}
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    done_parts = done_bytes = 0
    for kind, data in parts:
        done_parts, done_bytes = done_parts + 1, done_bytes + len(data)
        if done_parts >= _STEP_PARTS or done_bytes >= _STEP_BYTES:
            done_parts = done_bytes = 0
            yield
        if kind:
            if kind in texts and data:
                texts[kind].append(loads(b'"%b"' % data))
            elif kind == "finish_reason":
                finish_reason = loads(b'"%b"' % data)
            continue
        if is_done(data):
            continue
        chunk = parse_chunk(data)
        if chunk.content:
            content.append(chunk.content)
        if chunk.reasoning:
            reasoning.append(chunk.reasoning)
        if chunk.refusal:
            refusal.append(chunk.refusal)
        for fragment in chunk.tool_calls:
            index = fragment["index"]
            if index not in calls:
                calls[index] = _ToolCall()
            calls[index].add(fragment)
        _add_logprobs(chunk, logprobs)
        if chunk.finish_reason is not None and chunk.extra is not None:
            native_finish_reason = chunk.extra.get("native_finish_reason")
        finish_reason = "error" if chunk.error is not None else chunk.finish_reason or finish_reason
    return AssembledMessage(
        content=join_surrogates("".join(content)) if content or not (calls or refusal) else None,
        reasoning_content=join_surrogates("".join(reasoning)) if reasoning else None,
        refusal=join_surrogates("".join(refusal)) if refusal else None,
        tool_calls=tuple([calls[index].joined() for index in sorted(calls)]),
        finish_reason=finish_reason,
        logprobs=logprobs or None,
        native_finish_reason=native_finish_reason,
    )


class _ToolCall:
    """One call under way: its id, type and name from the first fragment that has them, its arguments joined."""

    __slots__ = ("arguments", "id", "name", "type")

    def __init__(self) -> None:
        self.id = ""
        self.type = ""
        self.name = ""
        self.arguments: list[str] = []

    def add(self, fragment: Any) -> None:
        function = fragment.get("function") or {}
        self.id = self.id or fragment.get("id") or ""
        self.type = self.type or fragment.get("type") or ""
        self.name = self.name or function.get("name") or ""
        self.arguments.append(function.get("arguments") or "")

    def joined(self) -> dict[str, Any]:
        arguments = join_surrogates("".join(self.arguments))
        return {
            "id": self.id,
            "type": self.type or "function",
            "function": {"name": self.name, "arguments": arguments},
        }


def _add_logprobs(chunk: Chunk, logprobs: dict[str, list[Any]]) -> None:
    """Append each list (`content`, `refusal`, DeepSeek's `reasoning_content`) to what came before under its name."""
    found = chunk.extra.get("logprobs") if chunk.extra else None
    if isinstance(found, dict):
        for name, items in found.items():
            if isinstance(items, list):
                logprobs.setdefault(name, []).extend(items)
