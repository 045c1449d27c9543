"""What the engine says of a completion when it is over, for the database and for the API."""

from __future__ import annotations

import enum
from typing import Any

import msgspec

from apps.llm.errors import Failure
from apps.llm.wire.openai import AssembledMessage, Usage

__all__ = ["Attempt", "CompletionRecord", "End", "UsageSource"]


class End(enum.StrEnum):
    """How an attempt ended."""

    COMPLETE = "complete"
    CANCELLED = "cancelled"
    CLIENT_GONE = "client_gone"
    UPSTREAM_ERROR = "upstream_error"
    TIMEOUT = "timeout"
    FAILOVER = "failover"
    SHUTDOWN = "shutdown"


class UsageSource(enum.StrEnum):
    """Where token counts come from."""

    PROVIDER = "provider"
    ESTIMATED = "estimated"
    NONE = "none"


class Attempt(msgspec.Struct, kw_only=True):
    """One provider asked. Times are unix seconds; `*_monotonic` are for spans."""

    provider: str
    model: str
    started_at: float
    started_monotonic: float
    first_content_monotonic: float | None = None
    ended_at: float | None = None
    end: End | None = None
    failure: Failure | None = None
    usage: Usage | None = None
    usage_source: UsageSource = UsageSource.NONE
    cost_nano_usd: int | None = None
    price_percent: int | None = 100
    """How much of the listed price is due; None if that is not known."""
    ignored: tuple[str, ...] = ()
    """Fields of the request that have no effect on its answer."""

    @property
    def ttft_ms(self) -> float | None:
        """Milliseconds from asking to the first content; None if none came."""
        if self.first_content_monotonic is None:
            return None
        return round((self.first_content_monotonic - self.started_monotonic) * 1000, 1)

    @property
    def end_reason(self) -> str | None:
        """Why it failed, else how it ended; None while it runs."""
        if self.failure is not None:
            return self.failure.value
        return self.end.value if self.end is not None else None

    def as_json(self) -> dict[str, Any]:
        """Return what clients see of it."""
        usage = self.usage
        ignored = {"ignored": list(self.ignored)} if self.ignored else {}
        return {
            "provider": self.provider,
            "model": self.model,
            "started_at": self.started_at,
            "ttft_ms": self.ttft_ms,
            "ended_at": self.ended_at,
            "end": self.end.value if self.end else None,
            "end_reason": self.end_reason,
            "prompt_tokens": usage.prompt_tokens if usage else 0,
            "completion_tokens": usage.completion_tokens if usage else 0,
            "total_tokens": usage.total_tokens if usage else 0,
            "usage_source": self.usage_source.value,
            "cost": None if self.cost_nano_usd is None else self.cost_nano_usd / 1e9,
            **ignored,
        }


class CompletionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A finished completion, ready to be written. Times are unix seconds."""

    id: str
    user_id: int
    request_id: str
    status: str
    provider: str
    model: str
    error_code: str
    message: AssembledMessage
    usage: Usage | None
    usage_source: UsageSource
    cost_nano_usd: int | None
    attempts: tuple[dict[str, Any], ...]
    include_usage: bool
    idempotency_key: str
    body_sha256: str
    created_at: float
    finished_at: float
