"""Intent and optimisation by a model, whichever of the chain answers. Its answer is trusted with nothing.

Every call is a completion of the caller's, as if they had sent it: one rate slot, one stream slot, one row, their
budget.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from apps.chat import services
from apps.llm.errors import RateLimited
from apps.llm.wire.openai import Usage
from apps.templates.answers import Intent, Source
from apps.templates.prompts.asking import Asker, ModelAnswer, ModelFailed, ask_model
from apps.templates.prompts.comparing import optimization
from apps.templates.prompts.model_answers import read_intent_answer
from apps.templates.prompts.model_prompts import intent_body, rewrite_body
from apps.templates.prompts.requests import IntentRequest, OptimizeRequest
from apps.templates.prompts.steps import OptimizationStep
from apps.templates.prompts.workload import worked_out
from apps.templates.rules.judging import Verdict, judge_rewrite, strip_wrapping
from apps.templates.rules.language import detect_language, language_to_write

__all__ = ["INTENT_S", "OPTIMIZE_S", "detect_intent", "optimize"]

INTENT_S = 8.0
"""For the whole of an answer about intent; a form waits for it."""
OPTIMIZE_S = 30.0
"""For both tries of a rewrite together."""


async def detect_intent(asker: Asker, request: IntentRequest) -> Intent:
    """Return what a query is about. Raises ModelFailed, or what refused the caller."""
    answer = await ask_model(asker, intent_body(request.query), deadline_s=INTENT_S)
    try:
        return await worked_out(partial(_intent, answer, request.query))
    except ValueError as error:
        raise ModelFailed(f"broken answer: {error}") from None


async def optimize(asker: Asker, request: OptimizeRequest, *, slots_left: int = 0) -> OptimizationStep:
    """Return a prompt rewritten, or as it was, with a warning, if no answer was a rewrite of it.

    An answer that obeyed the prompt, lost a placeholder or changed the language is asked for once more, if that
    leaves so many slots of the rate window. Raises ModelFailed, or what refused the caller before anything was spent.
    """
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + OPTIMIZE_S
    language = await worked_out(partial(language_to_write, request.prompt))
    answers: list[ModelAnswer] = []
    reason = ""
    for again in (False, True):
        if again and (await services.window_of(asker.caller)).remaining <= slots_left:
            break
        body = rewrite_body(
            request.prompt,
            language=language,
            category=request.category,
            tone=request.tone,
            audience=request.audience,
            again=again,
        )
        try:
            answers.append(await ask_model(asker, body, deadline_s=ends_at - loop.time()))
        except RateLimited:
            if not again:
                raise
            # The first answer is spent: it is of no use to refuse the caller now.
            break
        text = answers[-1].text
        verdict = await worked_out(partial(_verdict, request.prompt, text, language))
        if verdict.accepted:
            return await _step(request.prompt, strip_wrapping(text), answers, warnings=verdict.warnings)
        reason = verdict.reason
    warnings = (f"The model's answer was rejected: {reason}.",)
    return await _step(request.prompt, request.prompt, answers, warnings=warnings)


def _intent(answer: ModelAnswer, query: str) -> Intent:
    return read_intent_answer(answer.text, query, language=detect_language(query), usage=answer.usage)


def _verdict(prompt: str, text: str, language: str) -> Verdict:
    return judge_rewrite(prompt, strip_wrapping(text), language=language)


async def _step(
    original: str, rewritten: str, answers: Sequence[ModelAnswer], warnings: Sequence[str]
) -> OptimizationStep:
    usages = [answer.usage for answer in answers if answer.usage is not None]
    costs = [answer.cost_nano_usd for answer in answers]
    compare = partial(
        optimization,
        original,
        # White space around it alone is no change.
        original if rewritten.strip() == original.strip() else rewritten,
        source=Source.MODEL,
        usage=_sum(usages) if usages else None,
        warnings=tuple(warnings),
    )
    return OptimizationStep(
        optimization=await worked_out(compare),
        # One price that is not known makes the sum unknown.
        cost_nano_usd=None if None in costs else sum(cost for cost in costs if cost is not None),
    )


def _sum(usages: Sequence[Usage]) -> Usage:
    return Usage(
        prompt_tokens=sum(usage.prompt_tokens for usage in usages),
        completion_tokens=sum(usage.completion_tokens for usage in usages),
        cached_tokens=sum(usage.cached_tokens for usage in usages),
        reasoning_tokens=sum(usage.reasoning_tokens for usage in usages),
    )
