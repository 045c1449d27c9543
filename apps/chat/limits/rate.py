"""The rate limit of each user: an exact sliding window."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from apps.llm.errors import RateLimited

__all__ = ["Admission", "RateWindows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What one look at a user's window said."""

    limit: int
    window_s: float
    remaining: int
    reset_s: int
    """Whole seconds until the window is empty, so that whoever waits them has the full limit again."""
    taken_at: float | None
    """The slot that was taken, to give it back by; None if nothing was taken."""

    @property
    def headers(self) -> dict[str, str]:
        """The IETF draft's two headers and the older three. A client that obeys either is never refused."""
        window = math.ceil(self.window_s)
        return {
            "RateLimit-Policy": f'"chat";q={self.limit};w={window}',
            "RateLimit": f'"chat";r={self.remaining};t={self.reset_s}',
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset_s),
        }


class RateWindows:
    """At most `limit` slots in any `window_s` for each user, in this process.

    Holds at most `limit` times for a user who was active within the window; users are forgotten when theirs
    is empty, looked for one at a time as others come.
    """

    def __init__(self, *, limit: int, window_s: float) -> None:
        self._limit = limit
        self._window_s = window_s
        self._taken: dict[int, deque[float]] = {}

    def take(self, user_id: int, now: float) -> Admission:
        """Take a slot. Raises RateLimited, with the seconds until one is free, if there is none."""
        taken = self._live(user_id, now)
        if len(taken) >= self._limit:
            wait_s = max(1, math.ceil(taken[0] + self._window_s - now))
            raise RateLimited(
                f"Over {self._limit} completions in {math.ceil(self._window_s)} s. Try again in {wait_s} s.",
                retry_after_s=wait_s,
            )
        taken.append(now)
        return self._admission(taken, now, taken_at=now)

    def look(self, user_id: int, now: float) -> Admission:
        """Say how the window stands, taking nothing."""
        return self._admission(self._live(user_id, now), now, taken_at=None)

    def give_back(self, user_id: int, taken_at: float) -> None:
        """Return a slot whose request failed through no fault of its sender."""
        taken = self._taken.get(user_id)
        if taken and taken_at in taken:
            taken.remove(taken_at)

    def _live(self, user_id: int, now: float) -> deque[float]:
        self._forget_one(now)
        taken = self._taken.setdefault(user_id, deque())
        while taken and taken[0] + self._window_s <= now:
            taken.popleft()
        return taken

    def _forget_one(self, now: float) -> None:
        """Look at the user longest in the table: drop it if idle, else send it to the back."""
        if self._taken:
            user_id = next(iter(self._taken))
            taken = self._taken.pop(user_id)
            if taken and taken[-1] + self._window_s > now:
                self._taken[user_id] = taken

    def _admission(self, taken: deque[float], now: float, taken_at: float | None) -> Admission:
        return Admission(
            limit=self._limit,
            window_s=self._window_s,
            remaining=self._limit - len(taken),
            reset_s=max(1, math.ceil(taken[-1] + self._window_s - now)) if taken else 0,
            taken_at=taken_at,
        )
