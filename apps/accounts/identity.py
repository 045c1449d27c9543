"""Who is calling: from the Authorization header to a `Caller`, for async views and for REST framework alike."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass

from django.dispatch import receiver
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from apps.accounts.families import family_ended, token_owner
from apps.accounts.memory import TokenMemory
from apps.accounts.tokens import AccessClaims, invalid_token, verify_access
from apps.llm.errors import AuthenticationFailed, Code
from promptcraft.context import optional_context_of
from promptcraft.database import run_in_database

__all__ = ["BearerAuthentication", "Caller", "authenticate", "authenticate_token", "authenticate_token_blocking"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """An authenticated user, as the rest of the project sees one; at most 5 s behind the database.

    Not behind at all where this process ended the log-in itself.
    """

    user_id: int
    username: str
    email: str = ""
    is_staff: bool = False
    plan: str = "default"

    @property
    def pk(self) -> int:
        """The name REST framework knows the id by."""
        return self.user_id

    @property
    def is_authenticated(self) -> bool:
        """Always true: there is no anonymous caller."""
        return True


_memory: TokenMemory[Caller] = TokenMemory()
_asking: dict[str, asyncio.Event] = {}
"""By token: set when the database has answered. No more of them than requests that wait for it."""


async def authenticate(authorization_header: str | None) -> Caller:
    """Return the caller whom `Authorization: Bearer <access>` names. At most one query, and off the event loop.

    Raises:
        AuthenticationFailed: with the code `missing_token`, `invalid_token` or `token_expired`.

    """
    return await authenticate_token(_bearer_token(authorization_header))


async def authenticate_token(token: str) -> Caller:
    """Return the caller of a bare access token; as `authenticate`."""
    caller = _memory.recall(token)
    if caller is not None:
        return caller
    claims = verify_access(token)
    others = _asking.get(token)
    if others is not None:
        # A busy caller's requests all come here at once when what was remembered is over: one of them asks.
        await others.wait()
        caller = _memory.recall(token)
        if caller is not None:
            return caller
    answered = _asking[token] = asyncio.Event()
    try:
        asked_at = _memory.now()
        caller = await run_in_database(_caller_of, claims)
        _remember(token, claims, caller, asked_at)
    finally:
        answered.set()
        if _asking.get(token) is answered:
            del _asking[token]
    return caller


def authenticate_token_blocking(token: str) -> Caller:
    """Return the caller of a bare access token, asking the database in this thread; as `authenticate`."""
    caller = _memory.recall(token)
    if caller is not None:
        return caller
    claims = verify_access(token)
    asked_at = _memory.now()
    caller = _caller_of(claims)
    _remember(token, claims, caller, asked_at)
    return caller


class BearerAuthentication(BaseAuthentication):
    """The same for REST framework: `request.user` is the `Caller`; no header is an error, not an anonymous user."""

    def authenticate(self, request: Request) -> tuple[Caller, None]:
        """Return the caller, or raise `AuthenticationFailed`."""
        caller = authenticate_token_blocking(_bearer_token(request.META.get("HTTP_AUTHORIZATION")))
        context = optional_context_of(request._request)
        if context is not None:
            context.user_id = caller.user_id
        return caller, None

    def authenticate_header(self, request: Request) -> str:
        """Return the challenge of a 401."""
        return "Bearer"


@receiver(family_ended)
def _forget(*, family_id: uuid.UUID, **_: object) -> None:
    _memory.forget(family_id)


def _remember(token: str, claims: AccessClaims, caller: Caller, asked_at: float) -> None:
    _memory.remember(token, caller, asked_at=asked_at, expires_at_s=claims.expires_at_s, family_id=claims.family_id)


def _bearer_token(header: str | None) -> str:
    # RFC 9110, section 11.1: the scheme's name has no case, and one or more spaces follow it.
    scheme, _, token = (header or "").strip(" ").partition(" ")
    token = token.lstrip(" ")
    if scheme.lower() != "bearer" or not token:
        raise AuthenticationFailed(
            "No access token was sent. Add the header `Authorization: Bearer <access token>`.",
            code=Code.MISSING_TOKEN,
        )
    return token


def _caller_of(claims: AccessClaims) -> Caller:
    user = token_owner(claims)
    if user is None:
        raise invalid_token()
    return Caller(user_id=user.pk, username=user.username, email=user.email, is_staff=user.is_staff)
