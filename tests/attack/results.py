"""What came of an attack."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

from tests.attack.target import Target

__all__ = ["Attack", "NotTried", "Result", "Verdict", "attack", "broken", "held"]


class Verdict(enum.StrEnum):
    """The closed list."""

    HELD = "held"
    BROKEN = "broken"
    NOT_TRIED = "not tried"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The end of one attack: the verdict and, in one line, what was seen."""

    verdict: Verdict
    seen: str


class NotTried(Exception):
    """The attack cannot be carried out here; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One attack. It raises NotTried, or an OSError where the server went away, or returns what it saw."""

    name: str
    run: Callable[[Target], Result]
    is_thorough: bool
    """Whether it takes more than some seconds: it runs with --thorough alone."""


def attack(name: str, *, is_thorough: bool = False) -> Callable[[Callable[[Target], Result]], Attack]:
    """Make an attack of a function."""

    def decorate(run: Callable[[Target], Result]) -> Attack:
        return Attack(name=name, run=run, is_thorough=is_thorough)

    return decorate


def held(seen: str) -> Result:
    """Say that the server withstood it."""
    return Result(verdict=Verdict.HELD, seen=seen)


def broken(seen: str) -> Result:
    """Say that it did not."""
    return Result(verdict=Verdict.BROKEN, seen=seen)
