"""Slots that are given back for requests that failed: so many for each slot of the limit, in any window."""

from __future__ import annotations

from apps.limits.limiter import Subject
from apps.limits.rate import RateWindows

__all__ = ["REFUNDS_PER_SLOT", "Refunds"]

REFUNDS_PER_SLOT = 10
"""Enough for a client that tries again while providers are down. Beyond that a failure counts."""


class _Refund:
    __slots__ = ("taken_at",)

    def __init__(self, taken_at: float) -> None:
        self.taken_at = taken_at


class Refunds:
    """The refunds of each subject within its window. As bounded as the windows themselves."""

    def __init__(self) -> None:
        self._windows: RateWindows[_Refund] = RateWindows()

    def take(self, subject: Subject, now: float) -> bool:
        """Count a refund and return true, or return false: the limit is reached, and the failure counts."""
        if len(self._windows.live(subject, now)) >= REFUNDS_PER_SLOT * subject.rate.limit:
            return False
        self._windows.add(subject, _Refund(now))
        return True
