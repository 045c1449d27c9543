"""Errors as clients see them: one table from the exception to the JSON body and to the in-stream event."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import DatabaseError
from django.http import Http404, HttpResponse
from rest_framework import exceptions as drf
from rest_framework.response import Response

from apps.core.outage import database_is_away, log_outage
from apps.core.transactions import refers_to_nothing
from apps.llm.errors import (
    AuthenticationFailed,
    BodyTooLarge,
    ChainFailed,
    Code,
    Forbidden,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    PromptCraftError,
    ServiceUnavailable,
    UnsupportedMediaType,
)
from apps.llm.wire import json
from promptcraft.context import context_of

__all__ = ["drf_exception_handler", "envelope", "error_response", "stream_error", "translate"]

logger = logging.getLogger("promptcraft.errors")


def envelope(error: PromptCraftError, request_id: str) -> dict[str, Any]:
    """Return the body of an error answer."""
    body: dict[str, Any] = {
        "message": error.message,
        "type": error.type,
        "code": error.code.value,
        "param": error.param,
        "request_id": request_id,
        "retryable": error.retryable,
        "retry_after": error.retry_after_s,
    }
    if isinstance(error, ChainFailed):
        body["attempts"] = [
            {"provider": attempt.provider, "model": attempt.model, "end_reason": attempt.failure.value}
            for attempt in error.attempts
        ]
    return {"error": body}


def stream_error(error: PromptCraftError, request_id: str) -> bytes:
    """Return the data of the event that ends a stream which has failed after its headers were sent."""
    return json.dumps({**envelope(error, request_id), "choices": [{"index": 0, "delta": {}, "finish_reason": "error"}]})


def error_response(error: PromptCraftError, request_id: str) -> HttpResponse:
    """Return the answer to a request that failed before anything was sent."""
    return HttpResponse(
        json.dumps(envelope(error, request_id)),
        status=error.http_status,
        content_type="application/json",
        headers=dict(error.headers),
    )


def translate(error: Exception) -> PromptCraftError:
    """Map any exception to ours; one that is nobody's fault but our own is logged and becomes a 500.

    A database that is away is 503, whichever door needed it.
    """
    match error:
        case PromptCraftError():
            return error
        case drf.ParseError():
            return InvalidRequest("The body is not valid JSON.", code=Code.INVALID_JSON)
        case drf.NotAuthenticated():
            return AuthenticationFailed(
                "No access token was sent. Add the header `Authorization: Bearer <access token>`.",
                code=Code.MISSING_TOKEN,
            )
        case drf.AuthenticationFailed():
            return AuthenticationFailed("The access token is not valid. Get a new one from /api/v2/auth/token/.")
        case drf.PermissionDenied() | PermissionDenied():
            return Forbidden("You may not do this.")
        case drf.NotFound() | Http404():
            return NotFound("Nothing is at this path. GET /api/v2/docs/ lists what there is.")
        case drf.MethodNotAllowed():
            return _method_not_allowed(error)
        case drf.UnsupportedMediaType():
            return UnsupportedMediaType("Send the body as `Content-Type: application/json`.")
        case drf.NotAcceptable():
            return InvalidRequest("The Accept header excludes application/json, which is what this path answers.")
        case drf.ValidationError():
            return _first_invalid_field(error.detail)
        case RequestDataTooBig():
            return BodyTooLarge("The body is over its bound of 1 MiB.")
        case SuspiciousOperation():
            return InvalidRequest("The request is malformed.")
        case _ if refers_to_nothing(error):
            return NotFound("What this belongs to was deleted a moment ago.")
        case _ if database_is_away(error):
            log_outage(error)
            return ServiceUnavailable("The database does not answer. Try again in a moment.", code=Code.OVERLOADED)
        case _:
            kind = "database" if isinstance(error, DatabaseError) else "unexpected"
            logger.error("%s error: %s", kind, type(error).__name__, exc_info=error)
            return InternalError()


def drf_exception_handler(error: Exception, context: Mapping[str, Any]) -> Response:
    """Answer every exception of a REST framework view with the envelope."""
    request = context["request"]._request
    ours = translate(error)
    if isinstance(error, drf.MethodNotAllowed):
        ours = MethodNotAllowed([name.upper() for name in context["view"].allowed_methods])
    request_context = context_of(request)
    request_context.error_code = ours.code.value
    return Response(envelope(ours, request_context.request_id), status=ours.http_status, headers=dict(ours.headers))


def _method_not_allowed(error: drf.MethodNotAllowed) -> PromptCraftError:
    del error
    return MethodNotAllowed(["another method"])


def _first_invalid_field(detail: Any, path: str = "") -> InvalidRequest:
    if isinstance(detail, Mapping) and detail:
        name, inner = next(iter(detail.items()))
        if name == "non_field_errors":
            return _first_invalid_field(inner, path)
        return _first_invalid_field(inner, f"{path}.{name}" if path else str(name))
    first = detail[0] if isinstance(detail, list) and detail else detail
    if isinstance(first, Mapping) and first:
        return _first_invalid_field(first, path)
    code = Code.MISSING_FIELD if getattr(first, "code", "") == "required" else Code.INVALID_VALUE
    return InvalidRequest(str(first or "The request is not valid."), code=code, param=path or None)
