"""What is known of a request while it is served, for its answers and its log line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

import msgspec
from django.http import HttpRequest

__all__ = ["RequestContext", "context_of", "optional_context_of", "set_context"]


class Settled(Protocol):
    """What happens once, and can be waited for."""

    def is_set(self) -> bool:
        """Tell whether it has happened."""

    async def wait(self) -> None:
        """Return once it is set."""


class RequestContext(msgspec.Struct, kw_only=True):
    """One request. `started` is monotonic seconds."""

    request_id: str
    trace_id: str
    span_id: str
    trace_flags: str
    started: float
    user_id: int | None = None
    response_headers: dict[str, str] = {}
    """Go on the answer whatever becomes of the request: the caller's limits."""
    windows: dict[str, Any] = {}
    """By policy: the rate windows that `response_headers` say something of."""
    outcome: Callable[[], Mapping[str, Any]] | None = None
    """Asked at the request's end for further log fields; never texts, tokens of access, or keys."""
    settled: Settled | None = None
    """Set once `outcome` will say nothing new; None if there is nothing to wait for."""
    error_code: str | None = None
    """The code of the error that was answered."""


def set_context(request: HttpRequest, context: RequestContext) -> None:
    """Attach the context; the outermost middleware does it once."""
    request.META["promptcraft.context"] = context


def optional_context_of(request: HttpRequest) -> RequestContext | None:
    """Return the request's context, None for one that did not come through the middleware."""
    return cast("RequestContext | None", request.META.get("promptcraft.context"))


def context_of(request: HttpRequest) -> RequestContext:
    """Return the request's context."""
    return cast(RequestContext, request.META["promptcraft.context"])
