"""Refresh families: open one at log-in, rotate its tokens, end it at log-out or theft.

A rotation is a compare-and-set on the token's own row. Whoever loses the race, or comes again within
`REPLAY_WINDOW_S`, is answered the winner's pair, signed again from the successor's row: parallel tabs stay on one
chain. Whoever comes later holds a copy that should not exist, and the whole family dies.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Collection
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Exists, OuterRef
from django.dispatch import Signal
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from apps.accounts.models import RefreshFamily, RefreshToken
from apps.accounts.tokens import (
    AccessClaims,
    RefreshClaims,
    TokenPair,
    invalid_token,
    issue_pair,
    password_fingerprint,
    refresh_lifetime,
    verify_refresh,
)

__all__ = [
    "REPLAY_WINDOW_S",
    "expired_purge",
    "families_alive",
    "families_revoke",
    "family_ended",
    "family_open",
    "family_revoke",
    "password_rehash",
    "token_owner",
    "token_rotate",
]

logger = logging.getLogger("promptcraft.accounts")

REPLAY_WINDOW_S = 10
"""How long a used refresh token is answered with its successor."""
family_ended = Signal()
"""Sent with `family_id` when a family has ended in this process, and the database shows it."""

_PURGE_BATCH = 500


def family_open(*, user: User) -> TokenPair:
    """Open a family for a user who has just proved who they are, and return its first pair."""
    now = timezone.now()
    with transaction.atomic():
        family = RefreshFamily.objects.create(user=user, created_at=now)
        record = _record_create(family=family, jti=uuid.uuid4(), now=now)
    return issue_pair(user, record)


def token_rotate(*, refresh: str) -> TokenPair:
    """Exchange a refresh token for its successor and a new access token.

    Raises:
        AuthenticationFailed: the token is malformed, expired, unknown, of a dead family or user, or used before
            and outside the replay window, which kills the family.

    """
    claims = verify_refresh(refresh)
    # Durable: the death of a family must not be undone by a caller's own transaction.
    with transaction.atomic(durable=True):
        pair = _pair_to_answer(claims, timezone.now())
    if pair is None:
        _tell_ended(claims.family_id)
        raise invalid_token()
    return pair


def family_revoke(*, refresh: str) -> None:
    """End the family of a refresh token, whichever of its tokens it is; ending it again changes nothing.

    Raises:
        AuthenticationFailed: the token is not ours or has expired.

    """
    family_id = verify_refresh(refresh).family_id
    _revoke(family_id)
    _tell_ended(family_id)


def families_revoke(*, user_id: int) -> None:
    """End every log-in of a user's."""
    alive = RefreshFamily.objects.filter(user_id=user_id, revoked_at__isnull=True)
    ids = list(alive.values_list("pk", flat=True))
    alive.update(revoked_at=timezone.now())
    for family_id in ids:
        _tell_ended(family_id)


def password_rehash(*, user: User, encoded: str) -> None:
    """Store another hash of the password that the user has, and keep every log-in; nothing if the password changed."""
    before = user.password
    with transaction.atomic():
        if User.objects.filter(pk=user.pk, password=before).update(password=encoded):
            RefreshFamily.objects.filter(user=user, revoked_at__isnull=True).update(
                rehashed_from=password_fingerprint(before), rehashed_to=password_fingerprint(encoded)
            )
            user.password = encoded


def token_owner(claims: AccessClaims | RefreshClaims) -> User | None:
    """Return the user a token stands for, or None if the token is dead. One query.

    Dead are the tokens of deleted and disabled users, of revoked families, from before a change of password, and
    refresh tokens that were used and are outside the replay window.
    """
    families = RefreshFamily.objects.filter(
        pk=claims.family_id, user_id=claims.user_id, revoked_at__isnull=True, user__is_active=True
    ).select_related("user")
    if isinstance(claims, RefreshClaims):
        still_answered = timezone.now() - timedelta(seconds=REPLAY_WINDOW_S)
        records = RefreshToken.objects.filter(pk=claims.jti, family=OuterRef("pk"))
        families = families.filter(
            Exists(records.filter(rotated_at__isnull=True)) | Exists(records.filter(rotated_at__gte=still_answered))
        )
    family = families.first()
    return None if family is None else _user_of(family, claims)


