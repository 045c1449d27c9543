"""API keys for servers and tools: made, listed, looked up and revoked."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from apps.accounts.access import Scope
from apps.accounts.families import family_ended
from apps.accounts.key_form import SHOWN_CHARACTERS, KeyClaims, development_key, key_digest, new_key
from apps.accounts.models import ApiKey
from apps.llm.errors import InvalidRequest, NotFound

__all__ = [
    "DEVELOPMENT_NAME",
    "DEVELOPMENT_PASSWORD",
    "MOST_KEYS_OF_USER",
    "MOST_MODELS",
    "USE_NOTED_EVERY_S",
    "development_key_ensure",
    "key_create",
    "key_owner",
    "key_revoke",
    "key_used",
    "keys_of",
]

MOST_KEYS_OF_USER = 100
MOST_MODELS = 50
USE_NOTED_EVERY_S = 60
DEVELOPMENT_NAME = "dev"
DEVELOPMENT_PASSWORD = "dev-password"
"""The user whom everybody knows; with DEBUG=1 alone."""
_DEVELOPMENT_KEY = "make run"


def key_create(
    *,
    user_id: int,
    name: str,
    scopes: Sequence[Scope] = (Scope.CHAT,),
    models: Sequence[str] = (),
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Make a key and return its row and the key itself, which cannot be had again. `models` empty: all of them.

    Raises InvalidRequest: the user has as many as they may.
    """
    with transaction.atomic():
        # The user's row is locked: of two requests at once the second counts what the first has made.
        User.objects.select_for_update().filter(pk=user_id).first()
        if ApiKey.objects.filter(user_id=user_id).count() >= MOST_KEYS_OF_USER:
            raise InvalidRequest(f"You have {MOST_KEYS_OF_USER} keys, as many as one may have. Revoke one.")
        key = new_key(user_id)
        return _stored(key, user_id, name, scopes, models, expires_at), key


def development_key_ensure(*, user: User) -> str:
    """Return the key that `make run` prints, stored if it was not; it stays the same from start to start."""
    key = development_key(user.pk)
    if not ApiKey.objects.filter(digest=key_digest(key)).exists():
        _stored(key, user.pk, _DEVELOPMENT_KEY, tuple(Scope), (), None)
    return key


def keys_of(*, user_id: int) -> list[ApiKey]:
    """Return a user's keys, newest first. At most MOST_KEYS_OF_USER."""
    return list(ApiKey.objects.filter(user_id=user_id).order_by("-created_at", "-id")[:MOST_KEYS_OF_USER])


def key_revoke(*, key_id: uuid.UUID, user_id: int | None = None) -> None:
    """Delete a key, of this user if one is named: it ends here at once, and within 5 s everywhere. Raises NotFound."""
    keys = ApiKey.objects.filter(pk=key_id)
    row = (keys if user_id is None else keys.filter(user_id=user_id)).first()
    if row is None:
        raise NotFound("There is no such key.")
    row.delete()
    family_ended.send(sender=ApiKey, family_id=KeyClaims(user_id=row.user_id, digest=row.digest).family_id)


def key_owner(claims: KeyClaims) -> ApiKey | None:
    """Return the row of a key with its user; None if it is revoked or expired, or its user disabled. One query."""
    living = Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now())
    return (
        ApiKey.objects.filter(living, digest=claims.digest, user_id=claims.user_id, user__is_active=True)
        .select_related("user")
        .first()
    )


def key_used(key_id: uuid.UUID) -> None:
    """Note that a key is in use, once in USE_NOTED_EVERY_S."""
    now = timezone.now()
    before = now - timedelta(seconds=USE_NOTED_EVERY_S)
    ApiKey.objects.filter(Q(last_used_at__isnull=True) | Q(last_used_at__lte=before), pk=key_id).update(
        last_used_at=now.replace(microsecond=0)
    )


def _stored(
    key: str, user_id: int, name: str, scopes: Sequence[Scope], models: Sequence[str], expires_at: datetime | None
) -> ApiKey:
    return ApiKey.objects.create(
        user_id=user_id,
        name=name,
        start=key[:SHOWN_CHARACTERS],
        digest=key_digest(key),
        scopes=[scope.value for scope in scopes],
        allowed_models=list(models),
        expires_at=expires_at,
        created_at=timezone.now().replace(microsecond=0),
    )
