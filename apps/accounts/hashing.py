"""Password hashing is slow on purpose: at most two at a time, so that log-ins never take all the cores."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from apps.llm.errors import Code, ServiceUnavailable

__all__ = ["MOST_HASHING", "MOST_PASSWORD_CHARACTERS", "MOST_WAITING", "hashing_slot"]

MOST_HASHING = 2
MOST_WAITING = 64
"""Waiting and hashing together; at the bound further ones are refused with 503."""
MOST_PASSWORD_CHARACTERS = 4096

_places = threading.BoundedSemaphore(MOST_WAITING)
_slots = threading.BoundedSemaphore(MOST_HASHING)
# Names share these by their digest: a lock for each name would be a table without a bound.
_name_locks = tuple(threading.Lock() for _ in range(64))


@contextmanager
def hashing_slot(name_key: str = "") -> Iterator[None]:
    """Hold one of the two slots; with a `name_key` (hexadecimal), only one holder for that name at a time.

    So that between checking how often a name has failed and counting another failure nobody else does the same.

    Raises:
        ServiceUnavailable: too many are waiting already.

    """
    if not _places.acquire(blocking=False):
        raise ServiceUnavailable("Too many log-ins at once. Try again in a moment.", code=Code.OVERLOADED)
    try:
        if not name_key:
            with _slots:
                yield
        else:
            # Always in this order, name before slot: whoever waits for a name holds no slot.
            with _name_locks[int(name_key[:8], 16) % len(_name_locks)], _slots:
                yield
    finally:
        _places.release()
