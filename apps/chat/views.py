"""Completions and models over HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import cast

from django.http import HttpRequest, HttpResponse, HttpResponseBase

from apps.accounts.identity import Caller
from apps.chat import services
from apps.chat.body import Body
from apps.chat.engine.generation import Generation
from apps.chat.listing import list_completions
from apps.chat.presentation import completion_json, usage_json
from apps.chat.responses import StreamResponse, json_response, large_json_response
from apps.limits.headers import tell_window
from apps.limits.limiter import Window
from apps.llm.errors import InvalidRequest, RateLimited
from promptcraft.context import context_of

__all__ = [
    "add_limits",
    "answer_completion",
    "cancel_completion",
    "completion_detail",
    "completion_events",
    "completion_list",
    "create_completion",
    "followers",
]

_MAX_EVENT_ID = 2**53
_SMALL_BYTES = 256 * 1024
"""Of an answer that is made at once."""


async def create_completion(request: HttpRequest, caller: Caller) -> HttpResponseBase:
    """Answer `POST completions/`, as a stream or as one object."""
    on_begun, on_window = followers(request)
    asked = services.Asked(
        caller=caller,
        request_id=context_of(request).request_id,
        body=cast(Body, request.META["promptcraft.body"]),
        content_type=request.META.get("CONTENT_TYPE", ""),
        idempotency_key=request.META.get("HTTP_IDEMPOTENCY_KEY"),
        scenario=request.META.get("HTTP_X_MOCK_SCENARIO"),
        on_begun=on_begun,
        on_window=on_window,
    )
    return await answer_completion(request, caller, services.open_completion(asked))


def followers(request: HttpRequest) -> tuple[Callable[[Generation], None], Callable[[Window], None]]:
    """Return what tells a request's log line of its completion, and its answer's headers of the rate window."""
    context = context_of(request)

    def on_begun(generation: Generation) -> None:
        context.outcome, context.settled = generation.log_fields, generation.done

    def on_window(window: Window) -> None:
        tell_window(request, window)

    return on_begun, on_window


async def answer_completion(
    request: HttpRequest, caller: Caller, opening: Awaitable[services.Opened]
) -> HttpResponseBase:
    """Answer with a completion that is being opened, as a stream or as one object."""
    try:
        opened = await opening
    except RateLimited:
        raise
    except Exception:
        # Nothing was taken, or it may have been given back since.
        await add_limits(request, caller)
        raise
    try:
        headers = _completion_headers(opened)
        stream = opened.stream
        if stream is None:
            stream = "text/event-stream" in request.META.get("HTTP_ACCEPT", "").lower()
        if stream:
            return StreamResponse(opened.reader, headers)
        if opened.generation is not None:
            await opened.generation.done.wait()
            if opened.generation.error is not None:
                await add_limits(request, caller)
                raise opened.generation.error
    except BaseException:
        opened.reader.close()
        raise
    opened.reader.close()
    headers = _completion_headers(opened)
    if opened.generation is not None:
        return await _whole_answer(caller, opened.generation, headers)
    if opened.stored is None:
        raise RuntimeError("an opened completion is running or stored")
    return await _stored_answer(caller, opened.stored.id, headers)


async def completion_list(request: HttpRequest, caller: Caller) -> HttpResponse:
    """Answer `GET completions/`: the caller's own, newest first."""
    await add_limits(request, caller)
    limit = _whole_number(request.GET.get("limit", "20"), "limit", 1, 100)
    async with services.answer_turn(caller):
        page = await list_completions(caller=caller, limit=limit, after=request.GET.get("after"))
        return await large_json_response(page)


async def completion_detail(request: HttpRequest, caller: Caller, completion_id: str) -> HttpResponse:
    """Answer `GET completions/{id}/`: the answer so far and how it stands."""
    await add_limits(request, caller)
    generation = services.find_running(caller=caller, completion_id=completion_id)
    if generation is not None:
        return await _whole_answer(caller, generation)
    return await _stored_answer(caller, completion_id)


async def _whole_answer(
    caller: Caller, generation: Generation, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    if generation.log.size_bytes <= _SMALL_BYTES:
        return json_response(await completion_json(generation), headers=headers)
    async with services.answer_turn(caller):
        return await large_json_response(await completion_json(generation), headers=headers)


async def _stored_answer(caller: Caller, completion_id: str, headers: Mapping[str, str] | None = None) -> HttpResponse:
    async with services.answer_turn(caller):
        found = await services.find(caller=caller, completion_id=completion_id)
        return await large_json_response(await completion_json(found), headers=headers)


async def completion_events(request: HttpRequest, caller: Caller, completion_id: str) -> HttpResponseBase:
    """Answer `GET completions/{id}/events/`: every event after the one named, then live to the end."""
    await add_limits(request, caller)
    if "after" in request.GET:
        after = _whole_number(request.GET["after"], "after", 0, _MAX_EVENT_ID)
    else:
        after = _whole_number(request.headers.get("Last-Event-ID", "0"), "Last-Event-ID", 0, _MAX_EVENT_ID)
    reader = await services.resume(caller=caller, completion_id=completion_id, after=after)
    if reader is None:
        return HttpResponse(status=204)
    return StreamResponse(reader, {"X-PromptCraft-Completion-Id": completion_id})


async def cancel_completion(request: HttpRequest, caller: Caller, completion_id: str) -> HttpResponse:
    """Answer `POST completions/{id}/cancel/` with the settled usage."""
    await add_limits(request, caller)
    completion = await services.cancel(caller=caller, completion_id=completion_id)
    return json_response({"id": completion_id, "status": "cancelled", "usage": usage_json(completion)})


def _completion_headers(opened: services.Opened) -> dict[str, str]:
    generation, stored = opened.generation, opened.stored
    headers = {"Idempotent-Replay": "true"} if opened.replayed else {}
    if isinstance(generation, Generation):
        headers |= {
            "X-PromptCraft-Completion-Id": generation.order.id,
            "X-PromptCraft-Provider": generation.provider,
            "X-PromptCraft-Model": _header_safe(generation.model),
            "X-PromptCraft-Fallback-Count": str(generation.fallback_count),
        }
    elif stored is not None:
        headers |= {
            "X-PromptCraft-Completion-Id": stored.id,
            "X-PromptCraft-Provider": stored.provider,
            "X-PromptCraft-Model": _header_safe(stored.model),
            "X-PromptCraft-Fallback-Count": str(stored.fallback_count),
        }
    serving = generation or stored
    if serving is not None and serving.ignored:
        headers["X-PromptCraft-Ignored"] = ", ".join(serving.ignored)
    return headers


def _header_safe(text: str) -> str:
    """Keep a model name, which a client may have chosen, to what a header can carry."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(character for character in text if " " <= character <= "~")


async def add_limits(request: HttpRequest, caller: Caller) -> None:
    """Put how the caller's rate window stands on the answer."""
    tell_window(request, await services.window_of(caller))


def _whole_number(text: str, name: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 16 and least <= int(text) <= most):
        raise InvalidRequest(f"`{name}` is a whole number from {least} to {most}.", param=name)
    return int(text)
