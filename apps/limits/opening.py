"""Which limiter a process has."""

from __future__ import annotations

from collections.abc import Callable

from apps.limits.limiter import Limiter, Limits
from apps.limits.process import ProcessLimiter
from apps.limits.streams import StreamSlots

__all__ = ["open_limiter"]


def open_limiter(
    limits: Limits, slots: StreamSlots, clock: Callable[[], float], *, redis_url: str | None, least_workers: int
) -> Limiter:
    """Return the limiter of this process: its own books, or those in Redis if there is a URL.

    `clock` gives monotonic seconds; `least_workers` share the limits at the least. The caller closes it.
    """
    if redis_url is None:
        return ProcessLimiter(limits, slots, clock)
    # A process that does not use the client does not wait for its import.
    from apps.limits.redis_limiter import RedisLimiter

    return RedisLimiter(redis_url, limits, slots, clock, least_workers=least_workers)
