"""Finished completions that can still be resumed or read, within bounds that users share."""

from __future__ import annotations

import heapq
from collections import OrderedDict, deque

from apps.chat.engine.generation import Generation
from apps.core.memory_shares import SharedMemory

__all__ = ["MAX_KEPT", "MAX_KEPT_BYTES", "MAX_READ_BYTES", "KeptCompletions"]

MAX_KEPT = 10_000
MAX_KEPT_BYTES = 256 * 1024 * 1024
"""Past either bound the oldest completion of the user who has most is dropped early (410 instead of a replay)."""
MAX_READ_BYTES = 64 * 1024 * 1024
"""Of those that were dropped and are still read; past it the readers of the largest of the user who has most are let go
of: the answer is in the database."""
_SPARE_ENTRIES = 64
"""Entries of the heap that may be out of date, beyond one for each user, before it is made anew."""


class _Share:
    """The kept completions of one user, the oldest first, and what they weigh."""

    __slots__ = ("held", "weight")

    def __init__(self) -> None:
        self.held: deque[tuple[Generation, int]] = deque()
        self.weight = 0


class KeptCompletions:
    """At most `most` completions with logs of at most `most_bytes` together; an operation takes O(log n) on average.

    A user weighs the bytes of their logs and, for each completion, its part of the bytes where `most` are kept, so that
    one measure serves both bounds. What is dropped while it is read counts towards `most_read_bytes`.
    """

    def __init__(
        self, *, most: int = MAX_KEPT, most_bytes: int = MAX_KEPT_BYTES, most_read_bytes: int = MAX_READ_BYTES
    ) -> None:
        self._most = most
        self._most_bytes = most_bytes
        # By their ends. Of a plain dict, to find the first behind those that left takes a look at each of their places.
        self._by_id: OrderedDict[str, Generation] = OrderedDict()
        self._shares: dict[int, _Share] = {}
        # A heap of negative weights and users. A change of a weight adds an entry; those of former weights are skipped.
        self._heaviest: list[tuple[int, int]] = []
        self.size_bytes = 0
        self._read = SharedMemory(most_read_bytes)

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, completion_id: str) -> Generation | None:
        """Return a completion if it is kept."""
        return self._by_id.get(completion_id)

    def add(self, generation: Generation) -> list[Generation]:
        """Keep a completion that has just finished; return those that are dropped for it."""
        size_bytes, user_id = generation.log.size_bytes, generation.order.user_id
        share = self._shares.setdefault(user_id, _Share())
        share.held.append((generation, size_bytes))
        self._by_id[generation.order.id] = generation
        self.size_bytes += size_bytes
        self._weigh(user_id, share, size_bytes, 1)
        dropped: list[Generation] = []
        while len(self._by_id) > self._most or self.size_bytes > self._most_bytes:
            dropped.append(self._drop_oldest(self._user_with_most()))
        return dropped

    def expire(self, before: float) -> list[Generation]:
        """Drop what finished at a monotonic time or before it, and return it."""
        expired: list[Generation] = []
        while self._by_id:
            generation = next(iter(self._by_id.values()))
            if generation.finished_monotonic is None or generation.finished_monotonic > before:
                break
            # What is oldest of all is oldest of its user's.
            expired.append(self._drop_oldest(generation.order.user_id))
        return expired

    def _drop_oldest(self, user_id: int) -> Generation:
        share = self._shares[user_id]
        generation, size_bytes = share.held.popleft()
        del self._by_id[generation.order.id]
        self.size_bytes -= size_bytes
        self._weigh(user_id, share, -size_bytes, -1)
        generation.count_if_read(self._read)
        return generation

    def _weigh(self, user_id: int, share: _Share, more_bytes: int, more: int) -> None:
        share.weight += more_bytes + more * (self._most_bytes // self._most)
        if not share.held:
            del self._shares[user_id]
            return
        heapq.heappush(self._heaviest, (-share.weight, user_id))
        if len(self._heaviest) > 2 * len(self._shares) + _SPARE_ENTRIES:
            self._heaviest = [(-one.weight, user) for user, one in self._shares.items()]
            heapq.heapify(self._heaviest)

    def _user_with_most(self) -> int:
        while True:
            weight, user_id = self._heaviest[0]
            share = self._shares.get(user_id)
            if share is not None and share.weight == -weight:
                return user_id
            heapq.heappop(self._heaviest)
