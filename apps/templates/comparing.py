"""A prompt before and after: what changed word by word, which placeholders lived, and what the change is worth."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

from apps.llm.wire.openai import Usage
from apps.templates.answers import Criterion, Optimization, Piece, Source
from apps.templates.rendering import placeholders
from apps.templates.rules.scoring import CriterionScore, Score, score_prompt

__all__ = ["compare", "optimization", "placeholder_changes"]

MAX_WORDWISE_CHARACTERS = 16_000
"""Of both texts together; longer ones are compared line by line."""
MAX_LINES = 10_000
"""Of both texts together; with more, what is not equal at both ends is one deletion and one insertion."""
_MOST_CELLS = 400
"""Of the table that compares two short stretches without unique words; a larger one is replaced whole."""
_MOST_DEPTH = 12
_WORD = re.compile(r"\w+|\s+|[^\w\s]")

_Change = tuple[str, Sequence[str]]


def compare(original: str, optimized: str) -> tuple[Piece, ...]:
    """Return the difference of two texts: words, or lines of long texts, or one replacement of very long ones.

    The pieces but the inserts make up the original, the pieces but the deletes the other; none is empty, no two
    neighbours are of one kind, and a delete stands before its insert. Time grows about linearly and is bounded.
    """
    if len(original) + len(optimized) <= MAX_WORDWISE_CHARACTERS:
        before, after = _WORD.findall(original), _WORD.findall(optimized)
        is_short = True
    else:
        before, after = original.splitlines(keepends=True), optimized.splitlines(keepends=True)
        is_short = len(before) + len(after) <= MAX_LINES
    changes: list[_Change] = []
    _anchor(before, after, _MOST_DEPTH if is_short else 0, changes)
    return _pieces(changes)


def placeholder_changes(original: str, optimized: str) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Return the names of the placeholders that were kept, lost and added, each in the order of its text."""
    before, after = placeholders(original), placeholders(optimized)
    kept = tuple(name for name in before if name in set(after))
    lost = tuple(name for name in before if name not in set(after))
    added = tuple(name for name in after if name not in set(before))
    return kept, lost, added


def optimization(
    original: str, rewritten: str, *, source: Source, usage: Usage | None, warnings: Sequence[str]
) -> Optimization:
    """Return the answer about a rewrite: scored by one scorer before and after, and compared.

    A rewrite that lost a placeholder or scores below the original is dropped: the answer is `unchanged`, and a
    warning says why.
    """
    said = list(warnings)
    before = after = score_prompt(original)
    if rewritten != original:
        _, lost, _ = placeholder_changes(original, rewritten)
        after = score_prompt(rewritten)
        if lost:
            said.append(f"A rewrite was dropped because it lost placeholders: {', '.join(lost[:10])}.")
        elif after.total < before.total:
            said.append(f"A rewrite was dropped because it scored {after.total}, below the prompt's {before.total}.")
        if lost or after.total < before.total:
            rewritten, after = original, before
    kept, lost, added = placeholder_changes(original, rewritten)
    return Optimization(
        original=original,
        optimized=rewritten,
        unchanged=rewritten == original,
        diff=compare(original, rewritten),
        criteria=_criteria(before, after),
        score_before=before.total,
        score_after=after.total,
        placeholders_kept=kept,
        placeholders_lost=lost,
        placeholders_added=added,
        warnings=tuple(said),
        source=source,
        usage=usage,
    )


def _criteria(before: Score, after: Score) -> tuple[Criterion, ...]:
    return tuple(
        Criterion(name=was.name, before=was.points, after=now.points, why=_why(was, now))
        for was, now in zip(before.criteria, after.criteria, strict=True)
    )


def _why(was: CriterionScore, now: CriterionScore) -> str:
    return now.why if was.why == now.why else f"Before: {was.why} After: {now.why}"


def _anchor(before: Sequence[str], after: Sequence[str], depth: int, changes: list[_Change]) -> None:
    """Append the changes between two sequences, split at what is in each of them exactly once and in one order.

    The idea is Bram Cohen's patience diff, https://bramcohen.livejournal.com/73318.html.
    """
    first, last = _common_ends(before, after)
    if first:
        changes.append(("equal", before[:first]))
    end_before, end_after = len(before) - last, len(after) - last
    _between(before[first:end_before], after[first:end_after], depth, changes)
    if last:
        changes.append(("equal", before[end_before:]))


