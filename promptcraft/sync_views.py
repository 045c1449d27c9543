"""Sync views: admitted on the event loop, then a turn in a thread, whoever else has however much to do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from functools import partial
from typing import Any, cast

from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.urls import ResolverMatch

from apps.chat.envelope import error_response, translate
from apps.core.work_queue import Turn
from promptcraft.context import context_of
from promptcraft.database import with_fresh_connections

__all__ = ["admission_of", "serve_in_turn"]


def admission_of(view: Callable[..., Any]) -> Callable[[HttpRequest], Awaitable[Turn]]:
    """Return what says where a sync view's requests wait: its own attribute `admit`, or that of its class."""
    # A view that is wrapped around another has the other's class as well.
    declared: Any = view if hasattr(view, "admit") else getattr(view, "view_class", view)
    admit: Callable[[HttpRequest], Awaitable[Turn]] = declared.admit
    return admit


async def serve_in_turn(request: HttpRequest, match: ResolverMatch) -> HttpResponseBase:
    """Return the answer of a sync view; a request that finds no room in its queue is answered with 429 or 503."""
    turn: Turn | None = None
    try:
        turn = await admission_of(match.func)(request)
        work = partial(_rendered, partial(match.func, request, *match.args, **match.kwargs))
        response = await turn.queue.run(turn.share, partial(with_fresh_connections, work))
        if isinstance(response, StreamingHttpResponse) and not response.is_async:
            response.streaming_content = _in_turns(turn, iter(cast(Iterable[bytes], response.streaming_content)))
    except Exception as error:
        ours = translate(error)
        context = context_of(request)
        context.error_code = ours.code.value
        response = error_response(ours, context.request_id)
    if turn is not None and turn.settle is not None:
        turn.settle(response.status_code)
    return response


async def _in_turns(turn: Turn, parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the parts of a body, each made in a turn of its own and maybe in a thread of its own."""
    draw = partial(with_fresh_connections, partial(next, parts, None))
    while (part := await turn.queue.run(turn.share, draw)) is not None:
        yield part


def _rendered(view: Callable[[], Any]) -> HttpResponseBase:
    """Call a view and render its response, as Django does."""
    response: Any = view()
    if hasattr(response, "render"):
        response = response.render()
    answered: HttpResponseBase = response
    return answered
