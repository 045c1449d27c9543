"""What a worker itself has granted: its half of the books when Redis has the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Protocol

from apps.limits.limiter import Lease
from apps.limits.rate import RateWindows
from apps.limits.redis_books import Holding

__all__ = ["OwnBook", "SharedLease"]

_MEMBERS = 200
"""Slots or leases that are written into Redis by one command."""


class _Returns(Protocol):
    """Who is told of a lease's end."""

    def release(self, lease: SharedLease) -> None:
        """Take the stream slot back."""

    def give_back(self, lease: SharedLease) -> None:
        """Take the rate slot back."""


class SharedLease(Lease):
    """A lease that Redis knows by the name `member`. `taken_at` is when this worker learnt of it."""

    __slots__ = ("_returns", "member", "runs", "taken_at", "user_id")

    def __init__(self, returns: _Returns, user_id: int, member: str) -> None:
        self.user_id = user_id
        self.member = member
        self.taken_at = 0.0
        self.runs = False
        self._returns = returns

    def release(self) -> None:
        """Give the stream slot back."""
        if self.runs:
            self.runs = False
            self._returns.release(self)

    def give_back(self) -> None:
        """Give back both slots."""
        self.release()
        self._returns.give_back(self)


class OwnBook:
    """The slots of each user that still count, and the leases that run. As bounded as what the worker grants."""

    def __init__(self, window_s: float) -> None:
        self.windows: RateWindows[SharedLease] = RateWindows(window_s)
        self._running: dict[int, set[SharedLease]] = {}

    def taken(self, user_id: int, now: float) -> deque[SharedLease]:
        """Return a user's slots that still count."""
        return self.windows.live(user_id, now)

    def running(self, user_id: int) -> int:
        """Return how many leases of a user run."""
        return len(self._running.get(user_id, ()))

    def grant(self, lease: SharedLease, now: float) -> None:
        """Write down both slots of a lease, which runs from now on."""
        lease.taken_at = now
        lease.runs = True
        self.windows.live(lease.user_id, now).append(lease)
        self._running.setdefault(lease.user_id, set()).add(lease)

    def end(self, lease: SharedLease) -> None:
        """Take the stream slot of a lease out."""
        running = self._running[lease.user_id]
        running.discard(lease)
        if not running:
            del self._running[lease.user_id]

    def strike(self, lease: SharedLease) -> None:
        """Take the rate slot of a lease out."""
        self.windows.remove(lease.user_id, lease)

    def with_leases(self) -> list[int]:
        """Return every user of whom a lease runs."""
        return list(self._running)

    def users(self) -> list[int]:
        """Return every user of whom anything is written down."""
        return list({*self.windows.users(), *self._running})

    def holdings(self, user_id: int, now: float, *, leases_only: bool = False) -> Iterator[Holding]:
        """Yield what a user holds, in portions that Redis can take."""
        slots = [] if leases_only else [(one.member, now - one.taken_at) for one in self.windows.live(user_id, now)]
        leases = [one.member for one in self._running.get(user_id, ())]
        for first in range(0, max(len(slots), len(leases)), _MEMBERS):
            some = slice(first, first + _MEMBERS)
            yield Holding(user_id=user_id, slots=slots[some], leases=leases[some])
