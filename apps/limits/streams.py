"""Slots of the process: completions that run at once, whoever asked for them, and readers of each user."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

from apps.llm.errors import Code, RateLimited, ServiceUnavailable

__all__ = ["MAX_READERS_PER_USER", "ReaderSlots", "StreamSlots"]

MAX_READERS_PER_USER = 100
"""Readers that a user may have open at once, the first reader of each new completion not counted."""


class StreamSlots:
    """`capacity` slots, `active` of them taken. Each limiter takes one for each lease."""

    __slots__ = ("active", "capacity")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.active = 0

    def take(self) -> None:
        """Take a slot. Raises ServiceUnavailable if there is none."""
        if self.active >= self.capacity:
            raise ServiceUnavailable("All streams are taken. Try again shortly.", code=Code.OVERLOADED)
        self.active += 1

    def give_back(self) -> None:
        """Give one back. Its taker does, once."""
        self.active -= 1


class ReaderSlots:
    """`most` slots for each user, for readers that join a completion which exists: each event is sent to each of them.

    Holds a number for each user who has such a reader.
    """

    __slots__ = ("_most", "_open")

    def __init__(self, most: int = MAX_READERS_PER_USER) -> None:
        self._most = most
        self._open: Counter[int] = Counter()

    def take(self, user_id: int) -> Callable[[], None]:
        """Take a slot and return what gives it back; call that once. Raises RateLimited if there is none."""
        if self._open[user_id] >= self._most:
            raise RateLimited(
                f"You have {self._most} readers of completions open already. Close one, or wait for one to end.",
                retry_after_s=1,
                code=Code.TOO_MANY_STREAMS,
            )
        self._open[user_id] += 1
        return partial(self._give_back, user_id)

    def _give_back(self, user_id: int) -> None:
        self._open[user_id] -= 1
        if not self._open[user_id]:
            del self._open[user_id]
