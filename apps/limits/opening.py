"""Which limiter a process has."""

from __future__ import annotations

import time
from collections.abc import Callable

from apps.limits.limiter import Limiter, Limits, Windows
from apps.limits.process import ProcessLimiter, ProcessWindows
from apps.limits.streams import StreamSlots

__all__ = ["close_limiter", "current_windows", "open_limiter"]

_windows: Windows = ProcessWindows(time.monotonic)
"""A process that serves nobody counts by itself."""


def open_limiter(
    limits: Limits, slots: StreamSlots, clock: Callable[[], float], *, redis_url: str | None, least_workers: int
) -> Limiter:
    """Return the limiter of this process: its own books, or those in Redis if there is a URL.

    `clock` gives monotonic seconds; `least_workers` share the limits at the least. `close_limiter` closes it.
    """
    global _windows
    limiter: Limiter
    if redis_url is None:
        limiter = ProcessLimiter(limits, slots, clock)
    else:
        # A process that does not use the client does not wait for its import.
        from apps.limits.redis_limiter import RedisLimiter

        limiter = RedisLimiter(redis_url, limits, slots, clock, least_workers=least_workers)
    _windows = limiter
    return limiter


async def close_limiter(limiter: Limiter) -> None:
    """Close the limiter of this process."""
    global _windows
    if _windows is limiter:
        _windows = ProcessWindows(time.monotonic)
    await limiter.aclose()


def current_windows() -> Windows:
    """Return the windows in which this process counts."""
    return _windows
