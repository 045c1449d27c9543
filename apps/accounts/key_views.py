"""`keys/`, `password/` and `users/`: what a user who logged in does with an account, and staff with all of them."""

from __future__ import annotations

import uuid
from typing import cast

from django.http import HttpRequest
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts import schema
from apps.accounts.access import NO_SCOPE, Access
from apps.accounts.addresses import client_network
from apps.accounts.api_keys import key_create, key_revoke, keys_of
from apps.accounts.bodies import json_object, text_field
from apps.accounts.hashing import HASHING, MOST_PASSWORD_CHARACTERS, hashing_share
from apps.accounts.identity import Caller
from apps.accounts.json_view import JsonView
from apps.accounts.key_fields import key_json, read_key_fields
from apps.accounts.password_change import password_change
from apps.accounts.users import MOST_USERS_OF_PAGE, user_set_active, users_page
from apps.core.work_queue import Turn
from apps.llm.errors import InvalidRequest

__all__ = ["KeyView", "KeysView", "PasswordView", "UserStateView", "UsersView"]

_MOST_DIGITS = 18


class _LoggedInView(JsonView):
    """A view for users who logged in; API keys may not, whatever their scopes."""

    access = Access.AUTHENTICATED
    scopes = NO_SCOPE


class KeysView(_LoggedInView):
    """`keys/`: the caller's API keys."""

    @extend_schema(**schema.KEY_LIST)
    def get(self, request: Request) -> Response:
        """List the keys, newest first."""
        rows = keys_of(user_id=_caller(request).user_id)
        return Response({"results": [key_json(row) for row in rows], "next": None})

    @extend_schema(**schema.KEY_CREATE)
    def post(self, request: Request) -> Response:
        """Make a key, which is shown here and never again."""
        fields = read_key_fields(json_object(request._request))
        row, key = key_create(
            user_id=_caller(request).user_id,
            name=fields.name,
            scopes=fields.scopes,
            models=fields.models,
            expires_at=fields.expires_at,
        )
        return Response({**key_json(row), "key": key}, status=201)


class KeyView(_LoggedInView):
    """`keys/{key_id}/`: one of them."""

    @extend_schema(**schema.KEY_REVOKE)
    def delete(self, request: Request, key_id: uuid.UUID) -> Response:
        """Revoke a key."""
        key_revoke(key_id=key_id, user_id=_caller(request).user_id)
        return Response(status=204)


class PasswordView(_LoggedInView):
    """`password/`: a new password."""

    @classmethod
    async def admit_caller(cls, request: HttpRequest, caller: Caller) -> Turn:
        """Have a POST wait for a hashing thread."""
        if request.method != "POST":
            return await super().admit_caller(request, caller)
        return Turn(HASHING, hashing_share(client_network(request), caller.username))

    @extend_schema(**schema.PASSWORD)
    def post(self, request: Request) -> Response:
        """Change the caller's password, which ends every log-in."""
        body = json_object(request._request)
        password_change(
            request=request._request,
            user_id=_caller(request).user_id,
            old=text_field(body, "old", most_characters=MOST_PASSWORD_CHARACTERS),
            new=text_field(body, "new", most_characters=MOST_PASSWORD_CHARACTERS),
        )
        return Response(status=204)


class UsersView(JsonView):
    """`users/`: all users, for staff."""

    access = Access.STAFF

    @extend_schema(**schema.USER_LIST)
    def get(self, request: Request) -> Response:
        """List the users in the order of their ids."""
        limit = _number(request, "limit", default=20)
        if not 1 <= limit <= MOST_USERS_OF_PAGE:
            raise InvalidRequest(f"`limit` must be from 1 to {MOST_USERS_OF_PAGE}.", param="limit")
        users, more = users_page(after=_number(request, "after", default=0), limit=limit)
        return Response(
            {"results": [schema.user_json(user) for user in users], "next": str(users[-1].pk) if more else None}
        )


class UserStateView(JsonView):
    """`users/{id}/disable/` and `enable/`, for staff."""

    access = Access.STAFF
    active: bool = False

    @extend_schema(**schema.USER_STATE)
    def post(self, request: Request, user_id: int) -> Response:
        """Disable a user, or enable one again."""
        user = user_set_active(user_id=user_id, by_user_id=_caller(request).user_id, active=self.active)
        return Response(schema.user_json(user))


def _caller(request: Request) -> Caller:
    return cast(Caller, request.user)


def _number(request: Request, name: str, *, default: int) -> int:
    text = request._request.GET.get(name)
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise InvalidRequest(f"`{name}` must be a whole number.", param=name)
    return int(text)
