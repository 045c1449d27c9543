"""From what a provider answers to what was asked for, where the provider cannot do it by itself.

- **A stop string** that the provider does not take: the answer is cut at it, reasoning and tool calls not searched.
- **A JSON Schema** that the provider does not take: it is asked to call one tool with that schema, whose arguments
  are the answer. Text beside the call is dropped. If the model answers with text all the same, that is the answer: at
  once where it begins like JSON, else at its end, as a call may follow until then.

One chunk at a time, in place; both work however the chunks are cut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from apps.llm.wire.stops import StopSearch
from apps.llm.wire.types import Chunk, JsonObject

__all__ = ["AnswerShaper", "Shaping"]

_MOST_HELD_CHARS = 65_536
"""Of text that may stand before the call of the answer's tool; a longer one is the answer."""


class Shaping(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done with one attempt's answer."""

    stop: tuple[str, ...] = ()
    """Strings to cut it at, each of at most MAX_STOP_CHARS."""
    answer_tool: str | None = None
    """The name of the tool whose arguments are the answer."""


class AnswerShaper:
    """Shapes the chunks of one attempt's answer. What it holds back is bounded, and returned by `rest`."""

    __slots__ = ("_extra", "_search", "_tool")

    def __init__(self, shaping: Shaping) -> None:
        self._tool = None if shaping.answer_tool is None else _AnswerTool(shaping.answer_tool)
        self._search = StopSearch(shaping.stop) if shaping.stop else None
        self._extra: JsonObject | None = None
        """Of chunks whose text is held back."""

    @property
    def is_cut(self) -> bool:
        """Whether a stop string has ended the answer: whatever the provider still sends is no part of it."""
        return self._search is not None and self._search.found

    def shape(self, chunk: Chunk) -> None:
        """Change a chunk to what it says of the answer that was asked for; it may say nothing any more."""
        if self._tool is not None:
            self._tool.shape(chunk)
        if self._search is not None:
            chunk.content = self._search.feed(chunk.content) if chunk.content else ""
            if self._search.found:
                chunk.finish_reason, chunk.native_finish_reason = "stop", None
                chunk.tool_calls, chunk.extra, self._extra = (), None, None
                return
            if chunk.finish_reason is not None:
                chunk.content += self._search.rest()
        if chunk.extra is not None or self._extra is not None:
            extra = _joined(self._extra, chunk.extra)
            self._extra, chunk.extra = (None, extra) if chunk.has_content or chunk.finish_reason else (extra, None)

    def rest(self) -> str:
        """Return the text that is held back, for an answer that ends without its finish."""
        text = self._tool.rest() if self._tool is not None else ""
        if self._search is None:
            return text
        text = self._search.feed(text) if text else ""
        return text if self._search.found else text + self._search.rest()


class _AnswerTool:
    """Makes content of the arguments of one tool, and leaves the calls of others."""

    __slots__ = ("_held", "_held_chars", "_index", "_is_prose", "_is_text", "_name", "_numbers", "_passed_over")

    def __init__(self, name: str) -> None:
        self._name = name
        self._index: int | None = None
        """Of the call that is the answer."""
        self._passed_over: set[int] = set()
        """Calls of the same tool when there is an answer."""
        self._numbers: dict[int, int] = {}
        """The client's own calls, numbered without that of the answer."""
        self._is_text = False
        """Whether the answer is the text that comes."""
        self._is_prose = False
        """Whether the text begins unlike JSON: a call may follow."""
        self._held: list[str] = []
        self._held_chars = 0

    def shape(self, chunk: Chunk) -> None:
        text = self._text(chunk.content) if chunk.content else ""
        if chunk.tool_calls:
            arguments, chunk.tool_calls = self._calls(chunk.tool_calls)
            text += arguments
        if chunk.finish_reason is not None:
            text = self.rest() + text
            if chunk.finish_reason == "tool_calls" and not self._numbers:
                chunk.finish_reason = "stop"
        chunk.content = text

    def rest(self) -> str:
        held = "".join(self._held)
        self._held.clear()
        return held

    def _text(self, text: str) -> str:
        if self._index is not None:
            return ""
        if self._is_text:
            return text
        self._held.append(text)
        self._held_chars += len(text)
        if not self._is_prose and (begun := text.lstrip()):
            self._is_text = begun[0] in "{["
            self._is_prose = not self._is_text
        if self._held_chars > _MOST_HELD_CHARS:
            self._is_text = True
        return self.rest() if self._is_text else ""

    def _calls(self, fragments: Sequence[JsonObject]) -> tuple[str, list[JsonObject]]:
        """Return what the answer's call adds, and the fragments of other calls."""
        arguments: list[str] = []
        others: list[JsonObject] = []
        for fragment in fragments:
            index: int = fragment["index"]
            function: Mapping[str, Any] = fragment.get("function") or {}
            if function.get("name") == self._name and index not in (self._index, *self._numbers):
                if self._index is None and not self._is_text:
                    self._index = index
                    self._held.clear()
                else:
                    self._passed_over.add(index)
            if index == self._index:
                arguments.append(function.get("arguments") or "")
            elif index not in self._passed_over:
                number = self._numbers.setdefault(index, len(self._numbers))
                others.append({**fragment, "index": number})
        return "".join(arguments), others


def _joined(first: JsonObject | None, second: JsonObject | None) -> JsonObject:
    """Return the members of two events' choices; the lists of log probabilities are joined."""
    if first is None or second is None:
        return first or second or {}
    joined = {**first, **second}
    one, other = first.get("logprobs"), second.get("logprobs")
    if isinstance(one, dict) and isinstance(other, dict):
        joined["logprobs"] = {
            name: [
                item for part in (one.get(name), other.get(name)) for item in (part if isinstance(part, list) else ())
            ]
            for name in {**one, **other}
        }
    return joined
