"""Which limiter a process has."""

from __future__ import annotations

from collections.abc import Callable

from apps.chat.conf import ChatConfig
from apps.chat.limits.limiter import Limiter, Limits
from apps.chat.limits.process import ProcessLimiter
from apps.chat.limits.streams import StreamSlots

__all__ = ["open_limiter"]


def open_limiter(config: ChatConfig, slots: StreamSlots, clock: Callable[[], float]) -> Limiter:
    """Return the limiter that the settings ask for. `clock` gives monotonic seconds; the caller closes it."""
    limits = Limits(rate=config.rate_limit, window_s=config.rate_window_s, streams=config.max_streams_per_user)
    if config.redis_url is None:
        return ProcessLimiter(limits, slots, clock)
    # A process that does not use the client does not wait for its import.
    from apps.chat.limits.redis_limiter import RedisLimiter

    return RedisLimiter(config.redis_url, limits, slots, clock, least_workers=config.workers)
