"""What the rules see in a query: words and phrases of known meaning, its words, pieces of its words, its shape."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from apps.core.normal_forms import normalize

__all__ = ["HEAD_CHARS", "TAIL_CHARS", "Features", "excerpt", "features", "fold", "says_what"]

HEAD_CHARS: Final = 450
"""What is asked stands at the beginning of a long query, before the material ..."""
TAIL_CHARS: Final = 200
"""... or at its end, behind it. What lies between is not read, which bounds the work."""

_MAX_WORDS: Final = 240
_MAX_CONCEPTS: Final = 20
_MAX_PHRASE_WORDS: Final = 5
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
    (
        "code",
        re.compile(r"[;{}]\s*(?:\n|$)|=>|==|\(\)|\);|</\w|^[^\S\n]*(?:def|import|class|const|let|var|public) ", re.M),
    ),
    ("query", re.compile(r"\bselect\b[^?]{1,200}\bfrom\b|\binsert into\b|\bcreate table\b|\bgroup by\b", re.I)),
    ("trace", re.compile(r"traceback|\w(?:error|exception)\b|\bat \w+\.\w+|line \d|exit code", re.I)),
    ("quoted", re.compile(r"[\"“„«「]\s*\w[^\"”“»」]{12}|\n>")),
    ("speaker", re.compile(r"(?:^|\n|\. )[A-Z]\w{0,11}: \w")),
    ("turn", re.compile(r"\b[A-Z]\w{1,11}: .{1,80}\b[A-Z]\w{1,11}: ", re.S)),
    ("colon", re.compile(r":\s+\S.{30}", re.S)),
    ("numbers", re.compile(r"(?:\d[\d.,%]{0,24}[ ,;/]{1,24}){3}")),
    ("link", re.compile(r"https?://|www\.")),
    ("asks", re.compile(r"[?？؟]\s*$")),
    ("list", re.compile(r"\n[^\S\n]*(?:[-*•]|\d+[.)]).*\n\s*(?:[-*•]|\d+[.)])")),
)


_SENTENCE_END = re.compile(r"(?<=[.!?;:…])\s+|\n+|(?<=[。！？；：])")
_ASKING: Final = frozenset(
    ("write", "draft", "make", "give", "create", "turn", "tell", "explain", "suggest", "list", "find", "help", "show")
    + ("summarise", "summarize", "translate", "check", "fix", "review", "describe", "plan", "compare", "rewrite", "put")
    + ("answer", "reply", "build", "prepare", "design", "compose", "shorten", "analyse", "analyze", "can", "could")
    + (
        "would",
        "please",
        "pls",
        "plz",
        "need",
        "want",
        "wanna",
        "d",
        "how",
        "what",
        "which",
        "why",
        "should",
        "something",
    )
    + ("bitte", "schreib", "schreibe", "mach", "brauche", "brauchen", "kannst", "konntest", "wie", "was", "welche")
    + ("ecris", "fais", "peux", "pourrais", "besoin", "comment", "quel", "quelle", "que", "faut", "voudrais")
    + ("escribe", "haz", "necesito", "puedes", "como", "cual", "quiero", "escreva", "faz", "preciso", "quero", "qual")
    + ("scrivi", "fai", "vorrei", "puoi", "cosa", "come", "quale", "schrijf", "maak", "graag", "kun", "hoe", "welke")
    + ("napisz", "zrob", "potrzebuje", "jak", "co", "yaz", "yap", "nasıl", "lazım", "напиши", "сделаи", "нужно", "как")
    + ("что", "помоги", "какие")
)
"""Words, folded, by which one sentence asks and others only tell."""
_ABOUT: Final = frozenset(
    ("about", "that", "which", "because", "who", "whose", "where", "since", "saying", "telling", "explaining")
    + ("uber", "weil", "dass", "sobre", "porque", "sur", "su", "perche", "over", "omdat", "про")
)
"""Words behind which the wanted text's subject stands, and no longer what kind of text it is."""
_LEAST_ASKED_WORDS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """What was seen, in groups that are weighed apart."""

    concepts: frozenset[str]
    words: frozenset[str]
    pieces: frozenset[str]
    asked: frozenset[str]
    """Concepts and words of the clause that asks."""
    told: frozenset[str]
    """Concepts of all that stands around it."""


def excerpt(query: str, head_chars: int = HEAD_CHARS, tail_chars: int = TAIL_CHARS) -> str:
    """Return the part of a query that is read: all of a short one, the head and the tail of a long one."""
    if len(query) <= head_chars + tail_chars:
        return query
    return f"{query[:head_chars]}\n{query[-tail_chars:]}"


def fold(text: str) -> str:
    """Return a text without case, accents and compatibility forms, scripts without spaces set apart."""
    text = normalize("NFC", _MARKS.sub("", normalize("NFKD", text.casefold())))
    return _RUN.sub(r" \1 ", text.replace("c++", "cpp").replace("c#", "csharp").replace("ı", "i"))


def says_what(query: str) -> bool:
    """Return whether a query has a word that is no filler: "help me do it please" has none."""
    words = _WORD.findall(fold(excerpt(query)))
    return any(word not in _fillers() for word in words) and not all(word.isdecimal() for word in words)


