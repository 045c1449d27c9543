"""Who is calling: from the Authorization header to a `Caller`, for async views and for REST framework alike."""

from __future__ import annotations

import asyncio
import functools
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass

from django.db import DatabaseError
from django.dispatch import receiver
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from apps.accounts.access import Scope
from apps.accounts.api_keys import USE_NOTED_EVERY_S, key_owner, key_used
from apps.accounts.families import family_ended, token_owner
from apps.accounts.key_form import PREFIX, KeyClaims, invalid_key, read_key
from apps.accounts.memory import TokenMemory
from apps.accounts.models import ApiKey
from apps.accounts.tokens import AccessClaims, RefreshClaims, invalid_token, verify_access
from apps.core.work_queue import SHARE, Share, user_share
from apps.llm.errors import AuthenticationFailed, Code, Forbidden, PromptCraftError
from promptcraft.context import optional_context_of
from promptcraft.database import run_in_database

__all__ = [
    "BearerAuthentication",
    "Caller",
    "Key",
    "authenticate",
    "authenticate_token",
    "authenticate_token_blocking",
    "check_scope",
    "recall_user_id",
    "share_of_claims",
    "signed_share",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """The API key that a caller shows in the place of a log-in."""

    id: uuid.UUID
    scopes: frozenset[Scope]
    models: tuple[str, ...]
    """The models it may ask for; empty for all."""
    expires_at_s: int | None
    """Unix seconds; it is dead from this second on."""
    last_used_at_s: float | None


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
    key: Key | None = None
    """None for whoever logged in."""

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

    claims: AccessClaims | KeyClaims
    asked_at: float
    answer: asyncio.Task[Caller]


_memory: TokenMemory[Caller] = TokenMemory()
# Past every date that a token may have.
_NEVER_S = 2**62
_noting: set[asyncio.Task[None]] = set()
"""What notes that keys are in use; a task nobody holds may be collected."""
_asking: dict[str, _Question] = {}
"""By token: what the database has been asked and not answered. As bounded as what `run_in_database` lets in."""


def recall_user_id(authorization: bytes) -> int | None:
    """Return the user of a header's token if it was verified a moment ago; None says nothing of the token."""
    caller = _memory.recall(_token_in(authorization.decode("latin-1")))
    return None if caller is None else caller.user_id


def signed_share(authorization: bytes) -> Share | None:
    """Return on whose account one waits who shows a token, without a look at the database; None without a signature."""
    try:
        return share_of_claims(_claims_of(_token_in(authorization.decode("latin-1"))))
    except AuthenticationFailed:
        return None


def share_of_claims(claims: AccessClaims | RefreshClaims | KeyClaims) -> Share:
    """Return the share of a token while nobody knows whether its log-in lives.

    It is not its user's own: a copy of an ended one would fill that. The log-ins of one user take turns in it.
    """
    return Share(f"signed for user {claims.user_id}", claims.family_id.hex)


async def authenticate(authorization_header: str | None) -> Caller:
    """Return the caller whom `Authorization: Bearer <access token or API key>` names.

    At most one query, and off the event loop. What this task does from now on is for this user.

    Raises:
        AuthenticationFailed: with the code `missing_token`, `invalid_token` or `token_expired`.

    """
    token = _bearer_token(authorization_header)
    caller = _memory.recall(token)
    if caller is not None:
        SHARE.set(user_share(caller.user_id))
        return caller
    claims = _claims_of(token)
    question = _asking.get(token)
    # A busy caller's requests all come here at once when what was remembered is over: one look serves them. A look
    # that began too long ago, or before the log-in ended, is not for those who come now.
    if question is None or not _memory.believes(question.asked_at, claims.family_id):
        question = _ask(token, claims)
    # Shielded: whoever leaves takes nobody along.
    caller = await asyncio.shield(question.answer)
    SHARE.set(user_share(caller.user_id))
    return caller


async def authenticate_token(token: str) -> Caller:
    """Return the caller of a bare access token; as `authenticate`, but that an API key is no access token."""
    if token.startswith(PREFIX):
        raise invalid_token("API keys are not taken here. Send an access token from /api/v2/auth/token/.")
    return await authenticate(f"Bearer {token}")


def authenticate_token_blocking(token: str) -> Caller:
    """Return the caller of a bare token or key, asking the database in this thread; as `authenticate`."""
    caller = _memory.recall(token)
    if caller is not None:
        return caller
    claims = _claims_of(token)
    asked_at = _memory.now()
    caller = _caller_of(claims)
    _remember(token, claims, caller, asked_at)
    return caller


def check_scope(caller: Caller, scopes: frozenset[Scope]) -> None:
    """Return if the caller logged in, or shows a key with one of the scopes. Raises Forbidden."""
    key = caller.key
    if key is None or key.scopes & scopes:
        return
    if not scopes:
        raise Forbidden("An API key may not do this. Log in with name and password.")
    raise Forbidden(f"This API key lacks the scope `{min(scopes)}`. Make a key that has it.")


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


def _claims_of(token: str) -> AccessClaims | KeyClaims:
    return read_key(token) if token.startswith(PREFIX) else verify_access(token)


def _ask(token: str, claims: AccessClaims | KeyClaims) -> _Question:
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
        _note_use(answer.result().key)


def _remember(token: str, claims: AccessClaims | KeyClaims, caller: Caller, asked_at: float) -> None:
    expires_at_s = claims.expires_at_s if isinstance(claims, AccessClaims) else None
    if caller.key is not None:
        expires_at_s = caller.key.expires_at_s
    _memory.remember(
        token, caller, asked_at=asked_at, expires_at_s=expires_at_s or _NEVER_S, family_id=claims.family_id
    )


def _note_use(key: Key | None) -> None:
    """Have it written that a key is in use, by a task that no request waits for."""
    if key is None or (key.last_used_at_s is not None and time.time() < key.last_used_at_s + USE_NOTED_EVERY_S):
        return
    task = asyncio.get_running_loop().create_task(_noted(key.id))
    _noting.add(task)
    task.add_done_callback(_noting.discard)


async def _noted(key_id: uuid.UUID) -> None:
    # It is noted the next time if the database has no time for it.
    with suppress(PromptCraftError, DatabaseError):
        await run_in_database(key_used, key_id)


def _bearer_token(header: str | None) -> str:
    token = _token_in(header or "")
    if not token:
        raise AuthenticationFailed(
            "No token was sent. Add the header `Authorization: Bearer <access token or API key>`.",
            code=Code.MISSING_TOKEN,
        )
    return token


def _token_in(authorization: str) -> str:
    """Return a header's token, "" where there is none."""
    # RFC 9110, section 11.1: the scheme's name has no case, and one or more spaces follow it.
    scheme, _, token = authorization.strip(" ").partition(" ")
    return token.lstrip(" ") if scheme.lower() == "bearer" else ""


def _caller_of(claims: AccessClaims | KeyClaims) -> Caller:
    if isinstance(claims, KeyClaims):
        row = key_owner(claims)
        if row is None:
            raise invalid_key()
        user, key = row.user, _key_of(row)
    else:
        owner = token_owner(claims)
        if owner is None:
            raise invalid_token()
        user, key = owner, None
    return Caller(user_id=user.pk, username=user.username, email=user.email, is_staff=user.is_staff, key=key)


def _key_of(row: ApiKey) -> Key:
    return Key(
        id=row.pk,
        scopes=frozenset(Scope(scope) for scope in row.scopes),
        models=tuple(row.allowed_models),
        expires_at_s=None if row.expires_at is None else int(row.expires_at.timestamp()),
        last_used_at_s=None if row.last_used_at is None else row.last_used_at.timestamp(),
    )
