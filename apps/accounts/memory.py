"""What the process remembers of tokens it has verified, so that a busy caller costs no query for each request."""

from __future__ import annotations

import hashlib
import math
import threading
import time
import uuid
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
    family_id: uuid.UUID | None
    asked_at: float
    expires_at_s: int


class TokenMemory(Generic[_T]):
    """A bounded map from verified tokens to whom they stand for; safe to use from several threads.

    Tokens are kept as digests. An entry lives `lifetime_s` from the moment its facts were asked for and never past
    the token's own expiry, nor past the end of its refresh family if this process was told of it. At `most` entries
    the oldest goes; of ends, too, and a token of that family may then live its `lifetime_s` out.
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
        # When each family ended; what was asked before that moment is not believed.
        self._ended: dict[uuid.UUID, float] = {}

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
        if entry is None or entry.expires_at_s <= self._wall_clock():
            return None
        return entry.value if self.believes(entry.asked_at, entry.family_id) else None

    def believes(self, asked_at: float, family_id: uuid.UUID | None) -> bool:
        """Tell whether what was asked then, of a token of that family, still holds for who comes now."""
        if self._is_over(asked_at):
            return False
        return family_id is None or asked_at > self._ended.get(family_id, -math.inf)

    def remember(
        self, token: str, value: _T, *, asked_at: float, expires_at_s: int, family_id: uuid.UUID | None = None
    ) -> None:
        """Keep what a token stands for; `asked_at` is from `now()`, `expires_at_s` the token's own, in Unix seconds."""
        key = _digest(token)
        entry = _Remembered(value, family_id, asked_at, expires_at_s)
        with self._lock:
            self._entries.pop(key, None)
            self._entries[key] = entry
            while self._entries:
                oldest = next(iter(self._entries))
                if len(self._entries) <= self._most and not self._is_over(self._entries[oldest].asked_at):
                    break
                del self._entries[oldest]

    def forget(self, family_id: uuid.UUID) -> None:
        """Ask again for every token of a family that has ended; call it once that can be seen by whoever asks."""
        with self._lock:
            self._ended.pop(family_id, None)
            self._ended[family_id] = self._clock()
            while len(self._ended) > self._most or self._is_over(next(iter(self._ended.values()))):
                del self._ended[next(iter(self._ended))]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
            self._ended.clear()

    def _is_over(self, asked_at: float) -> bool:
        return asked_at + self._lifetime_s <= self._clock()


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
