"""The limiter of a process that shares its limits with no other."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

from apps.limits.limiter import Admission, Lease, Limits, Rate, Subject, Window, over_the_rate, too_many_streams
from apps.limits.rate import RateWindows
from apps.limits.refunds import Refunds
from apps.limits.streams import StreamSlots

__all__ = ["ProcessLimiter", "ProcessWindows"]


class ProcessWindows:
    """Exact for this process, and safe to use from any thread. Never waits but for another's few microseconds.

    Holds at most its limit of slots for each key that was active within its window.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._others: RateWindows[_WindowLease] = RateWindows()
        self._refunds = Refunds()

    async def take(self, rate: Rate, key: int | str) -> Admission:
        """Take a slot."""
        return self.take_in_thread(rate, key)

    def take_in_thread(self, rate: Rate, key: int | str) -> Admission:
        """Take a slot, in any thread."""
        subject, windows = Subject(rate, key), self._others
        with self._lock:
            now = self._clock()
            if len(windows.live(subject, now)) >= rate.limit:
                return over_the_rate(rate, windows.window(subject, now), windows.wait_s(subject, now))
            lease = _WindowLease(self, subject, now)
            windows.add(subject, lease)
            return Admission(window=windows.window(subject, now), lease=lease)

    def _remove(self, lease: _WindowLease) -> None:
        with self._lock:
            self._others.remove(lease.subject, lease)

    def _may_refund(self, subject: Subject) -> bool:
        with self._lock:
            return self._refunds.take(subject, self._clock())


class ProcessLimiter(ProcessWindows):
    """Exact for this process. Never suspends; a call costs the same for any number of users.

    Holds at most `limits.rate` slots for a user who was active within the window, and a number for each who has a
    completion running.
    """

    def __init__(self, limits: Limits, slots: StreamSlots, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self._rate = limits.completions
        self._streams = limits.streams
        self._slots = slots
        # Of completions: for the event loop alone, without a lock.
        self._windows: RateWindows[_ProcessLease] = RateWindows()
        self._running: Counter[int] = Counter()

    @property
    def latency_s(self) -> None:
        """None: there is no Redis."""

    async def admit(self, user_id: int) -> Admission:
        """Take both slots or neither. Raises ServiceUnavailable if the process is full."""
        self._slots.take()
        now = self._clock()
        rate, windows, subject = self._rate, self._windows, Subject(self._rate, user_id)
        if len(windows.live(subject, now)) >= rate.limit:
            self._slots.give_back()
            return over_the_rate(rate, windows.window(subject, now), windows.wait_s(subject, now))
        if self._running[user_id] >= self._streams:
            self._slots.give_back()
            return Admission(window=windows.window(subject, now), refusal=too_many_streams(self._streams))
        self._running[user_id] += 1
        lease = _ProcessLease(self, subject, user_id, now)
        windows.add(subject, lease)
        return Admission(window=windows.window(subject, now), lease=lease)

    async def look(self, user_id: int) -> Window:
        """Say how a user's window stands, taking nothing."""
        now, subject = self._clock(), Subject(self._rate, user_id)
        self._windows.live(subject, now)
        return self._windows.window(subject, now)

    async def aclose(self) -> None:
        """Do nothing: nothing is held outside the process."""

    def _release(self, user_id: int) -> None:
        self._slots.give_back()
        self._running[user_id] -= 1
        if not self._running[user_id]:
            del self._running[user_id]


class _WindowLease(Lease):
    __slots__ = ("_windows", "subject", "taken_at")

    def __init__(self, windows: ProcessWindows, subject: Subject, taken_at: float) -> None:
        self.subject = subject
        self.taken_at = taken_at
        self._windows = windows

    def release(self) -> None:
        """Do nothing: there is no stream slot."""

    def give_back(self) -> None:
        """Give the slot back."""
        self._windows._remove(self)

    def fail(self) -> None:
        """Give the slot back, if the refunds of its window allow."""
        if self._windows._may_refund(self.subject):
            self.give_back()


class _ProcessLease(Lease):
    __slots__ = ("_limiter", "_runs", "_subject", "_user_id", "taken_at")

    def __init__(self, limiter: ProcessLimiter, subject: Subject, user_id: int, taken_at: float) -> None:
        self.taken_at = taken_at
        self._limiter = limiter
        self._subject = subject
        self._user_id = user_id
        self._runs = True

    def release(self) -> None:
        """Give the stream slot back."""
        if self._runs:
            self._runs = False
            self._limiter._release(self._user_id)

    def give_back(self) -> None:
        """Give back both slots."""
        self.release()
        self._limiter._windows.remove(self._subject, self)

    def fail(self) -> None:
        """Give back the stream slot, and the rate slot if the refunds of its window allow."""
        self.release()
        if self._limiter._may_refund(self._subject):
            self.give_back()
