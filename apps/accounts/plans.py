"""What a caller's plan allows. There is one plan so far, and the settings define it."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings

from apps.accounts.identity import Caller

__all__ = ["PlanLimits", "limits_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanLimits:
    """The limits of one plan."""

    chat_rate_limit: str
    """Completions in any window, such as `5/m`."""
    workbench_rate_limit: str
    """Requests to the prompt workbench in any window, such as `60/m`."""
    max_streams: int
    """Completions running at once."""


def limits_of(caller: Caller) -> PlanLimits:
    """Return the limits that hold for a caller."""
    del caller
    return PlanLimits(
        chat_rate_limit=settings.CHAT_RATE_LIMIT,
        workbench_rate_limit=settings.WORKBENCH_RATE_LIMIT,
        max_streams=settings.MAX_STREAMS_PER_USER,
    )
