"""The layers around every view: id, trace, security headers, the log line at the end; what no view is to see."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple

from corsheaders.middleware import CorsMiddleware
from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.utils.decorators import async_only_middleware

from apps.chat.body import REFUSED
from apps.chat.envelope import error_response
from apps.chat.path_counters import count_line
from apps.core.origins import RefusedOrigins, is_origin_of
from apps.llm.errors import InvalidRequest, PromptCraftError
from promptcraft.context import RequestContext, Settled, context_of, set_context
from promptcraft.headers import add_headers, checked_headers, set_headers
from promptcraft.logs import REQUEST_ID, REQUEST_LOGGER
from promptcraft.redaction import holds_secret
from promptcraft.routes import completion_id_of, method_of, route_of

__all__ = ["CrossOriginMiddleware", "RefusalMiddleware", "RequestContextMiddleware"]

GetResponse = Callable[[HttpRequest], Awaitable[HttpResponseBase]]

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})")

_SETTLE_S = 2.0
"""How long the line of a client that left waits for its completion to end."""
_unsettled: set[asyncio.Task[None]] = set()

_HEADERS = checked_headers(
    {
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        # Nothing here is a page but the docs, which bring a policy of their own.
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    }
)
_API_HEADERS = checked_headers({"Cache-Control": "no-store"})
_VARY = checked_headers({"Vary": "origin"})
_MOST_GOOD_HOSTS = 256
"""A wildcard lets any number of names in; at the bound all are forgotten, and looked at again."""
_good_hosts: set[tuple[str | None, ...]] = set()


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
            if REFUSED not in request.scope:  # type: ignore[attr-defined]
                _log(context, _Asked.of(request), 499)
            raise
        set_headers(
            response,
            {
                "X-Request-Id": context.request_id,
                "traceparent": f"00-{context.trace_id}-{context.span_id}-{context.trace_flags}",
                **context.response_headers,
            },
        )
        if isinstance(response, HttpResponse) and response.status_code not in (204, 304):
            response.headers.setdefault("Content-Length", str(len(response.content)))
        add_headers(response, _HEADERS)
        if request.path.startswith(("/api/", "/v1/")):
            add_headers(response, _API_HEADERS)
        # A stream's line is due when the stream ends, which is when its response is closed. The request is not kept
        # until then: it holds the body.
        finish = partial(_log, context, _Asked.of(request), response.status_code)
        response._resource_closers.append(finish)  # type: ignore[attr-defined]
        return response

    return middleware


class CrossOriginMiddleware(CorsMiddleware):
    """django-cors-headers, which has nothing to do for a request without an Origin but to say that it looks for one."""

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer a preflight, or add what a browser on another origin needs; a refused request is no preflight."""
        is_preflight = request.method == "OPTIONS" and _refusal(request) is None
        if is_preflight or ("HTTP_ORIGIN" in request.META and request.method != "OPTIONS"):
            answer = await super().__acall__(request)
            if "access-control-allow-origin" not in answer.headers:
                _tell_refused(request)
            return answer
        response: HttpResponseBase = await self.get_response(request)  # type: ignore[misc]
        if "Vary" in response.headers:
            patch_vary_headers(response, ("origin",))
        else:
            add_headers(response, _VARY)
        return response


_refused_origins = RefusedOrigins()


def _tell_refused(request: HttpRequest) -> None:
    origin = request.META.get("HTTP_ORIGIN", "")
    if not is_origin_of(origin, request.META.get("HTTP_HOST", "")):
        _refused_origins.tell(origin)


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
    """Return why its head or its body is refused, or its host."""
    refused: PromptCraftError | None = getattr(request, "scope", {}).get(REFUSED)
    if refused is None and not _is_for_us(request):
        return InvalidRequest("This host name is not served here. Use one from ALLOWED_HOSTS.", param="Host")
    return refused


