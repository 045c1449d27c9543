"""The judged queries over the starter library, and how well an order of templates answers them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Judged", "Quality", "judge", "ndcg", "read_judged", "reciprocal_rank"]

JUDGED = Path(__file__).parents[2] / "tests" / "templates" / "search" / "relevance.jsonl"
DEPTH = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A query as people type it, and how well templates answer it: 1 a little, 2 well, 3 as if made for it."""

    query: str
    kind: str
    grades: Mapping[str, int]
    """By slug. What is not named is 0."""
    is_held_out: bool
    """Whether it was left alone while weights were chosen: every third."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """The means over some queries, from 0 to 1."""

    queries: int
    ndcg: float
    """NDCG@10, with gains of 2^grade - 1."""
    mrr: float
    """Of the first template graded 2 or 3 among the first ten."""


def read_judged() -> list[Judged]:
    """Return all judged queries."""
    lines = JUDGED.read_text(encoding="utf-8").strip().split("\n")
    return [Judged(**json.loads(line), is_held_out=number % 3 == 0) for number, line in enumerate(lines, 1)]


def judge(queries: Sequence[Judged], search: Callable[[str], Sequence[str]]) -> Quality:
    """Return how well a search answers queries; it is given one and returns slugs, best first."""
    orders = [(query.grades, search(query.query)) for query in queries]
    return Quality(
        queries=len(orders),
        ndcg=sum(ndcg(grades, slugs) for grades, slugs in orders) / len(orders),
        mrr=sum(reciprocal_rank(grades, slugs) for grades, slugs in orders) / len(orders),
    )


def ndcg(grades: Mapping[str, int], slugs: Sequence[str]) -> float:
    """Return the gain of the first ten, later ones discounted, as a part of the greatest there could be."""
    return _gain([grades.get(slug, 0) for slug in slugs]) / _gain(sorted(grades.values(), reverse=True))


def reciprocal_rank(grades: Mapping[str, int], slugs: Sequence[str]) -> float:
    """Return 1 by the place of the first good answer among ten, 0 if there is none."""
    return next((1 / place for place, slug in enumerate(slugs[:DEPTH], 1) if grades.get(slug, 0) >= 2), 0.0)


def _gain(grades: Sequence[int]) -> float:
    return sum((2.0**grade - 1) / math.log2(place + 1) for place, grade in enumerate(grades[:DEPTH], 1))
