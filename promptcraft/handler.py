"""The handler of every HTTP path: Django's resolver and middleware on the event loop, no thread for each request.

Django's own `ASGIHandler` enters a thread-sensitive context and runs signal receivers in a thread of its own for
each request, as many as there are. The async views behind this handler keep the ORM off the loop by themselves
(`promptcraft.database`); sync ones have their turn in a thread (`promptcraft.sync_views`). So none needs either;
`request_started` and `request_finished` are not sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from io import BytesIO
from typing import Any, cast

from asgiref.sync import iscoroutinefunction
from django.core.handlers.asgi import ASGIHandler, ASGIRequest, get_script_prefix
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.urls import ResolverMatch, set_script_prefix

from apps.accounts.identity import authenticate, recall_user_id
from apps.chat.begun import Listening, listen
from apps.chat.body import (
    CALLER,
    MAX_BODY_BYTES,
    REFUSED,
    Body,
    answer_first,
    crowded,
    ended_at_bound,
    held_meanwhile,
    is_surely_small,
    most_body_bytes,
    read_body,
)
from apps.chat.responses import StreamReader, StreamResponse
from apps.llm.errors import ServiceUnavailable
from promptcraft.headers import BODY_AT_ONCE, encoded_headers
from promptcraft.sync_views import serve_in_turn

__all__ = ["StreamHandler"]

logger = logging.getLogger("promptcraft.handler")

# Views that a POST reaches although its body was not read whole: they refuse it themselves, since that counts.
COMPLETIONS = frozenset({"/api/v2/chat/completions/", "/v1/chat/completions/"})
PROMPTS = "/api/v2/prompts/"

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]


class StreamHandler(ASGIHandler):
    """Serves one request on the loop; the view and the send are cancelled when the client goes, or takes nothing."""

    def __init__(self) -> None:
        super().__init__()
        # Of routes that are paths themselves, as many as there are.
        self._matches: dict[str, ResolverMatch] = {}

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Read the bounded body, run the view, send its response."""
        images = most_body_bytes(scope["method"], scope["path"]) > MAX_BODY_BYTES
        # Twenty times as much is read of those alone who are logged in.
        body = await read_body(scope, receive, images=images and (is_surely_small(scope) or await _is_known(scope)))
        if body is None:
            return
        if body.unread:
            receive, send = answer_first(scope, receive, send)
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("an ASGI application is called inside a task")
        watch = _Watch(task, receive)
        reader: StreamReader | None = None
        finish: list[Callable[[], None]] = []
        try:
            if body.held is None:
                response = await self._answer(scope, body, finish)
            else:
                response = await self._answer_held(scope, body, finish)
            # A stream may last for minutes: it keeps nothing of its request, and of its response the reader alone.
            del scope, body
            start = _start_of(response)
            if isinstance(response, StreamResponse):
                reader = response.reader
                del response
                await send({**start, BODY_AT_ONCE: True})
                await reader.drive(send)
            elif isinstance(response, StreamingHttpResponse):
                await send(start)
                # One whose parts a thread makes has become asynchronous (`promptcraft.sync_views`).
                async for part in cast(AsyncIterator[bytes], response.streaming_content):
                    await send({"type": "http.response.body", "body": part, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
            else:
                await send(start)
                await send({"type": "http.response.body", "body": getattr(response, "content", b"")})
        except asyncio.CancelledError:
            if not watch.gone and not (reader is not None and reader.detached):
                raise
        finally:
            watch.close()
            for one in finish:
                one()

    def resolve_request(self, request: HttpRequest) -> ResolverMatch:
        """Return the view for a path; one that is a route, letter by letter, is looked up once."""
        match = self._matches.get(request.path_info)
        if match is None:
            match = super().resolve_request(request)
            if request.path_info == f"/{match.route}":
                self._matches[request.path_info] = match
        request.resolver_match = match
        return match

    async def _get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        """Return what the view does. Middleware that has hooks around views gets Django's own, longer way."""
        if self._view_middleware or self._template_response_middleware or self._exception_middleware:  # type: ignore[attr-defined]
            return await super()._get_response_async(request)  # type: ignore[misc, no-any-return]
        match = self.resolve_request(request)
        if not iscoroutinefunction(match.func):
            return await serve_in_turn(request, match)
        response: HttpResponseBase = await match.func(request, *match.args, **match.kwargs)
        return response

    async def _answer_held(
        self, scope: dict[str, Any], body: Body, finish: list[Callable[[], None]]
    ) -> HttpResponseBase:
        """Do as `_answer`; where a body that has not been read yet has to make room, refuse it."""
        assert body.held is not None

        def refuse() -> None:
            # Before the view is cancelled: its client has not left.
            scope[REFUSED] = crowded()

        try:
            async with ended_at_bound(body.held, refuse):
                return await self._answer(scope, body, finish)
        except ServiceUnavailable:
            return await self._answer(scope, Body(data=b""), finish)
        finally:
            body.let_go()

    async def _answer(self, scope: dict[str, Any], body: Body, finish: list[Callable[[], None]]) -> HttpResponseBase:
        """Return the view's response, stripped for HEAD; add to `finish` what is due at the end of it."""
        if body.refusal is not None and not _counts(scope):
            # The middleware answers, so that this answer too has what every answer has.
            scope = {**scope, REFUSED: body.refusal}
        # Empty nearly always, and then what it is by itself.
        prefix = get_script_prefix(scope)
        if prefix:
            set_script_prefix(prefix)
        # Django would read the stream again, against its own bound; the body is here, bounded by ours. One that may be
        # large is for its view alone, to let go of.
        data = b"" if scope["path"] in COMPLETIONS else bytes(body.data)
        request = ASGIRequest(scope, BytesIO(data))
        request._body = data
        request.META["promptcraft.body"] = body
        # Not `get_response_async`, which hands every answer from 400 on to a thread, for a log line that is off.
        response: HttpResponseBase = await self._middleware_chain(request)  # type: ignore[attr-defined]
        request.close()
        # What `response.close` would call, without its signal.
        finish += response._resource_closers  # type: ignore[attr-defined]
        if isinstance(response, StreamResponse):
            finish.append(response.reader.close)
        if body.refusal is not None:
            response.headers["Connection"] = "close"
        if request.method != "HEAD":
            return response
        bare = HttpResponse(status=response.status_code)
        bare.headers = response.headers
        return bare


class _Watch:
    """Cancels a request's task when its client goes, until it is closed.

    It listens without a task of its own: only a client that goes, or says more than its request, makes one.
    """

    __slots__ = ("_listening", "_task", "gone")

    def __init__(self, task: asyncio.Task[Any], receive: Receive) -> None:
        self._task = task
        self.gone = False
        self._listening: Listening | None = listen(self._run(receive))

    def close(self) -> None:
        if self._listening is not None:
            self._listening.close()
            self._listening = None

    async def _run(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            continue
        self.gone = True
        self._task.cancel()


def _start_of(response: HttpResponseBase) -> dict[str, Any]:
    headers = encoded_headers(response)
    if response.cookies:
        headers += [(b"Set-Cookie", cookie.OutputString().encode("ascii")) for cookie in response.cookies.values()]
    return {"type": "http.response.start", "status": response.status_code, "headers": headers}


async def _is_known(scope: dict[str, Any]) -> bool:
    """Tell whether a request's token is of a log-in that lives; its body is on its user's account from now on."""
    authorization = dict(scope["headers"]).get(b"authorization", b"")
    user_id = recall_user_id(authorization)
    if user_id is None:
        try:
            async with held_meanwhile(scope):
                user_id = (await authenticate(authorization.decode("latin-1"))).user_id
        except Exception:
            # The view asks as well, and says what it is.
            return False
    scope[CALLER] = user_id
    return True


def _counts(scope: dict[str, Any]) -> bool:
    """Tell whether the view counts a bad body against its caller."""
    path: str = scope["path"]
    return scope["method"] == "POST" and (path in COMPLETIONS or path.startswith(PROMPTS))
