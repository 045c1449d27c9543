"""The words that show what a text says, found in one walk over its words, in every language at once.

No language is guessed first: the cues of all of them are looked up together, so a short or mixed text loses nothing.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

__all__ = ["Hit", "find_cues", "function_words", "is_unspaced", "languages_of_words", "read_yaml", "words_of"]

_FILE = Path(__file__).parent / "cues.yaml"
_UNSPACED = ("zh", "ja", "ar", "hi")
"""Languages that are searched as pieces: without spaces, or with endings and marks that part a word."""
_LONGEST_WORD = 40
"""No cue is longer, so the rest of a longer word changes nothing."""
_UNSPACED_SIGN = re.compile(r"[\u0600-\u06ff\u0900-\u097f\u3040-\u9fff]")
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+")


class Hit(NamedTuple):
    """A cue of one kind, over the words from `start` up to `end`. A tuple: a prompt makes hundreds of them."""

    kind: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Cue:
    kind: str
    words: tuple[str, ...]
    stem: bool
    """The last word may go on."""


@dataclass(frozen=True, slots=True)
class _Index:
    exact: dict[str, tuple[_Cue, ...]]
    """By first word."""
    stems: dict[str, tuple[_Cue, ...]]
    """One-word cues with any ending."""
    stem_lengths: tuple[int, ...]
    pieces: tuple[tuple[str, str], ...]
    """Kind and piece of text."""
    functions: dict[str, frozenset[str]]
    """By language."""


def read_yaml(path: Path) -> Any:
    """Return what one of our own YAML files holds; by the parser in C where there is one, which is ten times faster."""
    return yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def words_of(text: str) -> tuple[str, ...]:
    """Return a text's words, casefolded; each sign of Chinese and Japanese is one."""
    return tuple(_WORD.findall(text.casefold()))


def find_cues(text: str, words: Sequence[str]) -> tuple[Hit, ...]:
    """Return every cue in a text, given with its words. Linear in both."""
    hits: list[Hit] = []
    for start, word in enumerate(words):
        kinds, phrases = _cues_at(word[:_LONGEST_WORD])
        for kind in kinds:
            hits.append(Hit(kind, start, start + 1))
        for cue in phrases:
            if _matches(cue, words, start):
                hits.append(Hit(cue.kind, start, start + len(cue.words)))
    if is_unspaced(text):
        for kind, piece in _index().pieces:
            place = text.find(piece)
            if place >= 0:
                start = min(len(words_of(text[:place])), len(words) - 1)
                hits.append(Hit(kind, start, start + len(words_of(piece))))
    return tuple(hits)


def is_unspaced(text: str) -> bool:
    """Return whether a text has signs of a script whose cues are searched as pieces."""
    return _UNSPACED_SIGN.search(text) is not None


def function_words() -> frozenset[str]:
    """Return the words that say nothing by themselves, of every language together."""
    return _all_functions()


def languages_of_words(words: Sequence[str]) -> dict[str, int]:
    """Return for each language how many of the words are its function words."""
    return {
        language: count
        for language, known in _index().functions.items()
        if (count := sum(1 for word in words if word in known))
    }


# Bounded, and worth it: a text has few different words, and a prompt is read several times.
@functools.lru_cache(maxsize=4_096)
def _cues_at(word: str) -> tuple[tuple[str, ...], tuple[_Cue, ...]]:
    """Return the kinds of the cues that are this one word, and the longer cues that begin with it."""
    index = _index()
    cues = list(index.exact.get(word, ()))
    for length in index.stem_lengths:
        cues += index.stems.get(word[:length], ()) if length <= len(word) else ()
    kinds = dict.fromkeys(cue.kind for cue in cues if len(cue.words) == 1)
    return tuple(kinds), tuple(cue for cue in cues if len(cue.words) > 1)


def _matches(cue: _Cue, words: Sequence[str], start: int) -> bool:
    count = len(cue.words)
    found = tuple(words[start : start + count])
    if cue.stem and len(found) == count:
        return found[:-1] == cue.words[:-1] and found[-1].startswith(cue.words[-1])
    return found == cue.words


@functools.cache
def _all_functions() -> frozenset[str]:
    return frozenset().union(*_index().functions.values())


@functools.cache
def _index() -> _Index:
    exact: dict[str, list[_Cue]] = {}
    stems: dict[str, list[_Cue]] = {}
    pieces: list[tuple[str, str]] = []
    functions: dict[str, frozenset[str]] = {}
    for language, kinds in read_yaml(_FILE).items():
        for kind, listed in kinds.items():
            written = [cue.strip() for cue in listed.split(",")]
            if language in _UNSPACED:
                pieces += [(kind, piece) for piece in written]
                continue
            if kind == "function":
                functions[language] = frozenset(written)
                continue
            for cue in written:
                words = words_of(cue)
                home = stems if cue.endswith("*") and len(words) == 1 else exact
                home.setdefault(words[0], []).append(_Cue(kind, words, cue.endswith("*")))
    return _Index(
        exact={word: tuple(dict.fromkeys(cues)) for word, cues in exact.items()},
        stems={word: tuple(dict.fromkeys(cues)) for word, cues in stems.items()},
        stem_lengths=tuple(sorted({len(word) for word in stems})),
        pieces=tuple(pieces),
        functions=functions,
    )
