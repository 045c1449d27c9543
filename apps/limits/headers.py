"""What an answer says of the windows that its request was counted in."""

from __future__ import annotations

from django.http import HttpRequest

from apps.limits.limiter import Window, limit_headers
from promptcraft.context import context_of

__all__ = ["tell_window"]


def tell_window(request: HttpRequest, window: Window) -> None:
    """Put how a window stands on the answer, beside the others of this request."""
    context = context_of(request)
    context.windows[window.policy] = window
    context.response_headers.update(limit_headers(context.windows.values()))
