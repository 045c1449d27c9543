"""Where an answer ends at a stop string, for providers that do not stop at it themselves."""

from __future__ import annotations

from collections.abc import Sequence

from apps.llm.wire.json import join_surrogates

__all__ = ["MAX_STOP_CHARS", "StopSearch"]

MAX_STOP_CHARS = 1_024
"""Of a stop string that is searched for here: so much text is held back at the most."""


class StopSearch:
    """Searches a text that comes in pieces; the result does not depend on how it is cut.

    The string that is complete first ends the text; of two that are complete at once, the one that begins first. Text
    that may begin a stop string is held back. The work is linear in the text, for each stop string.
    """

    __slots__ = ("_half", "_held", "_matchers", "found")

    def __init__(self, stops: Sequence[str]) -> None:
        self.found = False
        self._matchers = [_Matcher(stop) for stop in stops]
        self._held = ""
        self._half = ""
        """The first half of a surrogate pair whose second is still to come."""

    def feed(self, piece: str) -> str:
        """Take a piece and return the text that no stop string can be part of; nothing more once one is found."""
        if self.found:
            return ""
        piece = join_surrogates(self._half + piece)
        self._half = piece[-1:] if "\ud800" <= piece[-1:] <= "\udbff" else ""
        piece = piece[: len(piece) - len(self._half)]
        text = self._held + piece
        ends = [place for matcher in self._matchers if (place := matcher.find(text, piece)) is not None]
        if ends:
            self.found = True
            self._held = self._half = ""
            return text[: min(ends)[1]]
        held_from = len(text) - max(matcher.matched for matcher in self._matchers)
        self._held = text[held_from:]
        return text[:held_from]

    def rest(self) -> str:
        """Return what is held back, as the text ends here."""
        rest = self._held + self._half
        self._held = self._half = ""
        return rest


class _Matcher:
    """Knuth, Morris and Pratt's search for one string, so that no character is looked at again and again."""

    __slots__ = ("_borders", "_stop", "matched")

    def __init__(self, stop: str) -> None:
        self.matched = 0
        """How many characters at the end of the text are the beginning of the string."""
        self._stop = stop
        borders = [0] * len(stop)
        border = 0
        for index in range(1, len(stop)):
            while border and stop[index] != stop[border]:
                border = borders[border - 1]
            border += stop[index] == stop[border]
            borders[index] = border
        self._borders = borders

    def find(self, text: str, piece: str) -> tuple[int, int] | None:
        """Return where the string ends and begins in a text that ends with a new piece, None if it is not there."""
        size = len(self._stop)
        if len(piece) >= size:
            # It is searched at the speed of C; only its end can begin the string.
            start = text.find(self._stop)
            if start >= 0:
                return start + size, start
            self.matched = 0
            piece = text[len(text) - size + 1 :]
        offset = len(text) - len(piece)
        matched = self.matched
        for index, character in enumerate(piece):
            while matched and self._stop[matched] != character:
                matched = self._borders[matched - 1]
            matched += self._stop[matched] == character
            if matched == size:
                end = offset + index + 1
                return end, end - size
        self.matched = matched
        return None
