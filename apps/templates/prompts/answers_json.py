"""What the workbench answers, as JSON: the same members over HTTP, in streams and over WebSockets."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from apps.chat.engine.generation import Generation
from apps.chat.engine.stamp import usage_object
from apps.chat.services import Opened
from apps.templates.answers import Source
from apps.templates.library.presentation import found_json
from apps.templates.prompts.steps import CompletionStep, IntentStep, OptimizationStep, Step, TemplatesStep

__all__ = ["intent_json", "optimization_json", "step_json", "templates_json"]


def intent_json(step: IntentStep) -> dict[str, Any]:
    """Return an intent with the templates that it suggests; without that member where they are a step of their own."""
    intent = step.intent
    return {
        "category": intent.category,
        "confidence": intent.confidence,
        "alternatives": [asdict(alternative) for alternative in intent.alternatives],
        "language": intent.language,
        "entities": asdict(intent.entities),
        **({} if step.templates is None else {"suggested_templates": found_json(step.templates)["results"]}),
        "source": intent.source.value,
    }


def templates_json(step: TemplatesStep) -> dict[str, Any]:
    """Return the templates that match and the slug of the one in use."""
    return {"found": found_json(step.found)["results"], "used": step.used}


def optimization_json(step: OptimizationStep) -> dict[str, Any]:
    """Return a prompt before and after, with where it was saved if that was asked for."""
    done = step.optimization
    used = None if done.source is Source.RULES or done.usage is None else done.usage
    return {
        "original": done.original,
        "optimized": done.optimized,
        "unchanged": done.unchanged,
        "diff": [{"op": piece.op, "text": piece.text} for piece in done.diff],
        "criteria": [
            {"name": one.name, "before": one.before, "after": one.after, "why": one.why} for one in done.criteria
        ],
        "score_before": done.score_before,
        "score_after": done.score_after,
        "placeholders": {
            "kept": list(done.placeholders_kept),
            "lost": list(done.placeholders_lost),
            "added": list(done.placeholders_added),
        },
        "warnings": list(done.warnings),
        "source": done.source.value,
        "usage": None if used is None else usage_object(used, step.cost_nano_usd),
        **({} if step.saved is None else {"saved": {"slug": step.saved.slug, "version": step.saved.version}}),
    }


def step_json(step: Step) -> tuple[str, dict[str, Any]]:
    """Return a step's name and its members; of a completion, where to come back to it."""
    match step:
        case IntentStep():
            return "intent", intent_json(step)
        case TemplatesStep():
            return "templates", templates_json(step)
        case OptimizationStep():
            return "optimization", optimization_json(step)
        case CompletionStep():
            completion_id = _id_of(step.opened)
            events = f"/api/v2/chat/completions/{completion_id}/events/"
            return "completion", {"id": completion_id, "events": events}


def _id_of(opened: Opened) -> str:
    if isinstance(opened.generation, Generation):
        return opened.generation.order.id
    if opened.stored is None:
        raise RuntimeError("an opened completion is running or stored")
    return opened.stored.id
