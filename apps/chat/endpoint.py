"""Plain async views: who may, which methods, and every error mapped, in one declaration."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase

from apps.accounts.access import NO_SCOPE, Access, Scope
from apps.accounts.identity import Caller, authenticate, check_scope
from apps.chat.envelope import error_response, translate
from apps.llm.errors import Forbidden, MethodNotAllowed
from promptcraft.context import context_of

__all__ = ["public", "signed_in", "staff"]

View = Callable[..., Coroutine[Any, Any, HttpResponseBase]]


def public(**methods: View) -> View:
    """Return a view that anyone may call; `methods` maps GET, POST, … to `async (request, **route)`."""

    async def view(request: HttpRequest, **route: str) -> HttpResponseBase:
        if request.method == "OPTIONS":
            return _options(methods)
        try:
            return await _pick(methods, request)(request, **route)
        except Exception as error:
            return _refused(request, error)

    return _declared(view, Access.PUBLIC)


def signed_in(*scopes: Scope, **methods: View) -> View:
    """Return a view for callers with a valid access token, or an API key that has one of the scopes.

    Methods are `async (request, caller, **route)`.
    """
    of_keys = frozenset(scopes)

    async def view(request: HttpRequest, **route: str) -> HttpResponseBase:
        if request.method == "OPTIONS":
            return _options(methods)
        try:
            method = _pick(methods, request)
            caller: Caller = await authenticate(request.META.get("HTTP_AUTHORIZATION"))
            context_of(request).user_id = caller.user_id
            check_scope(caller, of_keys)
            return await method(request, caller, **route)
        except Exception as error:
            return _refused(request, error)

    return _declared(view, Access.AUTHENTICATED, of_keys)


def staff(**methods: View) -> View:
    """Return a view for staff who logged in; methods are those of `signed_in`."""

    def for_staff(method: View) -> View:
        async def checked(request: HttpRequest, caller: Caller, **route: str) -> HttpResponseBase:
            if not caller.is_staff:
                raise Forbidden("Only staff may do this.")
            return await method(request, caller, **route)

        return checked

    return _declared(signed_in(**{name: for_staff(method) for name, method in methods.items()}), Access.STAFF)


def _declared(view: View, access: Access, scopes: frozenset[Scope] = NO_SCOPE) -> View:
    view.access = access  # type: ignore[attr-defined]
    view.scopes = scopes  # type: ignore[attr-defined]
    # Bearer tokens are not sent by browsers on their own: there is nothing to forge.
    view.csrf_exempt = True  # type: ignore[attr-defined]
    return view


def _pick(methods: Mapping[str, View], request: HttpRequest) -> View:
    name = "GET" if request.method == "HEAD" else str(request.method)
    if name not in methods:
        raise MethodNotAllowed(_allowed(methods))
    return methods[name]


def _allowed(methods: Mapping[str, View]) -> list[str]:
    return sorted({*methods, "OPTIONS", *(["HEAD"] if "GET" in methods else [])})


def _options(methods: Mapping[str, View]) -> HttpResponse:
    return HttpResponse(status=204, headers={"Allow": ", ".join(_allowed(methods))})


def _refused(request: HttpRequest, error: Exception) -> HttpResponse:
    ours = translate(error)
    context = context_of(request)
    context.error_code = ours.code.value
    # A completion keeps why it failed; the frames on the way here have the completion.
    ours.__traceback__ = ours.__context__ = None
    return error_response(ours, context.request_id)