def _is_for_us(request: HttpRequest) -> bool:
    """Tell whether the request's host is one of ALLOWED_HOSTS, as Django sees it; what it found good is remembered."""
    seen = (request.META.get("HTTP_HOST"), *settings.ALLOWED_HOSTS)
    if seen in _good_hosts:
        return True
    try:
        request.get_host()
    except DisallowedHost:
        return False
    if len(_good_hosts) >= _MOST_GOOD_HOSTS:
        _good_hosts.clear()
    _good_hosts.add(seen)
    return True


def _is_request_id(given: str) -> bool:
    # It is answered, logged and stored with the completion: a key or a token that somebody sends as one is none.
    return _REQUEST_ID.fullmatch(given) is not None and not holds_secret(given)


def _context_of(request: HttpRequest) -> RequestContext:
    # `request.headers` would read every header for these two.
    given_id = request.META.get("HTTP_X_REQUEST_ID", "")
    given_trace = request.META.get("HTTP_TRACEPARENT", "")
    trace = _TRACEPARENT.fullmatch(given_trace) if given_trace else None
    # One call of the system's for all three.
    random = os.urandom(36).hex()
    return RequestContext(
        request_id=given_id if given_id and _is_request_id(given_id) else f"req_{random[:24]}",
        trace_id=trace[1] if trace else random[24:56],
        trace_flags=trace[2] if trace else "00",
        span_id=random[56:],
        started=time.monotonic(),
    )


class _Asked(NamedTuple):
    """What the line says of what was asked for: all of it from closed lists, but the id of a completion."""

    method: str
    path: str
    completion_id: str | None

    @classmethod
    def of(cls, request: HttpRequest) -> _Asked:
        return cls(method_of(request), route_of(request), completion_id_of(request))


def _log(context: RequestContext, asked: _Asked, status: int) -> None:
    duration_ms = round((time.monotonic() - context.started) * 1000, 1)
    if context.settled is None or context.settled.is_set():
        _write_line(context, asked, status, duration_ms)
        return
    line = _write_line_when_settled(context, context.settled, asked, status, duration_ms)
    task = asyncio.get_running_loop().create_task(line)
    _unsettled.add(task)
    task.add_done_callback(_unsettled.discard)


async def _write_line_when_settled(
    context: RequestContext, settled: Settled, asked: _Asked, status: int, duration_ms: float
) -> None:
    """Write the line of a client that left: what became of its completion is known a moment later."""
    try:
        async with asyncio.timeout(_SETTLE_S):
            await settled.wait()
    except TimeoutError:
        # It runs on for whoever comes back.
        pass
    finally:
        _write_line(context, asked, status, duration_ms)


def _write_line(context: RequestContext, asked: _Asked, status: int, duration_ms: float) -> None:
    fields: dict[str, object] = {
        "request_id": context.request_id,
        "trace_id": context.trace_id,
        "method": asked.method,
        "path": asked.path,
        "status": status,
        "duration_ms": duration_ms,
        "user_id": context.user_id,
    }
    if asked.completion_id is not None:
        fields["completion_id"] = asked.completion_id
    if context.outcome is not None:
        fields |= context.outcome()
    if context.error_code is not None:
        fields["error_code"] = context.error_code
    count_line(fields)
    if not REQUEST_LOGGER.isEnabledFor(logging.INFO):
        return
    REQUEST_LOGGER.handle(_record("%s %s %s %s ms", (asked.method, asked.path, status, duration_ms), fields))


_LINE = vars(logging.LogRecord(REQUEST_LOGGER.name, logging.INFO, __file__, 0, "", (), None))


def _record(message: str, args: tuple[object, ...], fields: dict[str, object]) -> logging.LogRecord:
    """Return a record as `info` makes one, which looks for the place that called it and takes it apart."""
    record = logging.LogRecord.__new__(logging.LogRecord)
    now = time.time()
    vars(record).update(
        _LINE, msg=message, args=args, fields=fields, created=now, msecs=now % 1 * 1000, relativeCreated=0.0
    )
    return record
