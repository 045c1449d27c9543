"""What an upstream is to stream and how it is to fail: it travels in the prompt, and both ends know the text."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import Literal, get_args

__all__ = ["Fault", "Plan", "piece", "plan_in", "random_plan"]

Fault = Literal["none", "cut", "reset", "error", "no_finish", "stall", "busy", "reject"]
"""How an upstream fails: `busy` and `reject` by their status, the others after `at` tokens."""

_WORDS = ("tide", "été", "🦉", '"quoted"', "line\nbreak", "\u2028", "back\\slash", "data: x", "漢字", "\r\n\r\n")
_FIELDS = re.compile(
    r"soak seed=(\d+) tokens=(\d+) interval_ms=(\d+) size=(\d+) fault=(\w+) at=(\d+) failing=([a-z,]*) ;"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One answer. `failing` names the vendors that have the fault; the others answer well."""

    seed: int
    tokens: int
    interval_ms: int
    size: int = 0
    """Characters of a token at the least."""
    fault: Fault = "none"
    at: int = 0
    failing: tuple[str, ...] = ()

    def __str__(self) -> str:
        return (
            f"soak seed={self.seed} tokens={self.tokens} interval_ms={self.interval_ms} size={self.size}"
            f" fault={self.fault} at={self.at} failing={','.join(self.failing)} ;"
        )

    @property
    def text(self) -> str:
        """The whole answer."""
        return "".join(piece(self, number) for number in range(self.tokens))


def plan_in(prompt: str) -> Plan:
    """Read a plan back. Raises ValueError if there is none."""
    found = _FIELDS.search(prompt)
    if found is None or found[5] not in get_args(Fault):
        raise ValueError("no plan in the prompt")
    seed, tokens, interval_ms, size = (int(found[number]) for number in range(1, 5))
    fault: Fault = found[5]  # type: ignore[assignment]
    failing = tuple(name for name in found[7].split(",") if name)
    return Plan(
        seed=seed, tokens=tokens, interval_ms=interval_ms, size=size, fault=fault, at=int(found[6]), failing=failing
    )


def piece(plan: Plan, number: int) -> str:
    """Return the text of one token: no two of a run are equal."""
    text = f"{plan.seed:x}.{number} {_WORDS[(plan.seed + number) % len(_WORDS)]} "
    return text if len(text) >= plan.size else text + "w" * (plan.size - len(text))


def random_plan(chance: random.Random, seed: int, longest_s: float) -> Plan:
    """Return a plan of a random length, most of them short."""
    interval_ms = chance.choice((20, 50, 100, 200, 400))
    seconds = min(longest_s, chance.expovariate(3.0 / longest_s) + 0.1)
    return Plan(seed=seed, tokens=max(2, int(seconds * 1000 / interval_ms)), interval_ms=interval_ms)
