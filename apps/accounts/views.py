"""The views of `/api/v2/auth/`. They read bodies and call services; the rules live there."""

from __future__ import annotations

from dataclasses import asdict
from typing import ClassVar, cast

from django.conf import settings
from django.http import Http404, HttpRequest
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts import schema
from apps.accounts.access import EVERY_SCOPE, Access
from apps.accounts.addresses import client_network
from apps.accounts.bodies import json_object, text_ahead, text_field
from apps.accounts.families import family_revoke, token_rotate
from apps.accounts.features import features_of
from apps.accounts.hashing import HASHING, MOST_PASSWORD_CHARACTERS, hashing_share
from apps.accounts.identity import Caller, share_of_claims
from apps.accounts.json_view import JsonView
from apps.accounts.plans import limits_of
from apps.accounts.registration import user_register
from apps.accounts.sign_in import sign_in
from apps.accounts.tokens import MOST_TOKEN_BYTES, verify_any
from apps.accounts.verification import token_check
from apps.core.work_queue import Turn
from apps.llm.errors import AuthenticationFailed

__all__ = ["LogoutView", "MeView", "RefreshView", "RegisterView", "TokenView", "VerifyView"]

# Before Unicode normalisation, which may shorten a name to the 150 characters a stored one has at most.
_MOST_NAME_CHARACTERS = 1024
_MOST_EMAIL_CHARACTERS = 1024


class _HashingView(JsonView):
    """A view that hashes a password."""

    access = Access.PUBLIC

    @classmethod
    async def admit(cls, request: HttpRequest) -> Turn:
        """Have a POST wait for a hashing thread."""
        if request.method != "POST":
            return await super().admit(request)
        username = text_ahead(request, "username", most_characters=_MOST_NAME_CHARACTERS)
        return Turn(HASHING, hashing_share(client_network(request), username))


class _TokenView(JsonView):
    """A view that takes a token in its body as the only proof."""

    access = Access.PUBLIC
    field: ClassVar[str]

    @classmethod
    async def admit(cls, request: HttpRequest) -> Turn:
        """Have the request wait on the account of the token, if it is signed: its log-in may have ended."""
        try:
            claims = verify_any(text_ahead(request, cls.field, most_characters=MOST_TOKEN_BYTES))
        except AuthenticationFailed:
            return await super().admit(request)
        return Turn(cls.queue, share_of_claims(claims))


class TokenView(_HashingView):
    """`POST token/`: log in."""

    access = Access.PUBLIC

    @extend_schema(**schema.TOKEN)
    def post(self, request: Request) -> Response:
        """Exchange a name and a password for a token pair."""
        body = json_object(request._request)
        username = text_field(body, "username", most_characters=_MOST_NAME_CHARACTERS)
        password = text_field(body, "password", most_characters=MOST_PASSWORD_CHARACTERS)
        return Response(asdict(sign_in(request=request._request, username=username, password=password)))


class RefreshView(_TokenView):
    """`POST token/refresh/`: rotate."""

    access = Access.PUBLIC
    field = "refresh"

    @extend_schema(**schema.REFRESH)
    def post(self, request: Request) -> Response:
        """Exchange a refresh token for a new pair."""
        return Response(asdict(token_rotate(refresh=_token(request, self.field))))


class VerifyView(_TokenView):
    """`POST token/verify/`: is this token alive?"""

    access = Access.PUBLIC
    field = "token"

    @extend_schema(**schema.VERIFY)
    def post(self, request: Request) -> Response:
        """Answer 200 for a living access or refresh token, 401 for any other."""
        token_check(_token(request, self.field))
        return Response({})


class LogoutView(_TokenView):
    """`POST logout/`: end a log-in. The refresh token is all the proof it takes: the access token may have expired."""

    access = Access.PUBLIC
    field = "refresh"

    @extend_schema(**schema.LOGOUT)
    def post(self, request: Request) -> Response:
        """End every token that the refresh token's log-in grew into."""
        family_revoke(refresh=_token(request, self.field))
        # Said aloud, since servers would announce a chunked body otherwise.
        return Response(status=205)


class RegisterView(_HashingView):
    """`POST register/`: make an account, where that is open to anyone."""

    access = Access.PUBLIC

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        """Be absent, for every method, where registration is closed."""
        if not settings.REGISTRATION_OPEN:
            raise Http404
        super().initial(request, *args, **kwargs)

    @extend_schema(**schema.REGISTER)
    def post(self, request: Request) -> Response:
        """Make an account."""
        body = json_object(request._request)
        user = user_register(
            request=request._request,
            username=text_field(body, "username", most_characters=_MOST_NAME_CHARACTERS),
            email=text_field(body, "email", most_characters=_MOST_EMAIL_CHARACTERS),
            password=text_field(body, "password", most_characters=MOST_PASSWORD_CHARACTERS),
        )
        return Response({"id": user.pk, "username": user.username, "email": user.email}, status=201)


class MeView(JsonView):
    """`GET me/`: who am I, what may I do, and which way?"""

    access = Access.AUTHENTICATED
    scopes = EVERY_SCOPE

    @extend_schema(**schema.ME)
    def get(self, request: Request) -> Response:
        """Describe the caller."""
        caller = cast(Caller, request.user)
        return Response(
            {
                "id": caller.user_id,
                "username": caller.username,
                "email": caller.email,
                "plan": caller.plan,
                "limits": asdict(limits_of(caller)),
                "is_staff": caller.is_staff,
                "features": asdict(features_of(caller)),
            }
        )


def _token(request: Request, field: str) -> str:
    # Not bounded here: a token over its bound is a bad token (401), not a bad field.
    return text_field(json_object(request._request), field, most_characters=settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
