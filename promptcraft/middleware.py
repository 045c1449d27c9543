"""The layers around every view: id, trace, security headers, the log line at the end; what no view is to see."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable

from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.decorators import async_only_middleware

from apps.chat.body import REFUSED
from apps.chat.envelope import error_response
from apps.llm.errors import HeadTooLarge, InvalidRequest, PromptCraftError
from promptcraft.context import RequestContext, context_of, set_context
from promptcraft.logs import REQUEST_ID, REQUEST_LOGGER
from promptcraft.scope import head_is_too_large

__all__ = ["RefusalMiddleware", "RequestContextMiddleware"]

GetResponse = Callable[[HttpRequest], Awaitable[HttpResponseBase]]

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})")

_SETTLE_S = 2.0
"""How long the line of a client that left waits for its completion to end."""
_unsettled: set[asyncio.Task[None]] = set()

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Nothing here is a page but the docs, which bring a policy of their own.
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
_MOST_PATH_CHARACTERS = 256


@async_only_middleware
def RequestContextMiddleware(get_response: GetResponse) -> GetResponse:
    """Give the request its `RequestContext` and the response what every response has."""

    async def middleware(request: HttpRequest) -> HttpResponseBase:
        context = _context_of(request)
        set_context(request, context)
        REQUEST_ID.set(context.request_id)
        try:
            response = await get_response(request)
        except asyncio.CancelledError:
            _log(context, request, 499)
            raise
        response.headers["X-Request-Id"] = context.request_id
        response.headers["traceparent"] = f"00-{context.trace_id}-{context.span_id}-{context.trace_flags}"
        if isinstance(response, HttpResponse) and response.status_code not in (204, 304):
            response.headers.setdefault("Content-Length", str(len(response.content)))
        for name, value in context.response_headers.items():
            response.headers[name] = value
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        if request.path.startswith("/api/"):
            response.headers.setdefault("Cache-Control", "no-store")
        # A stream's line is due when the stream ends, which is when its response is closed.
        response._resource_closers.append(  # type: ignore[attr-defined]
            lambda: _log(context, request, response.status_code)
        )
        return response

    return middleware


@async_only_middleware
def RefusalMiddleware(get_response: GetResponse) -> GetResponse:
    """Refuse what no view is to see. Inside the layer of cross-origin headers, so that a browser may read why."""

    async def middleware(request: HttpRequest) -> HttpResponseBase:
        refused = _refusal(request)
        if refused is None:
            return await get_response(request)
        context = context_of(request)
        context.error_code = refused.code.value
        response = error_response(refused, context.request_id)
        # What is left of the request is not read.
        response.headers["Connection"] = "close"
        return response

    return middleware


def _refusal(request: HttpRequest) -> PromptCraftError | None:
    scope = getattr(request, "scope", {})
    if scope and head_is_too_large(scope):
        return HeadTooLarge()
    try:
        request.get_host()
    except DisallowedHost:
        return InvalidRequest("This host name is not served here. Use one from ALLOWED_HOSTS.", param="Host")
    refused: PromptCraftError | None = scope.get(REFUSED)
    return refused


def _context_of(request: HttpRequest) -> RequestContext:
    given_id = request.headers.get("X-Request-Id", "")
    trace = _TRACEPARENT.fullmatch(request.headers.get("traceparent", ""))
    return RequestContext(
        request_id=given_id if _REQUEST_ID.fullmatch(given_id) else f"req_{secrets.token_hex(12)}",
        trace_id=trace[1] if trace else secrets.token_hex(16),
        trace_flags=trace[2] if trace else "00",
        span_id=secrets.token_hex(8),
        started=time.monotonic(),
    )


def _log(context: RequestContext, request: HttpRequest, status: int) -> None:
    if not REQUEST_LOGGER.isEnabledFor(logging.INFO):
        return
    duration_ms = round((time.monotonic() - context.started) * 1000, 1)
    path = request.path[:_MOST_PATH_CHARACTERS]
    if context.settled is None or context.settled.is_set():
        _write_line(context, str(request.method), path, status, duration_ms)
        return
    line = _write_line_when_settled(context, context.settled, str(request.method), path, status, duration_ms)
    task = asyncio.get_running_loop().create_task(line)
    _unsettled.add(task)
    task.add_done_callback(_unsettled.discard)


async def _write_line_when_settled(
    context: RequestContext, settled: asyncio.Event, method: str, path: str, status: int, duration_ms: float
) -> None:
    """Write the line of a client that left: what became of its completion is known a moment later."""
    try:
        async with asyncio.timeout(_SETTLE_S):
            await settled.wait()
    except TimeoutError:
        # It runs on for whoever comes back.
        pass
    finally:
        _write_line(context, method, path, status, duration_ms)


def _write_line(context: RequestContext, method: str, path: str, status: int, duration_ms: float) -> None:
    fields = {
        "request_id": context.request_id,
        "trace_id": context.trace_id,
        "method": method,
        "path": path,
        "status": status,
        "duration_ms": duration_ms,
        "user_id": context.user_id,
        **(context.outcome() if context.outcome is not None else {}),
    }
    if context.error_code is not None:
        fields["error_code"] = context.error_code
    REQUEST_LOGGER.info("%s %s %s %s ms", method, path, status, duration_ms, extra={"fields": fields})
