"""Who is calling: from the Authorization header to a `Caller`, for async views and for REST framework alike."""

from __future__ import annotations

import asyncio
import functools
import uuid
from dataclasses import dataclass

from django.dispatch import receiver
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from apps.accounts.families import family_ended, token_owner
from apps.accounts.memory import TokenMemory
from apps.accounts.tokens import AccessClaims, RefreshClaims, invalid_token, verify_access
from apps.core.work_queue import SHARE, Share, user_share
from apps.llm.errors import AuthenticationFailed, Code
from promptcraft.context import optional_context_of
from promptcraft.database import run_in_database

__all__ = [
    "BearerAuthentication",
    "Caller",
    "authenticate",
    "authenticate_token",
    "authenticate_token_blocking",
    "recall_user_id",
    "share_of_claims",
    "signed_share",
]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """One look at the database, for every request of a token that comes while it is under way."""

    claims: AccessClaims
    asked_at: float
    answer: asyncio.Task[Caller]


_memory: TokenMemory[Caller] = TokenMemory()
_asking: dict[str, _Question] = {}
"""By token: what the database has been asked and not answered. As bounded as what `run_in_database` lets in."""


def recall_user_id(authorization: bytes) -> int | None:
    """Return the user of a header's token if it was verified a moment ago; None says nothing of the token."""
    caller = _memory.recall(_token_in(authorization.decode("latin-1")))
    return None if caller is None else caller.user_id


def signed_share(authorization: bytes) -> Share | None:
    """Return on whose account one waits who shows a token, without a look at the database; None without a signature."""
    try:
        return share_of_claims(verify_access(_token_in(authorization.decode("latin-1"))))
    except AuthenticationFailed:
        return None


def share_of_claims(claims: AccessClaims | RefreshClaims) -> Share:
    """Return the share of a token while nobody knows whether its log-in lives.

    It is not its user's own: a copy of an ended one would fill that. The log-ins of one user take turns in it.
    """
    return Share(f"signed for user {claims.user_id}", claims.family_id.hex)


async def authenticate(authorization_header: str | None) -> Caller:
    """Return the caller whom `Authorization: Bearer <access>` names. At most one query, and off the event loop.

    Raises:
        AuthenticationFailed: with the code `missing_token`, `invalid_token` or `token_expired`.

    """
    return await authenticate_token(_bearer_token(authorization_header))


async def authenticate_token(token: str) -> Caller:
    """Return the caller of a bare access token; as `authenticate`. What this task does from now on is for this user."""
    caller = _memory.recall(token)
    if caller is not None:
        SHARE.set(user_share(caller.user_id))
        return caller
    claims = verify_access(token)
    question = _asking.get(token)
    # A busy caller's requests all come here at once when what was remembered is over: one look serves them. A look
    # that began too long ago, or before the log-in ended, is not for those who come now.
    if question is None or not _memory.believes(question.asked_at, claims.family_id):
        question = _ask(token, claims)
    # Shielded: whoever leaves takes nobody along.
    caller = await asyncio.shield(question.answer)
    SHARE.set(user_share(caller.user_id))
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


def _ask(token: str, claims: AccessClaims) -> _Question:
    asked_at = _memory.now()
    # Not on the user's account before it is known that the log-in lives.
    SHARE.set(share_of_claims(claims))
    answer = asyncio.get_running_loop().create_task(run_in_database(_caller_of, claims))
    question = _asking[token] = _Question(claims=claims, asked_at=asked_at, answer=answer)
    answer.add_done_callback(functools.partial(_answered, token, question))
    return question


def _answered(token: str, question: _Question, answer: asyncio.Task[Caller]) -> None:
    if _asking.get(token) is question:
        del _asking[token]
    if not answer.cancelled() and answer.exception() is None:
        _remember(token, question.claims, answer.result(), question.asked_at)


def _remember(token: str, claims: AccessClaims, caller: Caller, asked_at: float) -> None:
    _memory.remember(token, caller, asked_at=asked_at, expires_at_s=claims.expires_at_s, family_id=claims.family_id)


def _bearer_token(header: str | None) -> str:
    token = _token_in(header or "")
    if not token:
        raise AuthenticationFailed(
            "No access token was sent. Add the header `Authorization: Bearer <access token>`.",
            code=Code.MISSING_TOKEN,
        )
    return token


def _token_in(authorization: str) -> str:
    """Return a header's token, "" where there is none."""
    # RFC 9110, section 11.1: the scheme's name has no case, and one or more spaces follow it.
    scheme, _, token = authorization.strip(" ").partition(" ")
    return token.lstrip(" ") if scheme.lower() == "bearer" else ""


def _caller_of(claims: AccessClaims) -> Caller:
    user = token_owner(claims)
    if user is None:
        raise invalid_token()
    return Caller(user_id=user.pk, username=user.username, email=user.email, is_staff=user.is_staff)
