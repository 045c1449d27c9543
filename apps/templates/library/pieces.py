"""What changed between two texts, in pieces: word by word or line by line."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

from apps.templates.answers import Piece

__all__ = ["MAX_LINES", "line_pieces", "word_pieces"]

MAX_WORDWISE_CHARACTERS = 16_000
"""Of both texts together; longer ones are compared line by line."""
MAX_LINES = 10_000
"""Of both texts together; with more, what is not equal at both ends is one deletion and one insertion."""
_MOST_CELLS = 400
"""Of the table that compares two short stretches without unique parts; a larger one is replaced whole."""
_MOST_DEPTH = 12
_WORD = re.compile(r"\w+|\s+|[^\w\s]")
_LINE = re.compile(r"[^\n]*\n|[^\n]+")

_Change = tuple[str, Sequence[str]]


def word_pieces(before: str, after: str) -> tuple[Piece, ...]:
    """Return the difference of two texts in words, or as `line_pieces` does if they are long.

    The pieces but the inserts make up the one text, the pieces but the deletes the other; none is empty, no two
    neighbours are of one kind, and a delete stands before its insert. Time grows about linearly and is bounded.
    """
    if len(before) + len(after) > MAX_WORDWISE_CHARACTERS:
        return line_pieces(before, after)
    return _compared(_WORD.findall(before), _WORD.findall(after), _MOST_DEPTH)


def line_pieces(before: str, after: str) -> tuple[Piece, ...]:
    """Return the difference of two texts in whole lines, each with its line end; see `word_pieces`."""
    old, new = _LINE.findall(before), _LINE.findall(after)
    return _compared(old, new, _MOST_DEPTH if len(old) + len(new) <= MAX_LINES else 0)


def _compared(before: Sequence[str], after: Sequence[str], depth: int) -> tuple[Piece, ...]:
    changes: list[_Change] = []
    _anchor(before, after, depth, changes)
    return _pieces(changes)


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
