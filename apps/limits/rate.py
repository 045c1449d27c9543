"""The sliding windows of users: which slots each has taken, and when they are free again."""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from typing import Generic, Protocol, TypeVar

from apps.limits.limiter import Limits, Window

__all__ = ["RateWindows"]


class Slot(Protocol):
    """Something that was taken at a time, told from others by what it is."""

    taken_at: float


AnySlot = TypeVar("AnySlot", bound=Slot)


class RateWindows(Generic[AnySlot]):
    """The slots that each user took within `window_s`, the oldest first.

    Holds what its owner adds, at most the owner's limit for a user who was active within the window; users are
    forgotten when theirs is empty, looked for one at a time as others come.
    """

    def __init__(self, window_s: float) -> None:
        self.window_s = window_s
        # Of a plain dict, to find the first behind those that left takes a look at each of their places.
        self._taken: OrderedDict[int, deque[AnySlot]] = OrderedDict()

    def live(self, user_id: int, now: float) -> deque[AnySlot]:
        """Return a user's slots that still count. Append to it what is taken now."""
        self._forget_one(now)
        taken = self._taken.get(user_id)
        if taken is None:
            taken = self._taken[user_id] = deque()
        while taken and taken[0].taken_at + self.window_s <= now:
            taken.popleft()
        return taken

    def remove(self, user_id: int, slot: AnySlot) -> None:
        """Take a slot out; one that is out already stays out."""
        try:
            self._taken[user_id].remove(slot)
        except (KeyError, ValueError):
            pass

    def users(self) -> list[int]:
        """Return every user with a slot that may still count."""
        return [user_id for user_id, taken in self._taken.items() if taken]

    def wait_s(self, taken: deque[AnySlot], limit: int, now: float) -> int:
        """Return the whole seconds until fewer than `limit` of these count."""
        return max(1, math.ceil(taken[len(taken) - limit].taken_at + self.window_s - now))

    def reset_s(self, taken: deque[AnySlot], now: float) -> int:
        """Return the whole seconds until none of these counts."""
        return max(1, math.ceil(taken[-1].taken_at + self.window_s - now)) if taken else 0

    def window(self, limits: Limits, taken: deque[AnySlot], now: float) -> Window:
        """Return how these stand under the limits."""
        return Window(
            limit=limits.rate,
            window_s=limits.window_s,
            remaining=max(0, limits.rate - len(taken)),
            reset_s=self.reset_s(taken, now),
        )

    def _forget_one(self, now: float) -> None:
        """Look at the user longest in the table: drop it if idle, else send it to the back."""
        if self._taken:
            user_id = next(iter(self._taken))
            taken = self._taken[user_id]
            if taken and taken[-1].taken_at + self.window_s > now:
                self._taken.move_to_end(user_id)
            else:
                del self._taken[user_id]
