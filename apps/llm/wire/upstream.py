"""What an upstream's answer says: the one place that decides what is tolerated, for all providers, streamed and whole.

Servers that call their format OpenAI's differ in small things. None of these kills or spoils a good answer:

- **The name of an event** (`event: data`, `event: done`): gateways name theirs, the format names none. A chunk is read
  whatever it is called.
- **An event that is no chunk** (a ping, an empty object, text, a list): it is passed over. Gateways keep connections
  open with them. The answer is judged by its end; one with nothing else in it is a bad response.
- **An error of any form**: an `error` member in the event or in its choice, `"object": "error"`, `"type": "error"`,
  or anything but a chunk in an event called `error`. All are one error object, so that one table classifies them.
- **Choices as one object**, and a `message` in the place of a `delta`: read as what they stand for.
- **Content as parts**: text is text, thinking is reasoning, a refusal is a refusal; parts of other types say nothing.
- **`reasoning`** for `reasoning_content`: OpenRouter's and vLLM's name for it.
- **Tool calls without an index, an id, a type or arguments**, or with arguments as an object: `tool_calls.py` makes of
  them what clients take and may send back.
- **Members of a wrong type**: as if they were absent.
- **Usage of zeros**: a placeholder, which gateways send in each chunk. Zero never replaces a count, and is none where
  an answer came.
- **Finish words**: see `finish_of`.

What is not tolerated: a chunk that is broken off or is not UTF-8, as a piece of the answer is lost with it, and what is
over a bound (bytes, values and tool calls of an event, tool calls of an answer). Nothing here grows with the number of
odd events, and none of them is content, so that no watchdog counts it.
"""

from __future__ import annotations

from collections.abc import Mapping

from apps.llm.wire.chunk import chunk_of
from apps.llm.wire.json import loads
from apps.llm.wire.sse import NamedEvent
from apps.llm.wire.tool_calls import ToolCalls
from apps.llm.wire.types import Chunk, Usage

__all__ = ["BrokenChunk", "UpstreamAnswer", "finish_of"]

_SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "stop": ("end_turn", "eos", "eos_token", "end_of_turn", "end", "stop_sequence", "stop_token", "complete", "done"),
    "length": (
        "max_tokens",
        "max_output_tokens",
        "max_completion_tokens",
        "max_length",
        "model_length",
        "token_limit",
        "model_context_window_exceeded",
    ),
    "tool_calls": ("tool_call", "tool_use", "function_call", "function_calls"),
    "content_filter": ("content_filtered", "sensitive", "safety", "recitation", "blocklist", "prohibited_content"),
}
_FINISH_WORDS = {word: meaning for meaning, words in _SYNONYMS.items() for word in (meaning, *words)}
_NO_WORDS = frozenset({"", "null", "none", "undefined", "unspecified"})
_ERROR_WORDS = frozenset({"insufficient_system_resource", "network_error", "aborted", "abort", "error"})
"""The vendor gave up: the partial text is no answer."""
_MOST_WORD_CHARS = 64


class BrokenChunk(ValueError):
    """A chunk that cannot be read: a piece of the answer is lost with it."""


def finish_of(word: str) -> str | None:
    """Return OpenAI's word for a provider's finish, None if the word stands for an error.

    Known synonyms in any case, with `FINISH_REASON_` before them or not, become OpenAI's; an unknown word is `stop`:
    the provider ended its answer, whatever it calls that.
    """
    plain = _plain(word)
    return None if plain in _ERROR_WORDS else _FINISH_WORDS.get(plain, "stop")


class UpstreamAnswer:
    """One attempt's answer, read event by event. What it keeps is bounded by the tool calls of an answer."""

    __slots__ = ("_calls", "_has_chunk", "_has_odd_event", "_has_said", "_usage")

    def __init__(self) -> None:
        self._calls = ToolCalls()
        self._usage: Usage | None = None
        self._has_said = False
        self._has_chunk = False
        self._has_odd_event = False

    @property
    def is_nothing_but_odd_events(self) -> bool:
        """Whether something came, and not one chunk among it."""
        return self._has_odd_event and not self._has_chunk

    @property
    def counted(self) -> Usage:
        """What was counted so far; a 0 stands for what was not."""
        return self._usage or Usage(prompt_tokens=0, completion_tokens=0)

    @property
    def usage(self) -> Usage | None:
        """The provider's usage, None if it sent none, or none that can be true."""
        usage = self._usage
        if usage is None or not usage.prompt_tokens or (self._has_said and not usage.completion_tokens):
            return None
        return usage

    def read(self, payload: bytes) -> Chunk | None:
        """Return what an event says, None if it is no chunk.

        Its finish is a word of OpenAI's, its tool calls are of our own form, and a finish that stands for an error is
        an error. Raises BrokenChunk, and TooManyToolCalls.
        """
        is_error = False
        if isinstance(payload, NamedEvent):
            is_error = payload.name == "error"
            # The parser takes no bytes but plain ones.
            payload = bytes(payload)
        try:
            event = loads(payload)
        except ValueError:
            if b'"choices"' in payload:
                raise BrokenChunk("a chunk that cannot be read") from None
            event = payload.decode("utf-8", "replace") if is_error else None
        chunk = chunk_of(event, is_error=is_error)
        if chunk is None:
            self._has_odd_event = True
            return None
        self._has_chunk = True
        if chunk.tool_calls:
            chunk.tool_calls = self._calls.take(chunk.tool_calls)
        if not self._has_said:
            self._has_said = chunk.has_content
        if chunk.usage is not None:
            self._usage = chunk.usage if self._usage is None else _newer(self._usage, chunk.usage)
        if chunk.finish_reason is not None:
            _translate_finish(chunk, chunk.finish_reason)
        return chunk


def _translate_finish(chunk: Chunk, word: str) -> None:
    plain = _plain(word)
    chunk.finish_reason = None if plain in _NO_WORDS else finish_of(word)
    if plain in _ERROR_WORDS:
        chunk.error = chunk.error or {"code": plain}
    elif plain not in _FINISH_WORDS and plain not in _NO_WORDS:
        chunk.native_finish_reason = word[:_MOST_WORD_CHARS]


def _plain(word: str) -> str:
    return word[:_MOST_WORD_CHARS].strip().lower().removeprefix("finish_reason_")


def _newer(old: Usage, new: Usage) -> Usage:
    """Return the newer of two counts, with the older's where the newer says zero."""
    prompt = new if new.prompt_tokens else old
    completion = new if new.completion_tokens else old
    return Usage(
        prompt_tokens=prompt.prompt_tokens,
        completion_tokens=completion.completion_tokens,
        cached_tokens=prompt.cached_tokens,
        reasoning_tokens=completion.reasoning_tokens,
    )
