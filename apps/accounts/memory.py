"""What the process remembers of tokens it has verified, so that a busy caller costs no query for each request."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from apps.accounts.tokens import MOST_TOKEN_BYTES

__all__ = ["MOST_REMEMBERED", "REMEMBERED_S", "TokenMemory"]

# A disabled user is to be out within 5 s; the last second is for the query that began before it happened.
REMEMBERED_S = 4.0
MOST_REMEMBERED = 10_000

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Remembered(Generic[_T]):
    value: _T
    until: float
    expires_at_s: int


class TokenMemory(Generic[_T]):
    """A bounded map from verified tokens to whom they stand for; safe to use from several threads.

    Tokens are kept as digests. An entry lives `lifetime_s` from the moment its facts were asked for and never past
    the token's own expiry. At `most` entries the oldest goes.
    """

    def __init__(
        self,
        *,
        lifetime_s: float = REMEMBERED_S,
        most: int = MOST_REMEMBERED,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._lifetime_s = lifetime_s
        self._most = most
        self._clock = clock
        self._wall_clock = wall_clock
        self._lock = threading.Lock()
        # In the order of their ends, since all live equally long.
        self._entries: dict[bytes, _Remembered[_T]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def now(self) -> float:
        """Return the moment to hand to `remember`; take it before asking the database."""
        return self._clock()

    def recall(self, token: str) -> _T | None:
        """Return what a token stands for, or None if it is not remembered."""
        if len(token) > MOST_TOKEN_BYTES:
            return None
        entry = self._entries.get(_digest(token))
        if entry is None or entry.until <= self._clock() or entry.expires_at_s <= self._wall_clock():
            return None
        return entry.value

    def remember(self, token: str, value: _T, *, asked_at: float, expires_at_s: int) -> None:
        """Keep what a token stands for; `asked_at` is from `now()`, `expires_at_s` the token's own, in Unix seconds."""
        key = _digest(token)
        entry = _Remembered(value, asked_at + self._lifetime_s, expires_at_s)
        now = self._clock()
        with self._lock:
            self._entries.pop(key, None)
            self._entries[key] = entry
            while self._entries:
                oldest = next(iter(self._entries))
                if len(self._entries) <= self._most and self._entries[oldest].until > now:
                    break
                del self._entries[oldest]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
