"""Words as search has them: folded, cut from a text with their places, stemmed. The same for texts and for queries.

Scripts that put no space between words are cut into overlapping pairs of characters, and the last one by itself: any
piece of such a text is then a row of its pairs.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from apps.core.normal_forms import normalize
from apps.templates.search.stems import stem

__all__ = ["MAX_WORD_CHARACTERS", "Word", "analysed", "fold", "is_spaceless", "words_in"]

MAX_WORD_CHARACTERS = 40
"""What is longer is no word that anybody types: it is cut."""

# Han, kana, hangul, and the scripts of Thailand, Laos, Burma and Cambodia.
_SPACELESS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
    "\uf900-\ufaff\U00020000-\U0003ffff"
)
_SPACELESS_RUN = re.compile(f"[{_SPACELESS}]+")
# Letters, digits and marks, with what joins the parts of a compound. Marks are no word characters to `re`.
_MARKS = "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0900-\u0903\u093a-\u094f\u0981-\u0983\u09bc-\u09cd"
_WORD = re.compile(rf"[^\W_][\w{_MARKS}]*(?:[-'’/&.][^\W_][\w{_MARKS}]*)*")
_JOINT = re.compile(r"[-'’/&._]")
# Scripts whose marks tell no letters apart, or are left out by those who type.
_MARK_DROPPED = re.compile("[\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670]")
_UNMARKED = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "ħ": "h", "ŧ": "t"}
)


class Word(NamedTuple):
    """A word of a text, as it is looked for, and where it stands: str indices, the end excluded."""

    word: str
    """Folded."""
    stem: str
    start: int
    end: int
    parts: tuple[str, ...] = ()
    """The stems of a compound's parts (`stand-up`: of `stand` and `up`), which stand before it by themselves."""


def fold(text: str) -> str:
    """Return a text without case, accents and other ways to write the same letter."""
    if text.isascii():
        return text.lower()
    decomposed = normalize("NFKD", text.casefold())
    return normalize("NFKC", _MARK_DROPPED.sub("", decomposed)).casefold().translate(_UNMARKED)


def is_spaceless(word: str) -> bool:
    """Return whether a word is of a script that is cut into pairs of characters."""
    return _SPACELESS_RUN.match(word) is not None


def words_in(text: str) -> Iterator[Word]:
    """Yield the words of a text in its order. A compound comes after its parts, written in one."""
    for match in _WORD.finditer(text):
        piece = match.group()
        if piece.isascii() and piece.isalnum():
            yield Word(*_word(piece[:MAX_WORD_CHARACTERS]), *match.span())
        else:
            yield from _words_of(piece, match.start())


def analysed(text: str) -> str:
    """Return the stems of a text with a space between two, compounds last: ` a b | ab `.

    Two stems side by side are so in the text; nothing is side by side across a bar.
    """
    row: list[str] = []
    compounds: list[str] = []
    for word in words_in(text):
        (compounds if word.parts else row).append(word.stem)
    return " ".join(["", *row, *(f"| {compound}" for compound in compounds), ""])


def _words_of(text: str, start: int) -> Iterator[Word]:
    parts: list[Word] = []
    place = start
    for piece in _JOINT.split(text):
        parts.extend(_plain_words(piece, place))
        place += len(piece) + 1
    if len(parts) > 1 and parts[-1].word == "s" and text[-2] in "'’":
        del parts[-1]
    yield from parts
    if 1 < len(parts) <= 4 and not any(is_spaceless(part.word) for part in parts):
        joined = "".join(part.word for part in parts)[:MAX_WORD_CHARACTERS]
        stems = tuple(part.stem for part in parts)
        yield Word(joined, stem(joined), start, parts[-1].end, stems)


def _plain_words(text: str, start: int) -> Iterator[Word]:
    """Yield what a piece without joints is made of: one word, or pairs of characters."""
    place = 0
    for run in _SPACELESS_RUN.finditer(text):
        yield from _one_word(text[place : run.start()], start + place)
        for at in range(run.start(), run.end()):
            end = min(at + 2, run.end())
            if pair := _letters(text[at:end]):
                yield Word(pair, pair, start + at, start + end)
        place = run.end()
    yield from _one_word(text[place:], start + place)


def _one_word(text: str, start: int) -> Iterator[Word]:
    word, stemmed = _word(text[:MAX_WORD_CHARACTERS])
    if word:
        yield Word(word, stemmed, start, start + len(text))


@functools.lru_cache(maxsize=20_000)
def _word(text: str) -> tuple[str, str]:
    """Return a word folded, and its stem. The 20,000 asked for last are remembered."""
    word = _letters(text)[:MAX_WORD_CHARACTERS]
    return word, stem(word)


def _letters(text: str) -> str:
    folded = fold(text)
    if folded.isalnum():
        return folded
    # Folding can leave what is no letter: a fraction's stroke, the space under a mark that stands by itself.
    return "".join(letter for letter in folded if letter.isalnum() or unicodedata.category(letter).startswith("M"))
