"""What a prompt is made of: its own sentences and their cues, apart from what it quotes, fences and leaves to fill in.

Every part is counted once, however often it is repeated. The reading is linear in the text, and of a long one only
its beginning and its end are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from apps.templates.answers import CRITERIA
from apps.templates.rendering import PLACEHOLDER, placeholders
from apps.templates.rules.cues import Hit, find_cues, function_words, words_of

__all__ = ["Anatomy", "Clause", "read_anatomy"]

_HEAD_CHARACTERS = 12_000
_TAIL_CHARACTERS = 4_000
"""A longer text is mostly material; what is asked stands before or after it."""
_QUOTED, _FENCED, _FILLED = "\ue000", "\ue001", "\ue002"
"""Stand for what was taken out; none of them is part of a word."""
_MARKS = str.maketrans({_QUOTED: " ", _FENCED: " ", _FILLED: " ", "’": "'", "\u200b": ""})
# Each ends at the next opening mark too, so that a text of opening marks alone is still read once.
_QUOTES = re.compile(
    r"`[^`\n]+`|\"[^\"\n]+\"|“[^“”\n]+”|„[^„“”\n]+[“”]|«[^«»\n]+»|「[^「」\n]+」|『[^『』\n]+』|‘[^‘’'\n]{4,}'"
)
_ITEM = re.compile(r"(?:[-*•+–]|\(?\d{1,3}[.)])[ \t]+")
_TAG = re.compile(r"<(/?)([A-Za-z][\w-]{0,40})>")
_SENTENCE_END = re.compile(r"(?<=[.!?;])\s+(?=\S)|(?<=[。！？；])")
_ABBREVIATIONS = re.compile(
    r"\b(e\.g|i\.e|z\. ?b|p\. ?ex|p\. ?ej|p\. ?es|bijv|bzw|etc|ca|vs|mr|mrs|dr|np)\.", re.IGNORECASE
)
_LABEL = re.compile(r"[^:：]{1,40}[:：](?=\s|$)")
_LABEL_WORDS = 4
_OTHER_SCRIPT = re.compile(r"[\u0370-\u1fff\u3040-\ud7af]")
_SHORT_WORDS, _SALAD_WORDS = 3, 8
"""An order may be of cues alone if it is as short as "Return JSON."; longer than the other, it needs small words."""
_CRITERIA_WORDS = frozenset(word for name in CRITERIA for word in words_of(name))
_COVERING = frozenset(
    ("role", "format", "unit", "limit", "audience", "purpose", "situation", "material")
    + ("assume", "example", "tone", "label", "vague", "verb", "person")
)


@dataclass(frozen=True, slots=True)
class Clause:
    """One sentence, list item or label line of the prompt's own words."""

    text: str
    words: tuple[str, ...]
    hits: tuple[Hit, ...]
    kinds: frozenset[str]
    """Of the hits."""
    content: frozenset[str]
    """Its words that are neither function words, cues of a kind that covers, nor names of our criteria."""
    is_item: bool
    is_label: bool
    """A heading, or a few words and a colon first."""
    holds: str
    """What stood in it and was taken out, as marks."""
    is_speech: bool
    """Reads like language: not a list of keywords, not words at random."""

    def has(self, *kinds: str) -> bool:
        """Return whether a cue of one of these kinds is in it."""
        return not self.kinds.isdisjoint(kinds)

    def first(self, kind: str) -> int | None:
        """Return the place of the first cue of a kind, or None."""
        return min((hit.start for hit in self.hits if hit.kind == kind), default=None) if kind in self.kinds else None


@dataclass(frozen=True, slots=True)
class Anatomy:
    """A prompt, read."""

    clauses: tuple[Clause, ...]
    """Each once, in order."""
    quotes: tuple[str, ...]
    fences: int
    """Code fences and tagged blocks with something in them."""
    placeholders: tuple[str, ...]
    items: int
    """Different list items."""
    labels: int
    content: frozenset[str]
    """The content words of everything that reads like language."""

    def find(self, *kinds: str) -> Iterator[Clause]:
        """Yield the clauses that read like language and hold a cue of one of these kinds."""
        return (clause for clause in self.clauses if clause.is_speech and clause.has(*kinds))