def families_alive(*, ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Return those of the families that are neither revoked nor of a user who is disabled or gone. One query."""
    alive = RefreshFamily.objects.filter(pk__in=ids, revoked_at__isnull=True, user__is_active=True)
    return set(alive.values_list("pk", flat=True))


def expired_purge(*, now: datetime) -> tuple[int, int]:
    """Delete expired tokens and the families left without any; return how many of each.

    In small batches, each its own transaction, so that log-ins go on meanwhile.
    """
    tokens = 0
    while jtis := list(RefreshToken.objects.filter(expires_at__lte=now).values_list("pk", flat=True)[:_PURGE_BATCH]):
        tokens += RefreshToken.objects.filter(pk__in=jtis).delete()[0]
    empty = RefreshFamily.objects.filter(~Exists(RefreshToken.objects.filter(family=OuterRef("pk"))))
    families = 0
    while ids := list(empty.values_list("pk", flat=True)[:_PURGE_BATCH]):
        families += RefreshFamily.objects.filter(pk__in=ids).delete()[0]
    return tokens, families


def _pair_to_answer(claims: RefreshClaims, now: datetime) -> TokenPair | None:
    successor = uuid.uuid4()
    # First statement of the transaction: it takes the row (PostgreSQL) or the database (SQLite) before anything is
    # read, so that of two parallel rotations the second sees what the first has done.
    won = RefreshToken.objects.filter(pk=claims.jti, family_id=claims.family_id, rotated_at__isnull=True).update(
        rotated_at=now, successor=successor
    )
    family = (
        RefreshFamily.objects.select_related("user")
        .filter(pk=claims.family_id, user_id=claims.user_id, revoked_at__isnull=True, user__is_active=True)
        .first()
    )
    user = None if family is None else _user_of(family, claims)
    if family is None or user is None:
        # Takes back the mark just made: a user who is enabled again finds the token unused.
        raise invalid_token()
    if won:
        return issue_pair(user, _record_create(family=family, jti=successor, now=now))
    used = RefreshToken.objects.filter(pk=claims.jti, family=family).first()
    if used is None or used.rotated_at is None or used.successor is None:
        return None
    if now - used.rotated_at > timedelta(seconds=REPLAY_WINDOW_S):
        _revoke(family.pk)
        logger.warning(
            "a used refresh token came back; its family is revoked",
            extra={"fields": {"user_id": user.pk, "family": str(family.pk)}},
        )
        return None
    record = RefreshToken.objects.filter(pk=used.successor).first()
    return None if record is None else issue_pair(user, record)


def _user_of(family: RefreshFamily, claims: AccessClaims | RefreshClaims) -> User | None:
    current = password_fingerprint(family.user.password)
    if constant_time_compare(current, claims.password_fingerprint):
        return family.user
    same_password = constant_time_compare(current, family.rehashed_to)
    return family.user if same_password and claims.password_fingerprint == family.rehashed_from else None


def _record_create(*, family: RefreshFamily, jti: uuid.UUID, now: datetime) -> RefreshToken:
    # Whole seconds, as JSON Web Tokens count: the row signs to the same bytes after it was read back.
    issued_at = now.replace(microsecond=0)
    return RefreshToken.objects.create(
        jti=jti, family=family, issued_at=issued_at, expires_at=issued_at + refresh_lifetime()
    )


def _tell_ended(family_id: uuid.UUID) -> None:
    family_ended.send(sender=RefreshFamily, family_id=family_id)


def _revoke(family_id: uuid.UUID) -> None:
    RefreshFamily.objects.filter(pk=family_id, revoked_at__isnull=True).update(revoked_at=timezone.now())
