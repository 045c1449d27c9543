"""What any vendor's answer is made of: an `Answer` to say, `Event`s to say it in. The vendors differ in hooks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from tests.upstream.journal import Tokens
from tests.upstream.request import UpstreamRequest

__all__ = ["CREATED", "Answer", "Event", "ToolCall", "Vendor", "dumps", "words"]

Placement = Literal["vendor", "finish", "extra", "missing"]
CREATED = 1_790_000_000


def dumps(value: Any) -> bytes:
    """Write JSON as the vendors do: compact, UTF-8 unescaped; all escaped where half a surrogate pair forbids it."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def words(text: str) -> tuple[str, ...]:
    """Cut a text into deltas; joined they are the text again."""
    return tuple(re.findall(r"\s*\S+|\s+", text))


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool, its arguments in the fragments they are streamed in."""

    id: str
    name: str
    fragments: tuple[str, ...] = ("{}",)

    @property
    def arguments(self) -> str:
        return "".join(self.fragments)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is to be said, apart from how a vendor says it."""

    text: str | None = None
    """None for the vendor's own line."""
    pieces: tuple[str, ...] | None = None
    """The text as the deltas to send; None to cut it into words."""
    reasoning: str | None = None
    """None leaves it to the vendor: a thinking model thinks unless told not to."""
    refusal: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish: str | None = None
    """The vendor's word; None for the one that fits."""
    finish_content: str = ""
    """Text on the finish chunk itself."""
    usage: Tokens | None = None
    """None to count what is sent."""
    placement: Placement = "vendor"


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a stream: its data, what it is, what it costs."""

    data: bytes
    kind: Literal["role", "content", "finish", "usage", "done"]
    tokens: int = 0
    usage: Tokens | None = None

    @property
    def wire(self) -> bytes:
        return b"data: " + self.data + b"\n\n"


class Vendor:
    """A vendor's habits; the base is OpenAI's shape with nothing special."""

    name: ClassVar[str]
    label: ClassVar[str]
    path: ClassVar[str]
    default_model: ClassVar[str]
    model_ids: ClassVar[tuple[str, ...]]
    usage_placement: ClassVar[Placement]
    stream_type: ClassVar[str] = "text/event-stream; charset=utf-8"

    @property
    def default_text(self) -> str:
        """What the vendor says when nothing is scripted; its name tells answers apart."""
        return f"{self.label} answers: the tide at Brest turns at six, says the owl at the café 🦉."

    def id_headers(self, number: int) -> list[tuple[str, str]]:
        """Return the headers that identify an answer."""
        raise NotImplementedError

    def stream_headers(self, number: int) -> list[tuple[str, str]]:
        """Return the headers of a stream, but for its framing."""
        return [("content-type", self.stream_type), ("cache-control", "no-cache"), *self.id_headers(number)]

    def thinks(self, request: UpstreamRequest) -> bool:
        """Say whether the model reasons aloud on this request."""
        return False

    def completion_id(self, request: UpstreamRequest) -> str:
        return f"chatcmpl-{request.number}"

    def envelope(self, request: UpstreamRequest) -> dict[str, Any]:
        """Return the fields before `choices`, in the vendor's order."""
        return {
            "id": self.completion_id(request),
            "object": "chat.completion.chunk",
            "created": CREATED + request.number,
            "model": request.model or self.default_model,
            "system_fingerprint": "fp_sim",
        }

    def chunk(self, request: UpstreamRequest, delta: Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
        """Return one chunk without its usage."""
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return self.envelope(request) | {"choices": [choice]}

    def opening(self, request: UpstreamRequest, answer: Answer) -> Mapping[str, Any] | None:
        """Return the first delta, before any content."""
        return {"role": "assistant", "content": ""}

    def delta(self, kind: str, piece: str, *, thinking: bool) -> dict[str, Any]:
        """Return the delta of a piece of `content`, `reasoning_content` or `refusal`."""
        return {kind: piece}

    def tool_deltas(self, calls: tuple[ToolCall, ...]) -> Iterator[dict[str, Any]]:
        """Yield the deltas of tool calls, the fragments of several interleaved."""
        for index, call in enumerate(calls):
            function = {"name": call.name, "arguments": ""}
            yield {"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": function}]}
        for position in range(max((len(call.fragments) for call in calls), default=0)):
            for index, call in enumerate(calls):
                if position < len(call.fragments):
                    fragment = {"arguments": call.fragments[position]}
                    yield {"tool_calls": [{"index": index, "function": fragment}]}

    def finish_delta(self, content: str, *, thinking: bool) -> dict[str, Any]:
        return {"content": content} if content else {}

    def usage(self, tokens: Tokens) -> dict[str, Any]:
        """Return a usage object."""
        return {
            "prompt_tokens": tokens.prompt,
            "completion_tokens": tokens.completion,
            "total_tokens": tokens.total,
            "prompt_tokens_details": {"cached_tokens": tokens.cached},
            "completion_tokens_details": {"reasoning_tokens": tokens.reasoning},
        }

    def filled(self, request: UpstreamRequest, answer: Answer) -> Answer:
        """Return the answer with every default settled and `max_tokens` obeyed."""
        text = answer.text
        if text is None:
            text = "" if answer.tool_calls or answer.refusal or answer.pieces is not None else self.default_text
        pieces = answer.pieces if answer.pieces is not None else words(text)
        reasoning = answer.reasoning
        if reasoning is None:
            reasoning = "The user asks; I look at the tide table." if self.thinks(request) else ""
        finish = answer.finish or ("tool_calls" if answer.tool_calls else "stop")
        thoughts = words(reasoning)
        if request.max_tokens is not None and len(thoughts) + len(pieces) > request.max_tokens:
            thoughts = thoughts[: request.max_tokens]
            pieces = pieces[: request.max_tokens - len(thoughts)]
            finish = answer.finish or "length"
        return replace(answer, text="".join(pieces), pieces=pieces, reasoning="".join(thoughts), finish=finish)

    def tokens_of(self, request: UpstreamRequest, filled: Answer) -> Tokens:
        """Count what a filled answer costs."""
        if filled.usage is not None:
            return filled.usage
        thoughts = len(words(filled.reasoning or ""))
        completion = thoughts + len(filled.pieces or ()) + len(words(filled.refusal)) + bool(filled.finish_content)
        completion += sum(1 for _ in self.tool_deltas(filled.tool_calls))
        return Tokens(prompt=request.prompt_tokens, completion=completion, reasoning=thoughts)

    def events(self, request: UpstreamRequest, answer: Answer) -> list[Event]:
        """Return the events of a whole stream, `[DONE]` included."""
        filled = self.filled(request, answer)
        thinking = bool(filled.reasoning)
        spent = self.tokens_of(request, filled)
        placement = self.usage_placement if filled.placement == "vendor" else filled.placement
        if filled.placement == "vendor" and placement == "extra" and not request.include_usage:
            placement = "missing"
        # A vendor that sends usage in a chunk of its own announces it by a null in all the others.
        null_usage = {"usage": None} if self.name == "deepseek" or placement == "extra" else {}

        def event(kind: Literal["role", "content"], delta: Mapping[str, Any], tokens: int = 0) -> Event:
            return Event(dumps(self.chunk(request, delta) | null_usage | self.padding(request)), kind, tokens)

        events = []
        opening = self.opening(request, filled)
        if opening is not None:
            events.append(event("role", opening))
        for piece in words(filled.reasoning or ""):
            events.append(event("content", self.delta("reasoning_content", piece, thinking=True), 1))
        for piece in words(filled.refusal):
            events.append(event("content", self.delta("refusal", piece, thinking=False), 1))
        for piece in filled.pieces or ():
            events.append(event("content", self.delta("content", piece, thinking=thinking), 1))
        for delta in self.tool_deltas(filled.tool_calls):
            events.append(event("content", delta, 1))
        last = self.chunk(request, self.finish_delta(filled.finish_content, thinking=thinking), filled.finish)
        with_usage = {"usage": self.usage(spent)}
        if placement == "finish":
            last |= with_usage
            events.append(Event(dumps(last), "finish", bool(filled.finish_content), spent))
        else:
            events.append(
                Event(dumps(last | null_usage | self.padding(request)), "finish", bool(filled.finish_content))
            )
        if placement == "extra":
            extra = self.envelope(request) | {"choices": []} | with_usage | self.padding(request)
            events.append(Event(dumps(extra), "usage", 0, spent))
        return [*events, Event(b"[DONE]", "done")]

    def padding(self, request: UpstreamRequest) -> dict[str, Any]:
        """Return fields that carry nothing."""
        return {}

    def whole(self, request: UpstreamRequest, answer: Answer) -> tuple[bytes, Tokens]:
        """Return the same answer as one chat.completion object, with what it costs."""
        filled = self.filled(request, answer)
        spent = self.tokens_of(request, filled)
        message: dict[str, Any] = {"role": "assistant", "content": (filled.text or "") + filled.finish_content or None}
        if filled.reasoning:
            message["reasoning_content"] = filled.reasoning
        if filled.refusal or self.name == "openai":
            message["refusal"] = filled.refusal or None
        if filled.tool_calls:
            message["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in filled.tool_calls
            ]
        choice = {"index": 0, "message": message, "finish_reason": filled.finish}
        body = self.envelope(request) | {"object": "chat.completion", "choices": [choice], "usage": self.usage(spent)}
        return dumps(body), spent

    def models(self) -> bytes:
        """Return the body of GET /models."""
        rows = [{"id": model, "object": "model", "created": CREATED, "owned_by": self.name} for model in self.model_ids]
        return dumps({"object": "list", "data": rows})