def read_anatomy(prompt: str) -> Anatomy:
    """Read a prompt. Never raises; at most 16,000 characters are looked at."""
    text = prompt.translate(_MARKS)
    if len(text) > _HEAD_CHARACTERS + _TAIL_CHARACTERS:
        text = text[:_HEAD_CHARACTERS] + "\n" + text[-_TAIL_CHARACTERS:]
    names = placeholders(text)
    lines, fences = _without_blocks(text.splitlines())
    quotes: list[str] = []

    def taken(match: re.Match[str]) -> str:
        quotes.append(match[0][1:-1])
        return f" {_QUOTED} "

    bare = _QUOTES.sub(taken, PLACEHOLDER.sub(f" {_FILLED} ", "\n".join(lines)))
    clauses: dict[tuple[object, ...], Clause] = {}
    for clause in _clauses(bare.split("\n")):
        clauses.setdefault((frozenset(clause.words), clause.holds[:1]), clause)
    read = tuple(clauses.values())
    return Anatomy(
        clauses=read,
        quotes=tuple(dict.fromkeys(quotes)),
        fences=fences,
        placeholders=names,
        items=sum(clause.is_item for clause in read),
        labels=sum(clause.is_label for clause in read),
        content=frozenset().union(*(clause.content for clause in read if clause.is_speech)),
    )


def _without_blocks(lines: Iterable[str]) -> tuple[list[str], int]:
    """Return the lines with each fenced or tagged block as one mark, and how many of them hold something."""
    kept: list[str] = []
    blocks = 0
    end = ""
    held = 0
    lines = list(lines)
    last_places = {line.strip(): place for place, line in enumerate(lines)}
    for place, line in enumerate(lines):
        bare = line.strip()
        if end:
            if bare.startswith(end):
                end = ""
                blocks += held > 0
            else:
                held += bool(bare)
            continue
        tag = _TAG.fullmatch(bare)
        if bare.startswith(("```", "~~~")):
            end, held = bare[:3], 0
        elif tag and not tag[1] and last_places.get(f"</{tag[2]}>", 0) > place:
            end, held = f"</{tag[2]}>", 0
        else:
            kept.append(line)
            continue
        kept.append(_FENCED)
    return kept, blocks + (held > 0 if end else 0)


def _clauses(lines: Iterable[str]) -> Iterator[Clause]:
    for line in lines:
        bare = line.strip()
        item = _ITEM.match(bare)
        if item:
            bare = bare[item.end() :]
        heading = bare.startswith("#") or (bare.startswith("**") and bare.endswith("**") and len(bare) > 4)
        for text in _SENTENCE_END.split(_ABBREVIATIONS.sub(lambda match: match[0].replace(".", ""), bare)):
            clause = _clause(text, item is not None, heading)
            if clause is not None:
                yield clause


def _clause(text: str, is_item: bool, is_heading: bool) -> Clause | None:
    words = words_of(text)
    if not words:
        return None
    hits = find_cues(text, words)
    covered = {place for hit in hits if hit.kind in _COVERING for place in range(hit.start, hit.end)}
    functions = function_words()
    free = [word for place, word in enumerate(words) if place not in covered and word not in _CRITERIA_WORDS]
    content = frozenset(word for word in free if word not in functions)
    return Clause(
        text=text.strip(),
        words=words,
        hits=hits,
        kinds=frozenset(hit.kind for hit in hits),
        content=content,
        is_item=is_item,
        is_label=is_heading or _is_label(text),
        holds="".join(mark for mark in (_QUOTED, _FENCED, _FILLED) if mark in text),
        is_speech=_is_speech(text, words, free),
    )


def _is_label(text: str) -> bool:
    label = _LABEL.match(text)
    return label is not None and len(words_of(label[0])) <= _LABEL_WORDS


def _is_speech(text: str, words: tuple[str, ...], free: list[str]) -> bool:
    different = len(set(words))
    if different <= _SALAD_WORDS:
        return bool(free) or (different <= _SHORT_WORDS and not set(words) <= _CRITERIA_WORDS)
    if len(set(free)) < 0.25 * different or different < 0.25 * len(words):
        return False  # cues alone, or the same words again and again
    if _OTHER_SCRIPT.search(text):
        return True  # a script whose function words are not all known here
    functions = function_words()
    return sum(1 for word in set(words) if word in functions) >= 0.08 * different
