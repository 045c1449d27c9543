"""Which of two ways a client is to take while the service moves from one to the other: `features` of `me`."""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass

from django.conf import settings

from apps.accounts.identity import Caller

__all__ = ["Features", "Phase", "Rollout", "features_of"]

_BUCKETS = 100


class Phase(enum.StrEnum):
    """How far the move from WebSockets to server-sent events is, in its order."""

    OFF = "off"
    """Clients of version 1 stay on their WebSocket."""
    SHADOW = "shadow"
    """They stay, and follow each answer over server-sent events as well, which nobody sees."""
    PERCENTAGE = "percentage"
    """Some of the users move."""
    ON = "on"
    """All do. The one phase in which WebSockets may be off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """How one feature stands for one user."""

    enabled: bool
    """Whether this user's clients are to use it."""
    phase: Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """What clients are told; a name that a client does not find means no."""

    sse_streaming: Rollout


def features_of(caller: Caller) -> Features:
    """Return how the features stand for a caller: the same in every process with the same settings."""
    return Features(sse_streaming=_sse_streaming(caller.user_id))


def _sse_streaming(user_id: int) -> Rollout:
    phase = Phase(settings.SSE_ROLLOUT_PHASE)
    enabled = phase is Phase.ON or (
        phase is Phase.PERCENTAGE and _bucket("sse_streaming", user_id) < settings.SSE_ROLLOUT_PERCENT
    )
    return Rollout(enabled=enabled, phase=phase)


def _bucket(feature: str, user_id: int) -> int:
    """Return a user's place among a hundred, another one for each feature.

    It depends on nothing else: a higher percentage only adds users, a lower one only removes some of them, and a new
    SECRET_KEY moves nobody.
    """
    digest = hashlib.blake2b(str(user_id).encode(), key=feature.encode(), digest_size=8).digest()
    return int.from_bytes(digest) % _BUCKETS
