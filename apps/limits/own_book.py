"""What a worker itself has granted: its half of the books when Redis has the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from apps.limits.limiter import Lease, Subject
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

    def may_refund(self, lease: SharedLease) -> bool:
        """Count a failure; return whether its rate slot comes back."""


class SharedLease(Lease):
    """A lease that Redis knows by the name `member`. `taken_at` is when this worker learnt of it.

    `most_running` is how many stream slots there are for its subject, None if it takes none.
    """

    __slots__ = ("_returns", "member", "most_running", "runs", "subject", "taken_at")

    def __init__(self, returns: _Returns, subject: Subject, member: str, most_running: int | None) -> None:
        self.subject = subject
        self.member = member
        self.most_running = most_running
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

    def fail(self) -> None:
        """Give back the stream slot, and the rate slot if the refunds of its window allow."""
        self.release()
        if self._returns.may_refund(self):
            self.give_back()


class OwnBook:
    """The slots of each subject that still count, and the leases that run. As bounded as what the worker grants."""

    def __init__(self) -> None:
        self.windows: RateWindows[SharedLease] = RateWindows()
        self._running: dict[Subject, set[SharedLease]] = {}

    def taken(self, subject: Subject, now: float) -> int:
        """Return how many slots of a subject still count."""
        return len(self.windows.live(subject, now))

    def running(self, subject: Subject) -> int:
        """Return how many leases of a subject hold a stream slot."""
        return len(self._running.get(subject, ()))

    def grant(self, lease: SharedLease, now: float) -> None:
        """Write down the slots of a lease; one that takes a stream slot runs from now on."""
        lease.taken_at = now
        self.windows.add(lease.subject, lease)
        if lease.most_running is not None:
            lease.runs = True
            self._running.setdefault(lease.subject, set()).add(lease)

    def end(self, lease: SharedLease) -> None:
        """Take the stream slot of a lease out."""
        running = self._running[lease.subject]
        running.discard(lease)
        if not running:
            del self._running[lease.subject]

    def strike(self, lease: SharedLease) -> None:
        """Take the rate slot of a lease out."""
        self.windows.remove(lease.subject, lease)

    def with_leases(self) -> list[Subject]:
        """Return every subject of which a lease runs."""
        return list(self._running)

    def subjects(self) -> list[Subject]:
        """Return every subject of which anything is written down."""
        return list({*self.windows.subjects(), *self._running})

    def holdings(self, subject: Subject, now: float, *, leases_only: bool = False) -> Iterator[Holding]:
        """Yield what is held of a subject, in portions that Redis can take."""
        slots = [] if leases_only else [(one.member, now - one.taken_at) for one in self.windows.live(subject, now)]
        leases = [one.member for one in self._running.get(subject, ())]
        for first in range(0, max(len(slots), len(leases)), _MEMBERS):
            some = slice(first, first + _MEMBERS)
            yield Holding(subject=subject, slots=slots[some], leases=leases[some])
