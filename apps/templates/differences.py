"""What changed between two versions: their texts line by line, their variables by name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os.path import commonprefix

from apps.templates.answers import Piece
from apps.templates.variables import Variable

__all__ = ["ChangedVariable", "Difference", "difference", "line_pieces"]

MAX_COMPARED_LINES = 1_000
"""Of each text, without what both begin and end with. Longer middles are answered as one deletion and one insertion:
comparing takes time by the square of their length."""
_LINE = re.compile(r"[^\n]*\n|[^\n]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedVariable:
    """A variable that both versions have, each in its own way."""

    name: str
    before: Variable
    after: Variable


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Of two versions. Variables are compared by name; their order says nothing."""

    text: tuple[Piece, ...]
    added: tuple[Variable, ...]
    removed: tuple[Variable, ...]
    changed: tuple[ChangedVariable, ...]


def difference(
    *, text_before: str, variables_before: Sequence[Variable], text_after: str, variables_after: Sequence[Variable]
) -> Difference:
    """Return what changed from one version to another."""
    before = {variable.name: variable for variable in variables_before}
    after = {variable.name: variable for variable in variables_after}
    return Difference(
        text=line_pieces(text_before, text_after),
        added=tuple(variable for name, variable in after.items() if name not in before),
        removed=tuple(variable for name, variable in before.items() if name not in after),
        changed=tuple(
            ChangedVariable(name=name, before=before[name], after=variable)
            for name, variable in after.items()
            if name in before and before[name] != variable
        ),
    )


def line_pieces(before: str, after: str) -> tuple[Piece, ...]:
    """Return the difference of two texts in whole lines, each with its line end."""
    old, new = _LINE.findall(before), _LINE.findall(after)
    head = len(commonprefix([old, new]))
    tail = len(commonprefix([old[head:][::-1], new[head:][::-1]]))
    middle_old, middle_new = old[head : len(old) - tail], new[head : len(new) - tail]
    pieces = [
        ("equal", old[:head]),
        *_middle(middle_old, middle_new),
        ("equal", old[len(old) - tail :]),
    ]
    return tuple(_joined(pieces))


def _middle(old: list[str], new: list[str]) -> Iterator[tuple[str, list[str]]]:
    if max(len(old), len(new)) > MAX_COMPARED_LINES:
        yield "delete", old
        yield "insert", new
        return
    for op, old_from, old_to, new_from, new_to in difflib.SequenceMatcher(None, old, new).get_opcodes():
        if op == "equal":
            yield "equal", old[old_from:old_to]
        else:
            yield "delete", old[old_from:old_to]
            yield "insert", new[new_from:new_to]


def _joined(pieces: Sequence[tuple[str, list[str]]]) -> Iterator[Piece]:
    """Yield pieces without empty ones, neighbours of one kind as one."""
    pending_op, pending = "", ""
    for op, lines in pieces:
        text = "".join(lines)
        if op == pending_op or not text:
            pending += text
            continue
        if pending:
            yield Piece(op=pending_op, text=pending)
        pending_op, pending = op, text
    if pending:
        yield Piece(op=pending_op, text=pending)
