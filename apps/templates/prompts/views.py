"""The workbench over HTTP: bodies to requests, results to JSON or to a stream. No logic."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any, cast

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

from apps.accounts.bodies import json_object
from apps.accounts.identity import Caller
from apps.chat.body import Body
from apps.chat.engine.generation import Generation
from apps.chat.engine.latch import Latch
from apps.chat.presentation import completion_json
from apps.chat.responses import StreamResponse, json_response
from apps.chat.services import Opened, parse_scenario
from apps.chat.views import answer_completion, followers
from apps.limits.headers import tell_window
from apps.llm.errors import Code, InvalidRequest
from apps.llm.wire.json import depth_exceeds
from apps.llm.wire.request import MAX_DEPTH
from apps.templates import langchain_services
from apps.templates.prompts.answers_json import intent_json, optimization_json, step_json
from apps.templates.prompts.asking import Asker
from apps.templates.prompts.requests import read_generate, read_intent, read_optimize, read_run
from apps.templates.prompts.step_stream import StepReader
from apps.templates.prompts.steps import CompletionStep, Step
from apps.templates.workload import workbench_counted
from promptcraft.context import context_of

__all__ = ["counted", "detect_intent", "generate", "optimize", "run"]

View = Callable[[HttpRequest, Caller], Awaitable[HttpResponseBase]]


def counted(view: View) -> Callable[[HttpRequest, Caller], Coroutine[Any, Any, HttpResponseBase]]:
    """Return a view whose requests are counted in the window of the workbench."""

    async def counted_view(request: HttpRequest, caller: Caller) -> HttpResponseBase:
        async with workbench_counted(caller.user_id, partial(tell_window, request)):
            return await view(request, caller)

    return counted_view


async def detect_intent(request: HttpRequest, caller: Caller) -> HttpResponseBase:
    """Answer `POST intent/`."""
    wanted = read_intent(_body_of(request))
    if wanted.stream:
        return await _stream(request, caller, lambda asker: _one(langchain_services.detect_intent(asker, wanted)))
    return json_response(intent_json(await langchain_services.detect_intent(_asker(request, caller), wanted)))


async def optimize(request: HttpRequest, caller: Caller) -> HttpResponseBase:
    """Answer `POST optimize/`."""
    wanted = read_optimize(_body_of(request))
    if wanted.stream:
        return await _stream(request, caller, lambda asker: _one(langchain_services.optimize(asker, wanted)))
    return json_response(optimization_json(await langchain_services.optimize(_asker(request, caller), wanted)))


async def generate(request: HttpRequest, caller: Caller) -> HttpResponseBase:
    """Answer `POST generate/` as `POST chat/completions/` does."""
    wanted = read_generate(_body_of(request))
    return await answer_completion(request, caller, langchain_services.generate(_asker(request, caller), wanted))


async def run(request: HttpRequest, caller: Caller) -> HttpResponseBase:
    """Answer `POST run/`: the steps and the completion."""
    wanted = read_run(_body_of(request))
    if wanted.stream:
        return await _stream(request, caller, lambda asker: langchain_services.run(asker, wanted))
    return json_response(await _whole(langchain_services.run(_asker(request, caller), wanted)))


async def _whole(steps: AsyncGenerator[Step]) -> dict[str, Any]:
    """Return all steps of a run by their names, the completion settled."""
    answer: dict[str, Any] = {}
    async with aclosing(steps):
        async for step in steps:
            name, data = step_json(step)
            answer[name] = data if not isinstance(step, CompletionStep) else await _settled(step.opened)
    return answer


async def _settled(opened: Opened) -> dict[str, Any]:
    try:
        if opened.generation is None:
            raise RuntimeError("a run's completion is a new one")
        await opened.generation.done.wait()
        if opened.generation.error is not None:
            raise opened.generation.error
        return await completion_json(opened.generation)
    finally:
        opened.reader.close()


async def _one(result: Awaitable[Step]) -> AsyncGenerator[Step]:
    yield await result


async def _stream(
    request: HttpRequest, caller: Caller, steps_of: Callable[[Asker], AsyncGenerator[Step]]
) -> HttpResponseBase:
    """Return the stream of steps; raises instead what refused the caller before anything of theirs was admitted."""
    admitted = Latch()
    asker = _asker(request, caller, admitted)
    reader = StepReader(
        steps_of(asker),
        admitted=admitted,
        request_id=asker.request_id,
        keepalive_interval_s=settings.KEEPALIVE_INTERVAL_S,
    )
    try:
        await reader.begin()
    except BaseException:
        reader.close()
        raise
    return StreamResponse(reader, {})


def _asker(request: HttpRequest, caller: Caller, admitted: Latch | None = None) -> Asker:
    tell_log, on_window = followers(request)

    def on_begun(generation: Generation) -> None:
        tell_log(generation)
        if admitted is not None:
            admitted.set()

    return Asker(
        caller=caller,
        request_id=context_of(request).request_id,
        idempotency_key=request.META.get("HTTP_IDEMPOTENCY_KEY"),
        scenario=parse_scenario(request.META.get("HTTP_X_MOCK_SCENARIO", "")),
        on_begun=on_begun,
        on_window=on_window,
    )


def _body_of(request: HttpRequest) -> Mapping[str, object]:
    body = cast(Body, request.META["promptcraft.body"])
    if body.refusal is not None:
        raise body.refusal
    if depth_exceeds(body.data, MAX_DEPTH):
        raise InvalidRequest(
            f"The body nests deeper than {MAX_DEPTH} levels. Send a flatter JSON object.", code=Code.INVALID_JSON
        )
    return json_object(request)
