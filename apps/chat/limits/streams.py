"""How many completions may run at once: for each user, and in the process."""

from __future__ import annotations

from collections import Counter

from apps.llm.errors import Code, RateLimited, ServiceUnavailable

__all__ = ["StreamLease", "StreamSlots"]


class StreamLease:
    """The right to run one completion. `release` is safe to call again."""

    __slots__ = ("_slots", "_user_id")

    def __init__(self, slots: StreamSlots, user_id: int) -> None:
        self._slots: StreamSlots | None = slots
        self._user_id = user_id

    def release(self) -> None:
        """Give the slot back."""
        slots, self._slots = self._slots, None
        if slots is not None:
            slots._give_back(self._user_id)


class StreamSlots:
    """The slots of this process."""

    def __init__(self, *, per_user: int, capacity: int) -> None:
        self._per_user = per_user
        self.capacity = capacity
        self.active = 0
        self._by_user: Counter[int] = Counter()

    def lease(self, user_id: int) -> StreamLease:
        """Take a slot. Raises ServiceUnavailable if the process is full, RateLimited if the user's are taken."""
        if self.active >= self.capacity:
            raise ServiceUnavailable("All streams are taken. Try again shortly.", code=Code.OVERLOADED)
        if self._by_user[user_id] >= self._per_user:
            raise RateLimited(
                f"{self._per_user} completions are running already. Wait for one to finish, or cancel it.",
                retry_after_s=1,
                code=Code.TOO_MANY_STREAMS,
            )
        self.active += 1
        self._by_user[user_id] += 1
        return StreamLease(self, user_id)

    def running_of(self, user_id: int) -> int:
        """Return how many of a user's completions are running."""
        return self._by_user[user_id]

    def _give_back(self, user_id: int) -> None:
        self.active -= 1
        self._by_user[user_id] -= 1
        if not self._by_user[user_id]:
            del self._by_user[user_id]
