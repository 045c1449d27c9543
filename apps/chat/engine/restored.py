"""Logs made anew of rows: one for all readers of a completion, kept a while longer, within bounds."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from functools import partial

from apps.chat.engine.log_memory import MemoryLog
from apps.llm.errors import Code, RateLimited, ServiceUnavailable

__all__ = ["MAX_RESTORED_BYTES", "MAX_RESTORED_BYTES_PER_USER", "RESTORED_S", "RestoredLogs"]

MAX_RESTORED_BYTES = 128 * 1024 * 1024
"""Past it the logs that nobody reads are dropped, the longest unread first; if all are read, no more are made."""
MAX_RESTORED_BYTES_PER_USER = 32 * 1024 * 1024
"""Of the logs that a user's readers follow at once: two of the largest."""
RESTORED_S = 60.0
"""How long a log is kept that nobody reads: whoever asks again soon is answered without making it again."""
_OVERHEAD_BYTES = 2 * 1024
"""What a log takes besides its events, so that small ones are bounded too."""


class _Restored:
    __slots__ = ("log", "readers", "size_bytes", "unread_since", "user_id")

    def __init__(self, log: MemoryLog, user_id: int) -> None:
        self.log = log
        self.user_id = user_id
        self.size_bytes = log.size_bytes + _OVERHEAD_BYTES
        self.readers = 0
        self.unread_since = 0.0


class RestoredLogs:
    """Closed logs by the ids of their completions. `clock` is monotonic, in seconds."""

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        most_bytes: int = MAX_RESTORED_BYTES,
        most_bytes_per_user: int = MAX_RESTORED_BYTES_PER_USER,
    ) -> None:
        self._clock = clock
        self._most_bytes = most_bytes
        self._most_bytes_per_user = most_bytes_per_user
        self._read: dict[str, _Restored] = {}
        self._unread: OrderedDict[str, _Restored] = OrderedDict()
        self._read_bytes: Counter[int] = Counter()
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._read) + len(self._unread)

    def find(self, completion_id: str) -> MemoryLog | None:
        """Return the log of a completion if it is here. May be called in any thread."""
        found = self._read.get(completion_id) or self._unread.get(completion_id)
        return None if found is None else found.log

    def follow(self, completion_id: str, user_id: int, log: MemoryLog) -> tuple[MemoryLog, Callable[[], None]]:
        """Take a log in; return the one to read, which another may have made, and what to call once it is read.

        Raises RateLimited if the user's readers follow too much already, ServiceUnavailable if those of all users do.
        """
        one = self._read.get(completion_id)
        if one is None:
            unread = self._unread.get(completion_id)
            one = unread or _Restored(log, user_id)
            self._check(one)
            if unread is not None:
                del self._unread[completion_id]
            else:
                self._make_room(one.size_bytes)
                self.size_bytes += one.size_bytes
            self._read[completion_id] = one
            self._read_bytes[one.user_id] += one.size_bytes
        one.readers += 1
        return one.log, partial(self._left, completion_id, one)

    def expire(self) -> None:
        """Drop what nobody has read for RESTORED_S."""
        before = self._clock() - RESTORED_S
        while self._unread and next(iter(self._unread.values())).unread_since <= before:
            self._drop_oldest()

    def _check(self, one: _Restored) -> None:
        if self._read_bytes[one.user_id] + one.size_bytes > self._most_bytes_per_user and self._read_bytes[one.user_id]:
            raise RateLimited(
                "You are reading too much of former completions at once. Close one of them, or wait for its end.",
                retry_after_s=1,
                code=Code.TOO_MANY_STREAMS,
            )

    def _make_room(self, size_bytes: int) -> None:
        if sum(self._read_bytes.values()) + size_bytes > self._most_bytes:
            raise ServiceUnavailable("Too many former completions are being read. Try again.", code=Code.OVERLOADED)
        while self.size_bytes + size_bytes > self._most_bytes:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        _, one = self._unread.popitem(last=False)
        self.size_bytes -= one.size_bytes

    def _left(self, completion_id: str, one: _Restored) -> None:
        one.readers -= 1
        if not one.readers:
            del self._read[completion_id]
            self._read_bytes[one.user_id] -= one.size_bytes
            if not self._read_bytes[one.user_id]:
                del self._read_bytes[one.user_id]
            one.unread_since = self._clock()
            self._unread[completion_id] = one
