"""The results of a run as a table for people and as JSON."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.rows import Figure, Outcome, Row

__all__ = ["Results"]

Value = float | None


class Results:
    """All outcomes: by row, then by target, one for each round (None if the load failed)."""

    def __init__(self, rows: Sequence[Row], targets: Sequence[str]) -> None:
        self._rows = rows
        self._targets = targets
        self._outcomes: dict[str, dict[str, list[Outcome | None]]] = {row.name: {} for row in rows}
        self._failed: Counter[str] = Counter()

    def add(self, row: Row, target: str, outcome: Outcome | None) -> None:
        """Keep one outcome."""
        self._outcomes[row.name].setdefault(target, []).append(outcome)
        if outcome is None:
            self._failed[target] += 1

    def median(self, row: Row, target: str, key: str) -> Value:
        """Return a figure's median over the rounds."""
        return _median([_value(outcome, key) for outcome in self._of(row, target)])

    def ratio(self, row: Row, target: str, to: str, key: str) -> Value:
        """Return the median of a figure's ratio to another target's in the same round."""
        return self._paired(row, target, to, key, lambda ours, theirs: ours / theirs if theirs else None)

    def added(self, row: Row, target: str, key: str) -> Value:
        """Return the median of what a figure has over the direct way's in the same round."""
        return self._paired(row, target, "direct", key, lambda ours, theirs: ours - theirs)

    def table(self) -> str:
        """Return a Markdown table: figures down, targets across, the ratio to nginx in brackets."""
        compared = [name for name in self._targets if name not in ("direct", "nginx", "relay")]
        to_relay = "relay" in self._targets
        heads = [*self._targets, *(f"{name} ÷ relay" for name in compared if to_relay)]
        lines = [["figure", *heads], ["---", *("---:" for _ in heads)]]
        for row in self._rows:
            for figure in row.figures:
                cells = [self._cell(row, name, figure) for name in self._targets]
                if to_relay:
                    cells += [self._against_relay(row, name, figure) for name in compared]
                lines.append([figure.label, *cells])
        lines.append(["errors and lost, repeated or reordered events", *self._faults(), *("" for _ in heads)])
        return "\n".join(f"| {' | '.join(cells[: len(heads) + 1])} |" for cells in lines)

    def check(self) -> str:
        """Say how far the load generator was from being the bottleneck."""
        shares = [
            outcome.load_core_share or 0.0
            for targets in self._outcomes.values()
            for outcomes in targets.values()
            for outcome in outcomes
            if outcome is not None
        ]
        return f"upstream and load generator kept their core busy for at most {max(shares, default=0):.0%}"

    def as_json(self) -> dict[str, Any]:
        """Return every figure of every round, medians and ratios with them."""
        return {
            row.name: {
                target: {
                    "rounds": [_plain(outcome) for outcome in outcomes],
                    "median": {key: self.median(row, target, key) for key in _keys(outcomes)},
                    "to_nginx": {key: self.ratio(row, target, "nginx", key) for key in _keys(outcomes)},
                    "to_relay": {key: self.ratio(row, target, "relay", key) for key in _keys(outcomes)},
                    "added_to_direct": {key: self.added(row, target, key) for key in _keys(outcomes)},
                }
                for target, outcomes in self._outcomes[row.name].items()
            }
            for row in self._rows
        }

    def _of(self, row: Row, target: str) -> list[Outcome | None]:
        return self._outcomes[row.name].get(target, [])

    def _paired(self, row: Row, target: str, to: str, key: str, compare: Callable[[float, float], Value]) -> Value:
        pairs = zip(self._of(row, target), self._of(row, to), strict=False)
        values = [(_value(ours, key), _value(theirs, key)) for ours, theirs in pairs]
        return _median([None if ours is None or theirs is None else compare(ours, theirs) for ours, theirs in values])

    def _cell(self, row: Row, target: str, figure: Figure) -> str:
        value = self.median(row, target, figure.key)
        if figure.compare == "added":
            if target == "direct":
                return f"({value:.{figure.digits}f})" if value is not None else "–"
            value = self.added(row, target, figure.key)
        if value is None:
            return "–"
        text = f"{value:,.{figure.digits}f}"
        ratio = self.ratio(row, target, "nginx", figure.key) if figure.compare == "ratio" else None
        return text if ratio is None or target == "nginx" else f"{text} ({ratio:.2f} ×)"

    def _against_relay(self, row: Row, target: str, figure: Figure) -> str:
        ratio = self.ratio(row, target, "relay", figure.key) if figure.compare == "ratio" else None
        return "" if ratio is None else f"{ratio:.2f}"

    def _faults(self) -> list[str]:
        cells = []
        for name in self._targets:
            faults: Counter[str] = Counter()
            for targets in self._outcomes.values():
                for outcome in targets.get(name, []):
                    faults.update(outcome.faults if outcome is not None else {})
            faults["loads failed"] += self._failed[name]
            cells.append(", ".join(f"{count} {kind}" for kind, count in faults.items() if count) or "0")
        return cells


def _value(outcome: Outcome | None, key: str) -> Value:
    return outcome.figures.get(key) if outcome is not None else None


def _median(values: Sequence[Value]) -> Value:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _keys(outcomes: Sequence[Outcome | None]) -> list[str]:
    return list(dict.fromkeys(key for outcome in outcomes if outcome is not None for key in outcome.figures))


def _plain(outcome: Outcome | None) -> dict[str, Any] | None:
    if outcome is None:
        return None
    return {**outcome.figures, "faults": outcome.faults, "load_core_share": outcome.load_core_share}
