"""The workbench as its transports call it: by a model where there is one, by rules where there is none or it fails.

    detect_intent · optimize · generate     one operation each
    run                                     intent -> matching templates -> optimise -> generate
    preparation                             the steps before the answer as LangChain runnables

The only module that imports LangChain, and that on first use: it is an optional extra, and nothing else needs it.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError

from apps.accounts.identity import Caller
from apps.chat import services
from apps.llm.errors import RateLimited, ServiceUnavailable
from apps.templates import deepseek_service, mock_langchain
from apps.templates.answers import Intent
from apps.templates.categories import UNKNOWN
from apps.templates.prompts import saving
from apps.templates.prompts.asking import Asker, ModelFailed, model_may_be_asked, open_for
from apps.templates.prompts.requests import GenerateRequest, IntentRequest, OptimizeRequest, RunRequest
from apps.templates.prompts.steps import CompletionStep, IntentStep, OptimizationStep, Step, TemplatesStep
from apps.templates.prompts.texts import Text, fitting_template, generation_text
from apps.templates.prompts.workload import worked_out
from apps.templates.rules.language import UNDETERMINED
from apps.templates.search import Found, template_search
from apps.templates.services import template_count_use
from apps.templates.workload import run_in_workbench

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable  # type: ignore[import-not-found,unused-ignore]

__all__ = ["Course", "detect_intent", "generate", "optimize", "preparation", "run"]

logger = logging.getLogger("promptcraft.workbench")

SUGGESTED = 5
"""Templates that an intent suggests."""
_ANSWERS_SLOT = 1
"""Of the rate window: the answer comes first, and no step on the way to it takes the last slot."""
_SEARCHED_CHARACTERS = 1_000
"""Of a query; what it is about is said by then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """A run on its way from a query to the prompt that is answered."""

    request: RunRequest
    prompt: str
    """What would be answered now: the query at first, a better prompt in the end."""
    intent: Intent | None = None
    used: Text | None = None
    """The template that the variables filled."""
    steps: tuple[Step, ...] = ()
    """Those done, in their order."""


async def detect_intent(asker: Asker, request: IntentRequest) -> IntentStep:
    """Return what a query is about and the templates that suit it. Raises what refused the caller."""
    intent = await _intent(asker, request, by_model=model_may_be_asked())
    # What is no request for a text has words in common with templates by chance alone.
    found = () if intent.category == UNKNOWN else await _matching(asker, request.query, intent)
    return IntentStep(intent=intent, templates=found)


async def optimize(asker: Asker, request: OptimizeRequest) -> OptimizationStep:
    """Return a prompt made stronger, saved if that was asked for.

    Raises what refused the caller, and NotFound or InvalidRequest for a template that it cannot be saved to.
    """
    if request.save is None:
        return await _optimization(asker, request, by_model=model_may_be_asked())
    # Looked at first: nobody is to pay for a rewrite that has nowhere to go.
    await run_in_workbench(saving.template_check, caller=asker.caller, save=request.save)
    step = await _optimization(asker, request, by_model=model_may_be_asked())
    saved = await run_in_workbench(
        saving.version_save, caller=asker.caller, save=request.save, text=step.optimization.optimized
    )
    return replace(step, saved=saved)


async def generate(asker: Asker, request: GenerateRequest) -> services.Opened:
    """Open the completion of a prompt, a template or both; its reader is the caller's to drive or close.

    The same completion as one that is asked for with the text as its only message. A template's use is counted where
    a new one has begun. Raises what `services.open_completion` does, and what is wrong with template and variables.
    """
    text = await generation_text(asker.caller, request)
    return await _generation(asker, text, stream=request.stream, chat=request.chat)


async def run(asker: Asker, request: RunRequest) -> AsyncGenerator[Step]:
    """Yield each step as it is ready; the last one is the completion, whose reader is the caller's.

    Raises what refused the caller. Close the generator to stop; what is under way then is stopped with it. It is not
    replayed by an Idempotency-Key: the same query may become another prompt.
    """
    asker = replace(asker, idempotency_key=None)
    course = Course(request=request, prompt=request.query)
    for step in _PREPARATION:
        course = await step(asker, course)
        yield course.steps[-1]
    used = course.used
    text = Text(text=course.prompt, template_id=None if used is None else used.template_id)
    yield CompletionStep(opened=await _generation(asker, text, stream=request.stream, chat=request.chat))


def preparation(asker: Asker) -> Runnable[RunRequest, Course]:
    """Return the steps before the answer as a LangChain runnable, to be followed by any chat model of LangChain's.

    Asynchronous alone (`ainvoke`). Raises ImportError, which says what to install, without the extra `langchain`.
    """
    try:
        from langchain_core.runnables import RunnableLambda  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise ImportError("LangChain is not installed. Run: pip install langchain-core") from error

    async def begin(request: RunRequest) -> Course:
        return Course(request=request, prompt=request.query)

    chain: Runnable[Any, Any] = RunnableLambda(begin)
    for step in _PREPARATION:
        chain = chain | RunnableLambda(partial(step, asker), name=step.__name__.strip("_"))
    return chain


