"""What the log says of a request's path: its route, never what a client wrote in the place of a parameter."""

from __future__ import annotations

import re
from functools import cache

from django.http import HttpRequest
from django.urls import Resolver404, ResolverMatch, resolve

__all__ = ["UNKNOWN", "completion_id_of", "method_of", "route_of"]

UNKNOWN = "{unknown}/"
"""Stands for the rest of a path that no route has."""
_KNOWN_PREFIXES = ("/api/v2/", "/v1/", "/admin/", "/static/")
_METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})
_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")
# Django's admin has routes by expressions, such as `^(?P<app_label>auth|prompt_templates)/$`.
_GROUP = re.compile(r"\(\?P<(\w+)>[^()]*\)")
_COMPLETION_ID = re.compile(r"chatcmpl-[0-9a-f]{32}")


def route_of(request: HttpRequest) -> str:
    """Return the route of a request's path as OpenAPI writes it, such as `/api/v2/chat/completions/{completion_id}/`.

    Of a path that is nothing: its first part, if that is one of ours, and `{unknown}/`.
    """
    match = request.resolver_match
    if match is None:
        # Refused before it came to a view.
        match = _resolved(request.path_info)
    route = "" if match is None else str(match.route)
    # The one route without a text that is not the front page takes every path that is nothing.
    if route or request.path_info == "/":
        return _written(route)
    return next(
        (f"{prefix}{UNKNOWN}" for prefix in _KNOWN_PREFIXES if request.path_info.startswith(prefix)), f"/{UNKNOWN}"
    )


def method_of(request: HttpRequest) -> str:
    """Return the method, `OTHER` for one that a client has made up."""
    method = str(request.method)
    return method if method in _METHODS else "OTHER"


def completion_id_of(request: HttpRequest) -> str | None:
    """Return the completion that the path names, if it has the form of an id."""
    match = request.resolver_match
    named = None if match is None else match.kwargs.get("completion_id")
    return named if named is not None and _COMPLETION_ID.fullmatch(named) else None


def _resolved(path: str) -> ResolverMatch | None:
    try:
        return resolve(path)
    except Resolver404:
        return None


@cache
def _written(route: str) -> str:
    # There are as many as there are routes.
    written = _PARAMETER.sub(r"{\1}", _GROUP.sub(r"{\1}", route))
    return "/" + written.replace("^", "").replace("$", "")
