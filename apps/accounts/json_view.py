"""The base of this app's REST framework views: JSON in, JSON out, and who may call them in one declaration."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.permissions import AllowAny, BasePermission, IsAuthenticated
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.access import NO_SCOPE, Access, Scope
from apps.accounts.addresses import client_network
from apps.accounts.identity import BearerAuthentication, Caller, authenticate, check_scope
from apps.core.work_queue import Share, Turn, WorkQueue, user_share
from apps.llm.errors import Forbidden
from promptcraft.context import context_of
from promptcraft.database import DATABASE

__all__ = ["JsonView"]


class _AlwaysJson(BaseContentNegotiation):
    """Answers are JSON whatever Accept says, errors included."""

    def select_parser(self, request: Request, parsers: object) -> None:
        """Return none: bodies are read by `apps.accounts.bodies`."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """Return the only one."""
        renderer = next(iter(renderers))
        return renderer, str(renderer.media_type)


class _IsStaff(BasePermission):
    def has_permission(self, request: Request, view: APIView) -> bool:
        """Return true, or raise `Forbidden`."""
        caller = request.user
        if not (isinstance(caller, Caller) and caller.is_staff):
            raise Forbidden("Only staff may do this.")
        return True


_PERMISSIONS: dict[Access, tuple[type[BasePermission], ...]] = {
    Access.PUBLIC: (AllowAny,),
    Access.AUTHENTICATED: (IsAuthenticated,),
    Access.STAFF: (IsAuthenticated, _IsStaff),
}


class JsonView(APIView):
    """A view whose class attribute `access` decides how callers are authenticated and who may pass.

    Served by `promptcraft.handler`, a request is admitted on the event loop and then has a turn in a thread.
    """

    access: ClassVar[Access]
    scopes: ClassVar[frozenset[Scope]]
    """Which API keys may call it, where `access` is AUTHENTICATED: those with one of these."""
    queue: ClassVar[WorkQueue] = DATABASE
    """Where its requests wait for a thread: short ones with the other calls of the database."""

    renderer_classes = (JSONRenderer,)
    content_negotiation_class = _AlwaysJson
    # Its answer to OPTIONS would publish docstrings.
    metadata_class = None

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if getattr(cls, "access", None) not in _PERMISSIONS:
            raise TypeError(f"{cls.__name__} must declare `access` as PUBLIC, AUTHENTICATED or STAFF")
        if not hasattr(cls, "scopes"):
            if cls.access is Access.AUTHENTICATED:
                raise TypeError(f"{cls.__name__} must declare `scopes`, the API keys that may call it, or NO_SCOPE")
            cls.scopes = NO_SCOPE

    @classmethod
    async def admit(cls, request: HttpRequest) -> Turn:
        """Say where a request waits for its thread: on the caller's account, or on their network's if nobody calls.

        Raises AuthenticationFailed, and whatever else refuses the request before it waits.
        """
        if cls.access is Access.PUBLIC or request.method == "OPTIONS":
            return Turn(cls.queue, Share(client_network(request)))
        # The view asks again, in its thread, and is answered from memory.
        caller = await authenticate(request.META.get("HTTP_AUTHORIZATION"))
        context_of(request).user_id = caller.user_id
        return await cls.admit_caller(request, caller)

    @classmethod
    async def admit_caller(cls, request: HttpRequest, caller: Caller) -> Turn:
        """Say where a request of a caller's waits. Raises what refuses it before."""
        del request
        return Turn(cls.queue, user_share(caller.user_id))

    def get_authenticators(self) -> list[BaseAuthentication]:
        """Return what `access` asks for; public views do not look at the header at all."""
        return [] if self.access is Access.PUBLIC else [BearerAuthentication()]

    def get_permissions(self) -> list[BasePermission]:
        """Return what `access` asks for."""
        return [permission() for permission in _PERMISSIONS[self.access]]

    def perform_authentication(self, request: Request) -> None:
        """Ask who calls, but for OPTIONS: it answers everybody alike, as on the plain views."""
        if request.method != "OPTIONS":
            super().perform_authentication(request)

    def check_permissions(self, request: Request) -> None:
        """Ask whether they may, but for OPTIONS, and for methods that are refused whoever calls."""
        if request.method != "OPTIONS" and request.method in self.allowed_methods:
            super().check_permissions(request)
            if isinstance(request.user, Caller):
                check_scope(request.user, self.scopes)

    @property
    def default_response_headers(self) -> dict[str, str]:
        """Return none: the answer varies with nothing, and Allow belongs to 405 and OPTIONS."""
        return {}

    def options(  # type: ignore[override]  # the stub knows Django's request alone
        self, request: Request, *args: object, **kwargs: object
    ) -> Response:
        """Name the methods."""
        return Response(status=204, headers={"Allow": ", ".join(self.allowed_methods)})
