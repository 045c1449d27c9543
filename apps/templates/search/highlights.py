"""Where in a text the words stand that a query was found by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from apps.templates.search.query import Group, Variant
from apps.templates.search.words import Word, words_in

__all__ = ["Highlight", "highlights"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Highlight:
    """A range of a field's text: indices of a Python str, that is of code points; the end is excluded."""

    field: str
    """`title` or `description`."""
    start: int
    end: int


def highlights(field: str, text: str, groups: Sequence[Group]) -> list[Highlight]:
    """Return the ranges of a text that answer a query, in order, none touching another. Whole words; never HTML."""
    words = list(words_in(text))
    row = [word for word in words if not word.parts]
    places: dict[str, list[Word]] = {}
    for word in words:
        places.setdefault(word.stem, []).append(word)
    variants = (variant for group in groups for variant in group.variants)
    spans = sorted(span for variant in variants for span in _spans(variant, places, row))
    merged: list[tuple[int, int]] = []
    for start, end in spans:
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return [Highlight(field=field, start=start, end=end) for start, end in merged]


def _spans(variant: Variant, places: Mapping[str, Sequence[Word]], row: Sequence[Word]) -> Iterator[tuple[int, int]]:
    *first, last = variant.stems
    if first and first[0] not in places:
        return
    endings = [stem for stem in places if stem.startswith(last)] if variant.is_prefix else [last]
    for stem in endings:
        if not first:
            yield from ((word.start, word.end) for word in places.get(stem, ()))
        elif stem in places:
            wanted = [*first, stem]
            for at in range(len(row) - len(first)):
                here = row[at : at + len(wanted)]
                if [word.stem for word in here] == wanted:
                    # Each word by itself: what stands between two was not asked for.
                    yield from ((word.start, word.end) for word in here)
