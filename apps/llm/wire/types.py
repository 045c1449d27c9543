"""The types of OpenAI's chat format: a checked request, what one chunk says, the joined answer."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

__all__ = [
    "AssembledMessage",
    "Chunk",
    "CompletionRequest",
    "JsonObject",
    "Message",
    "OnDisconnect",
    "OnInterrupt",
    "Role",
    "Usage",
]

JsonObject = Mapping[str, Any]
Role = Literal["system", "developer", "user", "assistant", "tool"]
OnDisconnect = Literal["cancel", "continue"]
OnInterrupt = Literal["continue", "restart", "error"]


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One checked message. `wire` has the members that OpenAI's format knows, and none that is null."""

    role: Role
    wire: JsonObject
    media: Mapping[str, str] = {}
    """The types of its parts other than text and refusals, each with the path of the first."""
    text_chars: int = 0
    """Characters of text in it, tool arguments included: what token estimates are made of."""

    @property
    def has_image(self) -> bool:
        """Whether a part of it is an image."""
        return "image_url" in self.media


class CompletionRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A checked request. Every field that a provider may know is here or in `parameters`."""

    messages: tuple[Message, ...]
    model: str | None
    """None for absent, empty or `auto`."""
    stream: bool | None
    """None if absent: the Accept header decides."""
    include_usage: bool
    max_tokens: int | None
    """From `max_completion_tokens`, else `max_tokens`; each provider gets the name it takes."""
    newer_max_tokens: bool = False
    """Whether the client wrote the first of the two names."""
    stop: tuple[str, ...]
    tools: tuple[JsonObject, ...]
    tool_choice: str | JsonObject | None
    response_format: JsonObject | None
    thinking: bool | None
    reasoning_effort: str | None
    parameters: JsonObject
    """The other fields of the body that some provider knows, by name (`temperature`, `top_p`, `seed`, …), checked."""
    unknown: tuple[str, ...] = ()
    """Names of fields that nobody knows; what they said is not kept."""
    fallback: bool
    on_interrupt: OnInterrupt
    on_disconnect: OnDisconnect | None
    """None if absent: the default depends on the Idempotency-Key."""

    @property
    def has_images(self) -> bool:
        """Whether any message carries an image part."""
        return any(message.has_image for message in self.messages)

    @property
    def json_mode(self) -> bool:
        """Whether the answer must be JSON."""
        return self.response_format is not None and self.response_format.get("type") != "text"

    @property
    def prompt_chars(self) -> int:
        """Characters of text in all messages."""
        return sum(message.text_chars for message in self.messages)

    def memory_bytes(self, body_bytes: int) -> int:
        """Return what it takes in memory, read from so many bytes and written out once. Looks at every value.

        A string that is not ASCII keeps itself in UTF-8, too, from when it is written.
        """
        wires = [message.wire for message in self.messages]
        strings = list(_strings([*wires, *self.tools, self.response_format, self.parameters]))
        copies = 1 if all(map(str.isascii, strings)) else 2
        return sum(map(sys.getsizeof, strings)) + copies * body_bytes


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of one attempt or completion. `prompt_tokens` includes the cached, `completion_tokens` the reasoning."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens


class Chunk(msgspec.Struct, kw_only=True):
    """What one upstream event says. Empty strings and None mean that the event is silent on it."""

    content: str = ""
    reasoning: str = ""
    refusal: str = ""
    tool_calls: Sequence[JsonObject] = ()
    """Fragments as received; of an answer that `UpstreamAnswer` has read, in our own form."""
    extra: JsonObject | None = None
    """Choice-level fields beyond the delta that carry something, such as `logprobs`."""
    finish_reason: str | None = None
    """The vendor's own word; OpenAI's, once `UpstreamAnswer` has read it."""
    native_finish_reason: str | None = None
    """The vendor's own, where it is none that is known."""
    usage: Usage | None = None
    error: JsonObject | None = None
    """The `error` object of an error event inside a 200."""
    system_fingerprint: str | None = None

    @property
    def has_content(self) -> bool:
        """Whether it commits the answer: anything but roles, empty deltas, usage and finishes."""
        return bool(self.content or self.reasoning or self.refusal or self.tool_calls)


class AssembledMessage(msgspec.Struct, frozen=True, kw_only=True):
    """The joined deltas of one answer."""

    content: str | None
    reasoning_content: str | None
    refusal: str | None
    tool_calls: tuple[JsonObject, ...]
    finish_reason: str | None
    logprobs: JsonObject | None
    native_finish_reason: str | None = None
    """The provider's own word for its finish, where it is none that is known."""


def _strings(value: object) -> Iterator[str]:
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            pending += item
            pending += item.values()
        elif isinstance(item, list):
            pending += item
