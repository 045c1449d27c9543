"""A configuration for tests of the engine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from apps.chat.conf import ChatConfig

_PATIENT = ChatConfig(
    rate_limit=5,
    rate_window_s=60.0,
    max_streams_per_user=5,
    max_streams=100,
    first_token_timeout_s=60.0,
    gap_timeout_s=1_000.0,
    total_timeout_s=10_000.0,
    header_hold_s=8.0,
    keepalive_interval_s=15.0,
    disconnect_grace_s=30.0,
    stream_retention_s=600.0,
    breaker_failures=5,
    breaker_cooldown_s=30.0,
    drain_timeout_s=25.0,
    user_hash_key="key",
)


def config(**changes: Any) -> ChatConfig:
    """Return it with changes."""
    return replace(_PATIENT, **changes)