def _between(before: Sequence[str], after: Sequence[str], depth: int, changes: list[_Change]) -> None:
    anchors = _unique_in_order(before, after) if before and after and depth > 0 else []
    if not anchors:
        if before and after and depth > 0 and len(before) * len(after) <= _MOST_CELLS:
            _by_table(before, after, changes)
            return
        changes += [("delete", before), ("insert", after)]
        return
    start_before = start_after = 0
    for place_before, place_after in anchors:
        _anchor(before[start_before:place_before], after[start_after:place_after], depth - 1, changes)
        changes.append(("equal", before[place_before : place_before + 1]))
        start_before, start_after = place_before + 1, place_after + 1
    _anchor(before[start_before:], after[start_after:], depth - 1, changes)


def _common_ends(before: Sequence[str], after: Sequence[str]) -> tuple[int, int]:
    shorter = min(len(before), len(after))
    first = 0
    while first < shorter and before[first] == after[first]:
        first += 1
    last = 0
    while last < shorter - first and before[-1 - last] == after[-1 - last]:
        last += 1
    return first, last


def _unique_in_order(before: Sequence[str], after: Sequence[str]) -> list[tuple[int, int]]:
    """Return the places of the longest run of common unique parts that rises in both sequences."""
    counts_before, counts_after = Counter(before), Counter(after)
    places = {part: place for place, part in enumerate(after) if counts_after[part] == 1}
    pairs = [
        (place, places[part])
        for place, part in enumerate(before)
        if counts_before[part] == 1 and part in places and not part.isspace()
    ]
    # Patience sorting: for each length the lowest end so far, and for each pair the one before it.
    ends: list[int] = []
    tops: list[int] = []
    previous: list[int | None] = []
    for index, (_, place_after) in enumerate(pairs):
        pile = bisect_left(ends, place_after)
        previous.append(tops[pile - 1] if pile else None)
        if pile == len(ends):
            ends.append(place_after)
            tops.append(index)
        else:
            ends[pile] = place_after
            tops[pile] = index
    run: list[tuple[int, int]] = []
    at: int | None = tops[-1] if tops else None
    while at is not None:
        run.append(pairs[at])
        at = previous[at]
    return run[::-1]


def _by_table(before: Sequence[str], after: Sequence[str], changes: list[_Change]) -> None:
    """Append the changes by the longest common subsequence, which takes a cell for each pair of parts."""
    lengths = [[0] * (len(after) + 1) for _ in range(len(before) + 1)]
    for row in range(len(before) - 1, -1, -1):
        for column in range(len(after) - 1, -1, -1):
            lengths[row][column] = (
                lengths[row + 1][column + 1] + 1
                if before[row] == after[column]
                else max(lengths[row + 1][column], lengths[row][column + 1])
            )
    row = column = 0
    while row < len(before) and column < len(after):
        if before[row] == after[column]:
            changes.append(("equal", before[row : row + 1]))
            row, column = row + 1, column + 1
        elif lengths[row + 1][column] >= lengths[row][column + 1]:
            changes.append(("delete", before[row : row + 1]))
            row += 1
        else:
            changes.append(("insert", after[column : column + 1]))
            column += 1
    changes += [("delete", before[row:]), ("insert", after[column:])]


def _pieces(changes: Sequence[_Change]) -> tuple[Piece, ...]:
    """Return changes as pieces: between two equal ones at most one delete and one insert.

    White space alone that is equal between two changed stretches is given out as changed: whole phrases read better.
    """
    pieces: list[Piece] = []
    deleted: list[str] = []
    inserted: list[str] = []
    equal: list[str] = []

    def settle() -> None:
        for op, texts in (("equal", equal), ("delete", deleted), ("insert", inserted)):
            if any(texts):
                pieces.append(Piece(op=op, text="".join(texts)))
            texts.clear()

    for op, parts in changes:
        if not parts:
            continue
        if op == "equal":
            if deleted or inserted:
                settle()
            equal += parts
            continue
        if pieces and equal and not any(part.strip() for part in equal):
            _reopen(pieces, equal, deleted, inserted)
        (deleted if op == "delete" else inserted).extend(parts)
    settle()
    return tuple(pieces)


def _reopen(pieces: list[Piece], equal: list[str], deleted: list[str], inserted: list[str]) -> None:
    gap = "".join(equal)
    if pieces[-1].op == "equal" or len(pieces) < 2 or {pieces[-1].op, pieces[-2].op} != {"delete", "insert"}:
        return
    equal.clear()
    inserted += [pieces.pop().text, gap]
    deleted += [pieces.pop().text, gap]
