"""The completions service's settings, read when the service starts and passed on as values."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.conf import settings

from apps.limits.limiter import Limits, parse_rate

__all__ = ["ChatConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatConfig:
    """Everything of the settings that the service uses. Seconds are floats."""

    rate_limit: int
    rate_window_s: float
    max_streams_per_user: int
    max_streams: int
    first_token_timeout_s: float
    gap_timeout_s: float
    total_timeout_s: float
    header_hold_s: float
    keepalive_interval_s: float
    disconnect_grace_s: float
    stream_retention_s: float
    breaker_failures: int
    breaker_cooldown_s: float
    drain_timeout_s: float
    user_hash_key: str
    redis_url: str | None = field(default=None, repr=False)
    """Where limits are shared; None keeps them in the process."""
    workers: int = 1
    """How many processes are known to serve, at the least."""

    @classmethod
    def from_settings(cls) -> ChatConfig:
        """Read Django's settings."""
        count, window_s = parse_rate(settings.CHAT_RATE_LIMIT)
        return cls(
            rate_limit=count,
            rate_window_s=window_s,
            max_streams_per_user=settings.MAX_STREAMS_PER_USER,
            max_streams=settings.MAX_STREAMS,
            first_token_timeout_s=settings.FIRST_TOKEN_TIMEOUT_S,
            gap_timeout_s=settings.GAP_TIMEOUT_S,
            total_timeout_s=settings.TOTAL_TIMEOUT_S,
            header_hold_s=settings.HEADER_HOLD_S,
            keepalive_interval_s=settings.KEEPALIVE_INTERVAL_S,
            disconnect_grace_s=settings.DISCONNECT_GRACE_S,
            stream_retention_s=settings.STREAM_RETENTION_S,
            breaker_failures=settings.BREAKER_FAILURES,
            breaker_cooldown_s=settings.BREAKER_COOLDOWN_S,
            drain_timeout_s=settings.DRAIN_TIMEOUT_S,
            user_hash_key=settings.SECRET_KEY,
            redis_url=settings.REDIS_URL,
            workers=settings.WEB_CONCURRENCY,
        )

    @property
    def limits(self) -> Limits:
        """What holds for each user."""
        return Limits(rate=self.rate_limit, window_s=self.rate_window_s, streams=self.max_streams_per_user)

    @property
    def tick_s(self) -> float:
        """How often watchdogs and keep-alives look: a second, or finer where a setting asks for less."""
        finest = min(
            self.first_token_timeout_s,
            self.gap_timeout_s,
            self.total_timeout_s,
            self.header_hold_s,
            self.keepalive_interval_s,
            self.disconnect_grace_s,
        )
        return min(1.0, max(0.01, finest / 8))
