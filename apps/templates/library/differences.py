"""What changed between two versions: their texts line by line, their variables by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from apps.templates.answers import Piece
from apps.templates.library.pieces import line_pieces
from apps.templates.variables import Variable

__all__ = ["ChangedVariable", "Difference", "difference"]


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
