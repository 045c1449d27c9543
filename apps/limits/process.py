"""The limiter of a process that shares its limits with no other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from apps.limits.limiter import Admission, Lease, Limits, Window, over_the_rate, too_many_streams
from apps.limits.rate import RateWindows
from apps.limits.streams import StreamSlots

__all__ = ["ProcessLimiter"]


class ProcessLimiter:
    """Exact for this process. Never suspends; a call costs the same for any number of users.

    Holds at most `limits.rate` slots for a user who was active within the window, and a number for each who has a
    completion running.
    """

    def __init__(self, limits: Limits, slots: StreamSlots, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._slots = slots
        self._clock = clock
        self._windows: RateWindows[_ProcessLease] = RateWindows(limits.window_s)
        self._running: Counter[int] = Counter()

    async def admit(self, user_id: int) -> Admission:
        """Take both slots or neither. Raises ServiceUnavailable if the process is full."""
        self._slots.take()
        now = self._clock()
        limits, windows = self._limits, self._windows
        taken = windows.live(user_id, now)
        if len(taken) >= limits.rate:
            self._slots.give_back()
            refusal = over_the_rate(limits, windows.wait_s(taken, limits.rate, now))
            return Admission(window=windows.window(limits, taken, now), refusal=refusal)
        if self._running[user_id] >= limits.streams:
            self._slots.give_back()
            return Admission(window=windows.window(limits, taken, now), refusal=too_many_streams(limits))
        self._running[user_id] += 1
        lease = _ProcessLease(self, user_id, now)
        taken.append(lease)
        return Admission(window=windows.window(limits, taken, now), lease=lease)

    async def look(self, user_id: int) -> Window:
        """Say how a user's window stands, taking nothing."""
        now = self._clock()
        return self._windows.window(self._limits, self._windows.live(user_id, now), now)

    async def aclose(self) -> None:
        """Do nothing: nothing is held outside the process."""

    def _release(self, user_id: int) -> None:
        self._slots.give_back()
        self._running[user_id] -= 1
        if not self._running[user_id]:
            del self._running[user_id]


class _ProcessLease(Lease):
    __slots__ = ("_limiter", "_runs", "_user_id", "taken_at")

    def __init__(self, limiter: ProcessLimiter, user_id: int, taken_at: float) -> None:
        self.taken_at = taken_at
        self._limiter = limiter
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
        self._limiter._windows.remove(self._user_id, self)
