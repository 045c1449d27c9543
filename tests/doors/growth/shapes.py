"""Texts of any length, in the forms that readers of text have stumbled over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import cycle, islice

__all__ = ["SHAPES", "Shape", "distinct_words"]

Shape = Callable[[int], str]
"""Makes a text of so many characters."""


def distinct_words(characters: int) -> str:
    """Words that differ."""
    return "".join(f"w{number:x} " for number in range(characters // 4 + 1))[:characters]


def _repeated(piece: str) -> Shape:
    return lambda characters: "".join(islice(cycle(piece), characters))


def _around(before: str, piece: str, after: str) -> Shape:
    around = len(before) + len(after)
    return lambda characters: before + "".join(islice(cycle(piece), max(0, characters - around))) + after


def _numbered(form: str) -> Shape:
    def make(characters: int) -> str:
        length = len(form.format(4096))
        return "".join(form.format(number + 4096) for number in range(characters // length))

    return make


_MADE: Mapping[str, Shape] = {
    "words": distinct_words,
    "one word": _repeated("a"),
    "one word again and again": _repeated("list "),
    "capitals": _repeated("Ab. "),
    "blanks": _around("a", " ", "b"),
    "line ends": _around("```", "\n", "a"),
    "lines": _numbered("- item {}\n"),
    "digits": _around("1", ",1", "x"),
    "quotations": _numbered('"said {}", '),
    "opening marks": _repeated("\"'`([{<“«"),
    "one kind of mark": _repeated("`"),
    "placeholders": _numbered("{{{{ a{} }}}} "),
    "half placeholders": _repeated("{{ a "),
    "tags": _numbered("<a{}>\n"),
    "fences": _repeated("```\n"),
    "signs without spaces": _repeated("写报告"),
    "marks above letters": _around("a", "\u0315\u0300", ""),
    "backslashes": _around('"', '\\"', '"'),
    "addresses": _repeated("a@b.c/"),
}
SHAPES: Mapping[str, Shape] = {name: lru_cache(maxsize=32)(make) for name, make in _MADE.items()}
"""Made once of each size: most readers are measured at the same ones."""
