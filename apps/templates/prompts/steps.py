"""What the operations of the workbench return, and what a run yields, one after the other."""

from __future__ import annotations

from dataclasses import dataclass

from apps.chat.services import Opened
from apps.templates.answers import Intent, Optimization
from apps.templates.search import Found

__all__ = ["CompletionStep", "IntentStep", "OptimizationStep", "Saved", "Step", "TemplatesStep"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IntentStep:
    """What a query is about. `templates` is None where they are a step of their own."""

    intent: Intent
    templates: tuple[Found, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplatesStep:
    """The templates that match, best first, and the slug of the one that the variables filled."""

    found: tuple[Found, ...]
    used: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """Where a rewritten prompt was saved: a version without a label."""

    slug: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizationStep:
    """A prompt before and after; what the model calls on the way to it cost together, None if that is not known."""

    optimization: Optimization
    cost_nano_usd: int | None = None
    saved: Saved | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionStep:
    """The completion that was asked for. Its reader is open: whoever gets the step drives it or closes it."""

    opened: Opened


Step = IntentStep | TemplatesStep | OptimizationStep | CompletionStep