def features(query: str) -> Features:
    """Return what is to be weighed in a query."""
    text = excerpt(query)
    words, begin, end = _words_and_asking(text)
    found = list(_concepts(words))
    concepts = _first_few(concept for _, concept in found)
    asked = _first_few(concept for at, concept in found if begin <= at < end)
    told = _first_few(concept for at, concept in found if not begin <= at < end)
    shapes = {f"/{name}" for name, pattern in _SHAPES if pattern.search(text)}
    shapes.add(f"/words{min(len(words), 4) if len(words) < 5 else 5 + min(len(words) // 8, 8)}")
    openings = {f"^{concept}" for concept in concepts[:1]} | {f"^{word}" for word in words[:1]}
    plain = ["0" if word.isdecimal() else word for word in words]
    clause = plain[begin:end]
    return Features(
        concepts=frozenset({*(f"={concept}" for concept in concepts), *_pairs(concepts), *shapes, *openings}),
        words=frozenset({*plain, *map(" ".join, zip(plain, plain[1:], strict=False))}),
        pieces=frozenset(piece for word in {*plain} for piece in _pieces(word)),
        asked=frozenset(
            {*(f"={concept}" for concept in asked), *_pairs(asked), *clause}
            | {*map(" ".join, zip(clause, clause[1:], strict=False))}
            | {f"^{' '.join(clause[:size])}" for size in (1, 2, 3) if len(clause) >= size}
        ),
        told=frozenset(f"={concept}" for concept in told),
    )


def _words_and_asking(text: str) -> tuple[list[str], int, int]:
    """Return the words of a text, and where among them the clause that asks begins and ends."""
    words: list[str] = []
    best, begin, end = -1, 0, 0
    for sentence in _SENTENCE_END.split(text):
        inside = [word[:_MAX_WORD_CHARS] for word in _WORD.findall(fold(sentence))][: _MAX_WORDS - len(words)]
        asking = min(3, sum(word in _ASKING for word in inside) + sentence.rstrip().endswith(("?", "？", "؟")))
        if inside and asking > best:
            best, begin, end = asking, len(words), len(words) + len(inside)
        words += inside
    for at in range(begin + _LEAST_ASKED_WORDS, end):
        if words[at] in _ABOUT:
            return words, begin, at
    return words, begin, end


def _first_few(concepts: Iterable[str]) -> list[str]:
    return list(itertools.islice(dict.fromkeys(concepts), _MAX_CONCEPTS))


def _pairs(concepts: list[str]) -> Iterator[str]:
    for n, one in enumerate(concepts):
        for other in concepts[:n]:
            yield f"{min(one, other)}&{max(one, other)}"


def _pieces(word: str) -> Iterator[str]:
    framed = f"<{word}>"
    for size in (2, 3, 4, 5):
        for at in range(len(framed) - size + 1):
            yield framed[at : at + size]


def _concepts(words: list[str]) -> Iterator[tuple[int, str]]:
    """Return where each concept begins, and its name."""
    cues = _cues()
    negated_until = -1
    for at, word in enumerate(words):
        if word in _NEGATORS:
            negated_until = at + _NEGATED_WORDS
        for concept in _concepts_at(cues, words, at):
            yield at, f"!{concept}" if at <= negated_until else concept


@functools.cache
def _fillers() -> frozenset[str]:
    lines = Path(__file__).with_name("intent_fillers.txt").read_text(encoding="utf-8").split("\n")
    return frozenset(word for line in lines if line[:1] != "#" for word in _WORD.findall(fold(line.partition(": ")[2])))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cues:
    """What concepts are known by."""

    exact: dict[str, tuple[str, ...]]
    """The concepts of each word, phrase, and stem of a word (`stem*`)."""
    open_phrases: dict[str, tuple[tuple[str, tuple[str, ...]], ...]]
    """For the words before the last of a phrase that ends in a stem: each stem with its concepts."""


def _concepts_at(cues: _Cues, words: list[str], at: int) -> Iterator[str]:
    word = words[at]
    if _RUN.match(word):
        for begin in range(len(word)):
            for end in range(begin + 1, min(begin + _MAX_RUN_CHARS, len(word)) + 1):
                yield from cues.exact.get(word[begin:end], ())
        return
    bare = _ARABIC_PREFIX.sub("", word, count=1) if "\u0600" <= word[0] <= "\u06ff" else word
    for form in dict.fromkeys((word, bare)):
        yield from cues.exact.get(form, ())
        for end in range(_MIN_STEM_CHARS, min(len(form), _MAX_STEM_CHARS) + 1):
            yield from cues.exact.get(form[:end] + "*", ())
    phrase = word
    for following in words[at + 1 : at + _MAX_PHRASE_WORDS]:
        for stem, concepts in cues.open_phrases.get(phrase, ()):
            if following.startswith(stem):
                yield from concepts
        phrase = f"{phrase} {following}"
        yield from cues.exact.get(phrase, ())


@functools.cache
def _cues() -> _Cues:
    """Read what each word, stem (`stem*`) and phrase stands for."""
    exact: dict[str, tuple[str, ...]] = {}
    open_phrases: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {}
    for line in Path(__file__).with_name("intent_words.txt").read_text(encoding="utf-8").split("\n"):
        concept, colon, rest = line.partition(": ")
        if colon and not line.startswith("#"):
            for cue in fold(rest).split(","):
                form = " ".join(_WORD.findall(cue)) + "*" * cue.rstrip().endswith("*")
                if concept not in exact.setdefault(form, ()):
                    exact[form] += (concept,)
    for form, concepts in exact.items():
        before, space, last = form.rpartition(" ")
        if space and last.endswith("*"):
            open_phrases[before] = (*open_phrases.get(before, ()), (last[:-1], concepts))
    return _Cues(exact=exact, open_phrases=open_phrases)
