"""A scenario: how one request is answered, and what the contract asks of a relay that meets it."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tests.upstream.request import UpstreamRequest
from tests.upstream.steps import Step

__all__ = ["VENDOR_NAMES", "Outcome", "Scenario", "named", "scripted"]

VENDOR_NAMES = ("deepseek", "zai", "openai")
Steps = Callable[[UpstreamRequest], Iterable[Step]]


class Outcome(enum.StrEnum):
    """What a client of the relay must see."""

    ANSWERS = "answers"
    """A whole answer, with a finish_reason and `[DONE]`."""
    FAILS_FIRST = "fails_first"
    """A failure before any content: the next provider answers, or the true status comes back."""
    FAILS_LATER = "fails_later"
    """Content, then a failure: the in-stream error and no `[DONE]`."""
    CLIENTS_FAULT = "clients_fault"
    """A 400 of ours; no other provider is tried."""
    OPEN = "open"
    """The contract leaves it open: a whole answer or a truthful failure, in bounded time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One way to answer."""

    name: str
    description: str
    steps: Steps
    outcome: Outcome = Outcome.OPEN
    failure: str | None = None
    """The `Failure` value that the attempt must end with, None where the contract does not say."""
    text: str | None = None
    """The content that a client must receive, byte for byte, before the end; None if it depends or is open."""
    reasoning: str | None = None
    refusal: str | None = None
    finish: str | None = None
    """The finish_reason that a client must receive."""
    vendors: tuple[str, ...] = VENDOR_NAMES
    """The vendors that answer like this."""
    endless: bool = False
    """Whether it ends only when the peer hangs up: a watchdog must."""
    checked: bool = False
    """Whether a request that the vendor would refuse is refused instead."""
    group: str = "own"


def named(name: str, description: str, **fields: Any) -> Callable[[Steps], Scenario]:
    """Turn a function from a request to steps into a scenario; `fields` are the scenario's others."""

    def decorate(steps: Steps) -> Scenario:
        return Scenario(name=name, description=description, steps=steps, **fields)

    return decorate


def scripted(*steps: Step, name: str = "scripted", outcome: Outcome = Outcome.OPEN) -> Scenario:
    """Make a scenario of fixed steps, the same for every request."""
    return Scenario(name=name, description="steps of a test's own", steps=lambda request: steps, outcome=outcome)
