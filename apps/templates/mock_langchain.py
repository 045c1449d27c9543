"""Intent and optimisation by rules: no key, no network, no limit, the same answer to the same question."""

from __future__ import annotations

from apps.templates.answers import Intent, Source
from apps.templates.prompts.comparing import optimization
from apps.templates.prompts.requests import IntentRequest, OptimizeRequest
from apps.templates.prompts.steps import OptimizationStep
from apps.templates.rules import intent
from apps.templates.rules.language import language_to_write
from apps.templates.rules.rewriting import GOOD_TOTAL, rewrite_prompt
from apps.templates.rules.scoring import score_prompt
from apps.templates.rules.sure_intent import sure_category

__all__ = ["detect_intent", "is_good", "optimize"]


def detect_intent(request: IntentRequest) -> Intent:
    """Return what a query is about."""
    return intent.detect_intent(request.query)


def is_good(request: OptimizeRequest) -> bool:
    """Tell whether a prompt is to be left alone: it is good already, and says the tone and the readers wished for."""
    said = request.prompt.casefold()
    wishes = [wish for wish in (request.tone, request.audience) if wish]
    return all(wish.casefold() in said for wish in wishes) and score_prompt(request.prompt).total >= GOOD_TOTAL


def optimize(request: OptimizeRequest) -> OptimizationStep:
    """Return a prompt rewritten, or as it was if it is good or the rules have nothing to add to it."""
    prompt = request.prompt
    rewritten = rewrite_prompt(
        prompt,
        language=language_to_write(prompt),
        category=request.category or sure_category(prompt),
        tone=request.tone,
        audience=request.audience,
    )
    return OptimizationStep(optimization=optimization(prompt, rewritten, source=Source.RULES, usage=None, warnings=()))