async def _understand(asker: Asker, course: Course) -> Course:
    """Find out what the query is about."""
    wanted = IntentRequest(query=course.request.query)
    intent = await _intent(asker, wanted, by_model=await _step_may_ask_model(asker))
    return replace(course, intent=intent, steps=(*course.steps, IntentStep(intent=intent)))


async def _match(asker: Asker, course: Course) -> Course:
    """Find templates; the first one that the variables fill goes before the query."""
    found = await _matching(asker, course.request.query, course.intent)
    used = await fitting_template(asker.caller, found, course.request.variables)
    step = TemplatesStep(found=found, used=None if used is None else used.slug)
    prompt = course.prompt if used is None else f"{used.text.rstrip()}\n\n{course.prompt}"
    return replace(course, used=used, prompt=prompt, steps=(*course.steps, step))


async def _improve(asker: Asker, course: Course) -> Course:
    """Make the prompt stronger."""
    intent = course.intent
    wanted = OptimizeRequest(
        prompt=course.prompt,
        category=UNKNOWN if intent is None else intent.category,
        tone=None if intent is None else intent.entities.tone,
        audience=None if intent is None else intent.entities.audience,
    )
    step = await _optimization(asker, wanted, by_model=await _step_may_ask_model(asker), slots_left=_ANSWERS_SLOT)
    return replace(course, prompt=step.optimization.optimized, steps=(*course.steps, step))


_PREPARATION: tuple[Callable[[Asker, Course], Awaitable[Course]], ...] = (_understand, _match, _improve)


async def _step_may_ask_model(asker: Asker) -> bool:
    """Tell whether a step may take a slot of the rate window: the answer's own has to be left."""
    if not model_may_be_asked():
        return False
    window = await services.window_of(asker.caller)
    return window.remaining > _ANSWERS_SLOT


async def _intent(asker: Asker, request: IntentRequest, *, by_model: bool) -> Intent:
    if by_model:
        try:
            return await deepseek_service.detect_intent(asker, request)
        except ModelFailed as failure:
            _log_failure("intent", asker, failure)
    return await worked_out(partial(mock_langchain.detect_intent, request))


async def _optimization(
    asker: Asker, request: OptimizeRequest, *, by_model: bool, slots_left: int = 0
) -> OptimizationStep:
    if by_model and not await worked_out(partial(mock_langchain.is_good, request)):
        try:
            return await deepseek_service.optimize(asker, request, slots_left=slots_left)
        except ModelFailed as failure:
            _log_failure("optimize", asker, failure)
    return await worked_out(partial(mock_langchain.optimize, request))


async def _generation(asker: Asker, text: Text, *, stream: bool, chat: Mapping[str, Any]) -> services.Opened:
    body = {**chat, "messages": [{"role": "user", "content": text.text}], "stream": stream}
    opened = await open_for(asker, body)
    if text.template_id is not None and not opened.replayed:
        try:
            await run_in_workbench(template_count_use, template_id=text.template_id, user_id=asker.caller.user_id)
        except (DatabaseError, RateLimited, ServiceUnavailable):
            logger.warning("a template's use was not counted", extra={"fields": {"request_id": asker.request_id}})
        except BaseException:
            opened.reader.close()
            raise
    return opened


async def _matching(asker: Asker, query: str, intent: Intent | None) -> tuple[Found, ...]:
    category = UNKNOWN if intent is None else intent.category
    language = None if intent is None or intent.language == UNDETERMINED else intent.language
    return await run_in_workbench(_suggestions, asker.caller, query[:_SEARCHED_CHARACTERS], category, language)


def _suggestions(caller: Caller, query: str, category: str, language: str | None = None) -> tuple[Found, ...]:
    """Return what matches within the category, else what matches anywhere, else what is used most in the category.

    Those in `language` come first, the others after them.
    """
    tries = [(query, None)] if category == UNKNOWN else [(query, category), (query, None), ("", category)]
    for text, within in tries:
        found = template_search(caller=caller, query=text, category=within, limit=SUGGESTED)
        if found and language is not None:
            own = template_search(caller=caller, query=text, category=within, language=language, limit=SUGGESTED)
            first = {one.template_id for one in own}
            found = (*own, *(one for one in found if one.template_id not in first))[:SUGGESTED]
        if found:
            return found
    return ()


def _log_failure(operation: str, asker: Asker, failure: ModelFailed) -> None:
    fields = {"operation": operation, "request_id": asker.request_id, "failure": str(failure)}
    logger.warning("rules answer in the model's place", extra={"fields": fields})
