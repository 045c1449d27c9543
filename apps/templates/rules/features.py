"""What the rules see in a query: words and phrases of known meaning, its words, pieces of its words, its shape."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["HEAD_CHARS", "TAIL_CHARS", "Features", "excerpt", "features", "fold"]

HEAD_CHARS: Final = 700
"""What is asked stands at the beginning of a long query, before the material ..."""
TAIL_CHARS: Final = 300
"""... or at its end, behind it. What lies between is not read, which bounds the work."""

_MAX_WORDS: Final = 240
_MAX_CONCEPTS: Final = 12
_MAX_PHRASE_WORDS: Final = 4
_MIN_STEM_CHARS, _MAX_STEM_CHARS = 2, 14
_MAX_RUN_CHARS: Final = 8
_MAX_WORD_CHARS: Final = 24

_MARKS = re.compile("[\u0300-\u036f\u0640\u064b-\u0655\u0670]")
_UNSPACED = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0002ffff"
_RUN = re.compile(f"([{_UNSPACED}]+)")
_WORD = re.compile("(?:[^\\W_]|[\u0900-\u0dff\u0e00-\u0e7f\u3099])+")
_ARABIC_PREFIX = re.compile("(?:[وفبلك]?ال|لل|و)(?=\\w{3})")

_NEGATORS: Final = frozenset(
    ("not", "no", "kein", "keine", "keinen", "keinem", "nicht", "sin", "sem", "senza", "sans", "ohne", "without")
    + ("geen", "niet", "bez", "без", "не", "nie")
)
_NEGATED_WORDS: Final = 3

_SHAPES: Final = (
    ("code", re.compile(r"[;{}]\s*(?:\n|$)|=>|==|\(\)|\);|</\w|^\s*(?:def|import|class|const|let|var|public) ", re.M)),
    ("query", re.compile(r"\bselect\b[^?]{1,200}\bfrom\b|\binsert into\b|\bcreate table\b|\bgroup by\b", re.I)),
    ("trace", re.compile(r"traceback|\w(?:error|exception)\b|\bat \w+\.\w+|line \d|exit code", re.I)),
    ("quoted", re.compile(r"[\"“„«「]\s*\w[^\"”“»」]{12}|\n>")),
    ("speaker", re.compile(r"(?:^|\n|\. )[A-Z]\w{0,11}: \w")),
    ("turn", re.compile(r"\b[A-Z]\w{1,11}: .{1,80}\b[A-Z]\w{1,11}: ", re.S)),
    ("colon", re.compile(r":\s+\S.{30}", re.S)),
    ("numbers", re.compile(r"(?:\d[\d.,%]*[ ,;/]+){3}")),
    ("link", re.compile(r"https?://|www\.")),
    ("asks", re.compile(r"[?？؟]\s*$")),
    ("list", re.compile(r"(?:\n\s*(?:[-*•]|\d+[.)]).*){2}")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """What was seen, in three groups that are weighed apart."""

    concepts: frozenset[str]
    words: frozenset[str]
    pieces: frozenset[str]


def excerpt(query: str, head_chars: int = HEAD_CHARS, tail_chars: int = TAIL_CHARS) -> str:
    """Return the part of a query that is read: all of a short one, the head and the tail of a long one."""
    if len(query) <= head_chars + tail_chars:
        return query
    return f"{query[:head_chars]}\n{query[-tail_chars:]}"


def fold(text: str) -> str:
    """Return a text without case, accents and compatibility forms, scripts without spaces set apart."""
    text = unicodedata.normalize("NFC", _MARKS.sub("", unicodedata.normalize("NFKD", text.casefold())))
    return _RUN.sub(r" \1 ", text.replace("c++", "cpp").replace("c#", "csharp").replace("ı", "i"))


def features(query: str) -> Features:
    """Return what is to be weighed in a query."""
    text = excerpt(query)
    words = [word[:_MAX_WORD_CHARS] for word in _WORD.findall(fold(text))][:_MAX_WORDS]
    concepts = list(dict.fromkeys(_concepts(words)))[:_MAX_CONCEPTS]
    shapes = {f"/{name}" for name, pattern in _SHAPES if pattern.search(text)}
    shapes.add(f"/words{min(len(words), 4) if len(words) < 5 else 5 + min(len(words) // 8, 8)}")
    pairs = {f"{min(one, other)}&{max(one, other)}" for n, one in enumerate(concepts) for other in concepts[:n]}
    openings = {f"^{concept}" for concept in concepts[:1]} | {f"^{word}" for word in words[:1]}
    plain = ["0" if word.isdecimal() else word for word in words]
    return Features(
        concepts=frozenset({*(f"={concept}" for concept in concepts), *pairs, *shapes, *openings}),
        words=frozenset({*plain, *map(" ".join, zip(plain, plain[1:], strict=False))}),
        pieces=frozenset(piece for word in {*plain} for piece in _pieces(word)),
    )


def _pieces(word: str) -> Iterator[str]:
    framed = f"<{word}>"
    for size in (2, 3, 4, 5):
        for at in range(len(framed) - size + 1):
            yield framed[at : at + size]


def _concepts(words: list[str]) -> Iterator[str]:
    cues = _cues()
    negated_until = -1
    for at, word in enumerate(words):
        if word in _NEGATORS:
            negated_until = at + _NEGATED_WORDS
        for concept in _concepts_at(cues, words, at):
            yield f"!{concept}" if at <= negated_until else concept


def _concepts_at(cues: dict[str, tuple[str, ...]], words: list[str], at: int) -> Iterator[str]:
    word = words[at]
    if _RUN.match(word):
        for begin in range(len(word)):
            for end in range(begin + 1, min(begin + _MAX_RUN_CHARS, len(word)) + 1):
                yield from cues.get(word[begin:end], ())
        return
    bare = _ARABIC_PREFIX.sub("", word, count=1) if "\u0600" <= word[0] <= "\u06ff" else word
    for form in dict.fromkeys((word, bare)):
        yield from cues.get(form, ())
        for end in range(_MIN_STEM_CHARS, min(len(form), _MAX_STEM_CHARS) + 1):
            yield from cues.get(form[:end] + "*", ())
    phrase = word
    for following in words[at + 1 : at + _MAX_PHRASE_WORDS]:
        phrase = f"{phrase} {following}"
        yield from cues.get(phrase, ())


@functools.cache
def _cues() -> dict[str, tuple[str, ...]]:
    """Return the concepts that each word, stem (`stem*`) and phrase stands for."""
    cues: dict[str, tuple[str, ...]] = {}
    for line in Path(__file__).with_name("intent_words.txt").read_text(encoding="utf-8").split("\n"):
        concept, colon, rest = line.partition(": ")
        if colon and not line.startswith("#"):
            for cue in fold(rest).split(","):
                form = " ".join(_WORD.findall(cue)) + "*" * cue.rstrip().endswith("*")
                if concept not in cues.setdefault(form, ()):
                    cues[form] += (concept,)
    return cues
