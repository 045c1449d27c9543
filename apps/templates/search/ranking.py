"""How well a template answers a query: the same arithmetic over both databases. docs/search.md explains it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from apps.templates.search.index import COUNT_BOUND, Candidate
from apps.templates.search.query import Group, Variant

__all__ = ["Ranked", "group_weight", "rank"]

_FIELD_WEIGHTS = (6.0, 4.0, 2.0, 1.0)
"""Of title, tags, description, text."""
_SATURATION = 4.0
"""A group's strength at which it counts half of what it could."""
_REPEAT_BONUS = 0.2
_REPEATS = 3
"""How often a word counts in one field: once, and the bonus for each of two more."""
_NEIGHBOURS_BONUS = 0.15
"""For two things asked for that stand side by side in the title, the tags or the description."""
_USES_BONUS = 0.08
"""For each tenfold of uses."""
_LABELS = {"production": 1.0, "staging": 0.93, "draft": 0.86}
_LEAST_SHARE = 0.3
"""What matches less than this of what the best matches is not shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """A candidate and how good it is, from 0."""

    candidate: Candidate
    score: float


def rank(candidates: Sequence[Candidate], groups: Sequence[Group], weights: Sequence[float]) -> list[Ranked]:
    """Return the candidates that match, best first; equals by uses, then by id. `weights` are those of the groups."""
    tests = [[_test(variant) for variant in group.variants] for group in groups]
    whole = sum(weights) or 1.0
    found: list[Ranked] = []
    shares: list[float] = []
    for candidate in candidates:
        strengths = _strengths(candidate.fields, tests)
        if any(group.is_required and not strength for group, strength in zip(groups, strengths, strict=True)):
            continue
        share = sum(weight for weight, strength in zip(weights, strengths, strict=True) if strength) / whole
        if not share:
            continue
        match = sum(
            weight * strength / (strength + _SATURATION) for weight, strength in zip(weights, strengths, strict=True)
        )
        score = match / whole * (0.5 + share / 2) * (1 + _NEIGHBOURS_BONUS * _neighbours(candidate, groups))
        score *= (1 + _USES_BONUS * math.log10(1 + candidate.uses)) * _LABELS.get(candidate.label, _LABELS["draft"])
        found.append(Ranked(candidate=candidate, score=round(score, 6)))
        shares.append(share)
    least = _LEAST_SHARE * max(shares, default=0.0)
    kept = [ranked for ranked, share in zip(found, shares, strict=True) if share >= least]
    return sorted(kept, key=lambda ranked: (-ranked.score, -ranked.candidate.uses, ranked.candidate.template_id))


def group_weight(count: int, entries: int) -> float:
    """Return what a group counts for: the fewer templates match, the more.

    `count` is how many entries match it, up to `COUNT_BOUND`; `entries` how many there are. The caller may see all.
    """
    if not count:
        return 0.0
    if count >= COUNT_BOUND:
        return math.log(1 + max(1.0, entries / (2 * count)))
    return math.log(1 + entries / count)


def _test(variant: Variant) -> tuple[str, float]:
    """Return what is to be looked for in a row of stems, and what it counts."""
    stems = " ".join(variant.stems)
    return (f" {stems}" if variant.is_prefix else f" {stems} "), variant.quality


def _strengths(fields: tuple[str, ...], tests: Sequence[Sequence[tuple[str, float]]]) -> list[float]:
    """Return how strongly each group is in the fields: as its best variant."""
    everything = "|".join(fields)
    return [
        max((quality * _strength(fields, text) for text, quality in alternatives if text in everything), default=0.0)
        for alternatives in tests
    ]


def _strength(fields: tuple[str, ...], text: str) -> float:
    strength = 0.0
    for field, weight in zip(fields, _FIELD_WEIGHTS, strict=True):
        if times := field.count(text):
            strength += weight * (1 + _REPEAT_BONUS * (min(times, _REPEATS) - 1))
    return strength


def _neighbours(candidate: Candidate, groups: Sequence[Group]) -> int:
    """Return how many pairs of groups stand side by side, up to two."""
    stems = [group.variants[0].stems for group in groups]
    head = "|".join(candidate.fields[:3])
    pairs = zip(stems, stems[1:], strict=False)
    return min(2, sum(f" {' '.join((*first, *second))}" in head for first, second in pairs))
