"""What the workbench answers, whoever answers it: rules or a model. Plain data, the same over HTTP and WebSockets."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from apps.llm.wire.openai import Usage

__all__ = ["CRITERIA", "Alternative", "Criterion", "Entities", "Intent", "Optimization", "Piece", "Source"]

CRITERIA = ("clarity", "specificity", "context", "output_format", "constraints", "examples", "role")
"""What a prompt is scored by, in the order of the answer."""


class Source(enum.StrEnum):
    """Who made an answer."""

    MODEL = "model"
    RULES = "rules"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """Another category that a query may be about."""

    category: str
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Entities:
    """What a query says of the text that is wanted, in its own words; None for what it does not say."""

    audience: str | None = None
    tone: str | None = None
    length: str | None = None
    format: str | None = None
    product: str | None = None
    deadline: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """What a query is about. Confidences are from 0 to 1: how often an answer so sure is right."""

    category: str
    """One of the closed set, or `unknown`."""
    confidence: float
    alternatives: tuple[Alternative, ...]
    """The next most likely, best first; never the category itself."""
    language: str
    """ISO 639-1, or `und`."""
    entities: Entities
    source: Source
    usage: Usage | None = None
    """None for rules, which use nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """One thing a prompt is scored by, from 0 to 10, before and after, and what the scorer saw."""

    name: str
    before: int
    after: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One piece of a difference: without the inserts they make up the original, without the deletes the other."""

    op: str
    """`equal`, `delete` or `insert`."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimization:
    """A prompt before and after, and what can be checked about the change."""

    original: str
    optimized: str
    unchanged: bool
    diff: tuple[Piece, ...]
    criteria: tuple[Criterion, ...]
    """All of `CRITERIA`, in that order."""
    score_before: int
    """From 0 to 100: the weighted criteria."""
    score_after: int
    placeholders_kept: tuple[str, ...] = ()
    placeholders_lost: tuple[str, ...] = ()
    placeholders_added: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    source: Source = Source.RULES
    usage: Usage | None = None
