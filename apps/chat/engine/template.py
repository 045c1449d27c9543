"""The constant bytes of a provider's text events, learnt from one of them.

Most events of an answer differ in one string only. Once an event was parsed and understood, the bytes before and
after its text are its template: an event that has both says the same of everything but the text, so two compares and
a look at the text replace parsing it. Whatever does not match takes the full path.
"""

from __future__ import annotations

import re

from apps.chat.engine.log import Frame
from apps.llm.wire import json
from apps.llm.wire.openai import Chunk

__all__ = ["Template", "learn"]

# Printable ASCII without the quote and the backslash: the inside of a JSON string, just as it stands.
_PLAIN = re.compile(rb"[ !#-\[\]-~]+")
# Nothing is given back: a mebibyte of text would be remembered character by character.
_STRING = rb'"\s*+:\s*+"((?:[^"\\]++|\\.)++)"'
_MOST_LEARNT_BYTES = 16 * 1024
"""Of an event that a template is learnt from: of longer ones an answer has few."""
_VALUES = {
    "content": re.compile(rb'"content' + _STRING),
    "reasoning_content": re.compile(rb'"reasoning(?:_content)?' + _STRING),
    "refusal": re.compile(rb'"refusal' + _STRING),
}
"""Of the names that `wire/chunk.py` reads a kind from."""


class Template:
    """A provider's text events of one kind, and the frame that our own have."""

    __slots__ = ("_head", "_least_bytes", "_tail", "frame")

    def __init__(self, head: bytes, tail: bytes, frame: Frame) -> None:
        self.frame = frame
        self._head = head
        self._tail = tail
        self._least_bytes = len(head) + len(tail)

    def fragment_of(self, payload: bytes) -> bytes | None:
        """Return the JSON-escaped text of an event of this shape, None if it is of another, or empty, or not JSON."""
        if not payload.startswith(self._head) or not payload.endswith(self._tail) or len(payload) <= self._least_bytes:
            return None
        fragment = payload[len(self._head) : -len(self._tail)]
        if _PLAIN.fullmatch(fragment):
            return fragment
        try:
            text = json.loads(b'"%b"' % fragment)
        except ValueError:
            return None
        return json.dumps_text(text) if isinstance(text, str) else None


def learn(payload: bytes, chunk: Chunk, frame: Frame, kind: str) -> Template | None:
    """Return the template of an event that says nothing but one text, None if the text has no unmistakable place."""
    places = list(_VALUES[kind].finditer(payload)) if len(payload) <= _MOST_LEARNT_BYTES else ()
    if len(places) != 1:
        return None
    start, end = places[0].span(1)
    if json.loads(payload[start - 1 : end + 1]) != getattr(chunk, _ATTRIBUTES[kind]):
        return None
    return Template(payload[:start], payload[end:], frame)


_ATTRIBUTES = {"content": "content", "reasoning_content": "reasoning", "refusal": "refusal"}
