"""The labelled queries, the third of them that training never sees, and the training material beside them."""

from __future__ import annotations

import functools
import hashlib
import json
import re
import unicodedata
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["FRESH", "LABELLED", "LEARNT_PLAIN", "MEASURED_PLAIN", "UNSEEN", "Line", "inputs_digest", "labelled_parts"]
__all__ += ["read_asides", "read_lines", "read_training", "split", "training_material", "trigrams"]

_ROOT = Path(__file__).parents[2]
LABELLED = _ROOT / "tests" / "templates" / "intents.jsonl"
_RULES = _ROOT / "apps" / "templates" / "rules"
FRESH = _ROOT / "tests" / "templates" / "intents_fresh.jsonl"
UNSEEN = _ROOT / "tests" / "templates" / "intents_unseen.jsonl"
TRAINING = Path(__file__).parent / "training"
ASIDES = Path(__file__).with_name("asides.txt")
LEARNT_PLAIN = Path(__file__).parent / "plain"
MEASURED_PLAIN = _ROOT / "tests" / "templates" / "plain"

_WORD = re.compile(r"[^\W_]+")
_NEAR = 0.5
"""Two queries that share this part of their trigrams are one group, and on one side of the split."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One labelled query."""

    query: str
    label: str
    language: str
    also: tuple[str, ...] = ()
    entities: dict[str, str] = field(default_factory=dict)


def read_lines(path: Path) -> list[Line]:
    """Return the lines of one JSONL file."""
    return [
        Line(
            query=item["query"],
            label=item["label"],
            language=item["language"],
            also=tuple(item["also"]),
            entities=item["entities"],
        )
        for item in map(json.loads, filter(None, path.read_text(encoding="utf-8").split("\n")))
    ]


def read_training() -> list[Line]:
    """Return the training material: in each file `# label language` heads the queries below it, one a line.

    A query of several lines has `\\n` where one ends.
    """
    lines = []
    for path in sorted(TRAINING.glob("*.txt")):
        label, language = "", ""
        for text in path.read_text(encoding="utf-8").split("\n"):
            if text.startswith("# "):
                label, language = text[2:].split()
            elif text.strip():
                lines.append(Line(query=text.strip().replace("\\n", "\n"), label=label, language=language))
    return lines


@functools.cache
def read_asides() -> tuple[str, ...]:
    """Return sentences that people put around what they ask, and that ask for nothing."""
    return tuple(ASIDES.read_text(encoding="utf-8").strip().split("\n"))


def inputs_digest() -> str:
    """Return the digest of all that the weights of the rules are made from."""
    digest = hashlib.sha256()
    rules = (_RULES / name for name in ("features.py", "intent.py", "intent_words.txt"))
    plain = (path for directory in (LEARNT_PLAIN, MEASURED_PLAIN) for path in sorted(directory.glob("*.yaml")))
    for path in (LABELLED, UNSEEN, ASIDES, *sorted(TRAINING.glob("*.txt")), *plain, *rules):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@functools.cache
def labelled_parts() -> tuple[tuple[Line, ...], tuple[Line, ...]]:
    """Return the labelled queries: those to train on, and the third held out."""
    training, held_out = split(read_lines(LABELLED))
    return tuple(training), tuple(held_out)


def split(lines: list[Line]) -> tuple[list[Line], list[Line]]:
    """Return the lines to train on and the third held out; near-duplicates stay together."""
    groups = _groups([line.query for line in lines])
    held = {member for group in groups for member in group if _is_held_out([lines[index].query for index in group])}
    return [line for n, line in enumerate(lines) if n not in held], [lines[n] for n in sorted(held)]


def trigrams(query: str) -> frozenset[str]:
    """Return what two queries are compared by."""
    plain = unicodedata.normalize("NFKD", query.casefold())
    padded = f" {' '.join(_WORD.findall(plain)) or plain} "
    return frozenset(padded[at : at + 3] for at in range(len(padded) - 2))


class Neighbours:
    """Queries, and for another one the near-duplicates among them; only those that share a trigram are compared."""

    def __init__(self) -> None:
        self._grams: list[frozenset[str]] = []
        self._with: defaultdict[str, list[int]] = defaultdict(list)

    def add(self, query: str) -> None:
        """Take one more; its number is how many there were before."""
        grams = trigrams(query)
        for gram in grams:
            self._with[gram].append(len(self._grams))
        self._grams.append(grams)

    def near(self, query: str) -> list[int]:
        """Return the numbers of the near-duplicates of a query."""
        own = trigrams(query)
        shared = Counter[int]()
        for gram in own:
            shared.update(self._with.get(gram, ()))
        return [
            other for other, count in shared.items() if count >= _NEAR * (len(own) + len(self._grams[other]) - count)
        ]


def training_material() -> list[Line]:
    """Return the lines of the training directory but those near to a line that is held out or unseen."""
    measured = Neighbours()
    for line in (*labelled_parts()[1], *read_lines(UNSEEN)):
        measured.add(line.query)
    return [line for line in read_training() if not measured.near(line.query)]


def _is_held_out(queries: list[str]) -> bool:
    digest = min(hashlib.sha256(query.encode()).digest() for query in queries)
    return int.from_bytes(digest[:8]) % 3 == 0


def _groups(queries: list[str]) -> list[list[int]]:
    seen = Neighbours()
    leader = list(range(len(queries)))

    def find(index: int) -> int:
        while leader[index] != index:
            index = leader[index]
        return index

    for n, query in enumerate(queries):
        for m in seen.near(query):
            leader[find(n)] = find(m)
        seen.add(query)
    groups = defaultdict(list)
    for n in range(len(queries)):
        groups[find(n)].append(n)
    return list(groups.values())
