"""Our own chunks: a provider's deltas under our completion id, the serving model and one shape for all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.chat.engine.log import Frame, StreamLog
from apps.llm.wire import json
from apps.llm.wire.openai import Chunk, Usage

__all__ = ["Stamp", "usage_object"]


def usage_object(usage: Usage, cost_nano_usd: int | None) -> dict[str, Any]:
    """Return OpenAI's usage object with the cost in USD, null if the price is unknown."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "cost": None if cost_nano_usd is None else cost_nano_usd / 1e9,
    }


class Stamp:
    """Appends one completion's chunks to its log. Event data is ours to the byte; texts are the provider's."""

    __slots__ = ("_created", "_fingerprint", "_frames", "_id", "_log", "_mock", "_model", "_opening", "_role_due")

    def __init__(self, log: StreamLog, *, completion_id: str, created: int) -> None:
        self._log = log
        self._id = completion_id
        self._created = created
        self._model = ""
        self._mock = False
        self._fingerprint: str | None = None
        self._opening = b""
        self._frames: dict[str, Frame] = {}
        self._role_due = True

    def serve(self, *, model: str, mock: bool) -> None:
        """Name the model whose chunks follow."""
        self._model, self._mock = model, mock
        self._fingerprint = None
        self._opening = b""
        self._frames.clear()

    def content(self, chunk: Chunk) -> None:
        """Append what a chunk says of the answer, the role with the first. Raises LogFull."""
        if self._fingerprint is None and not self._frames:
            self._fingerprint = chunk.system_fingerprint
            self._opening = b""
        if chunk.extra is None and not chunk.tool_calls:
            for kind, text in _texts(chunk):
                if text:
                    self._text(kind, text)
            return
        delta: dict[str, Any] = {kind: text for kind, text in _texts(chunk) if text}
        if chunk.tool_calls:
            delta["tool_calls"] = list(chunk.tool_calls)
        self._log.append(self._event(delta, chunk.extra or {}))

    def text_frame(self, chunk: Chunk, kind: str) -> Frame | None:
        """Return the frame of a chunk that says one text, of this kind, and nothing else; None for any other.

        And None for the first of an answer, whose event is like no other.
        """
        if self._role_due or chunk.extra is not None or chunk.tool_calls or chunk.finish_reason or chunk.usage:
            return None
        return self._frame(kind) if [one for one, text in _texts(chunk) if text] == [kind] else None

    def finish(self, reason: str, native: str | None = None) -> None:
        """Append the finish, with the provider's own word if it is given; first the role, if nothing else has come.

        Raises LogFull.
        """
        if self._role_due:
            self._text("content", "")
        if native is not None:
            choice = {"index": 0, "delta": {}, "finish_reason": reason, "native_finish_reason": native}
            self._log.append(b'%b,"choices":[%b]}' % (self._begun(), json.dumps(choice)))
            return
        head = self._begun() + b',"choices":[{"index":0,"delta":{},"finish_reason":"'
        self._log.append_text(Frame(head=head, tail=b'"}]}', kind="finish_reason"), json.dumps_text(reason))

    def usage(self, usage: Usage, cost_nano_usd: int | None) -> None:
        """Append the usage event. Raises LogFull."""
        head = self._begun() + b',"choices":[],"usage":'
        self._log.append_text(Frame(head=head, tail=b"}", kind="usage"), json.dumps(usage_object(usage, cost_nano_usd)))

    def _begun(self) -> bytes:
        """Return what every event's data begins with, up to its choices."""
        if not self._opening:
            envelope: dict[str, Any] = {
                "id": self._id,
                "object": "chat.completion.chunk",
                "created": self._created,
                "model": self._model,
            }
            if self._fingerprint is not None:
                envelope["system_fingerprint"] = self._fingerprint
            self._opening = json.dumps(envelope)[:-1]
        return self._opening

    def _begun_with_delta(self) -> tuple[bytes, bytes]:
        """Return the beginning of an event with a delta, and the role, if it is due, as the delta's first member."""
        if not self._role_due:
            return self._begun(), b""
        self._role_due = False
        return self._begun() + (b',"promptcraft":{"degraded":true}' if self._mock else b""), b'"role":"assistant",'

    def _event(self, delta: dict[str, Any], choice: Mapping[str, Any]) -> bytes:
        """Return the data of an event with a delta that is not empty, the role with the first."""
        begun, role = self._begun_with_delta()
        rest = json.dumps({"delta": delta, **choice, "finish_reason": None})
        return b'%b,"choices":[{"index":0,"delta":{%b%b]}' % (begun, role, rest[len(b'{"delta":{') :])

    def _text(self, kind: str, text: str) -> None:
        frame = self._new_frame(kind) if self._role_due else self._frame(kind)
        self._log.append_text(frame, json.dumps_text(text))

    def _frame(self, kind: str) -> Frame:
        frame = self._frames.get(kind)
        if frame is None:
            frame = self._frames[kind] = self._new_frame(kind)
        return frame

    def _new_frame(self, kind: str) -> Frame:
        begun, role = self._begun_with_delta()
        head = b'%b,"choices":[{"index":0,"delta":{%b"%b":"' % (begun, role, kind.encode())
        return Frame(head=head, tail=b'"},"finish_reason":null}]}', kind=kind)


def _texts(chunk: Chunk) -> tuple[tuple[str, str], ...]:
    return ("reasoning_content", chunk.reasoning), ("content", chunk.content), ("refusal", chunk.refusal)
