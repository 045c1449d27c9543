"""Limiters as several workers have them on one Redis, and what tests look at."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import cast

from apps.limits.limiter import Admission, Limits
from apps.limits.redis_limiter import RedisLimiter
from apps.limits.redis_scripts import rate_key, streams_key
from tests.limits.redis_server import RedisServer
from tests.limits.stores import PATIENT_S, Clock, Store

__all__ = ["CALL_S", "FIVE", "RECOVERY_S", "SLACK_S", "back", "leases", "rate_slots", "timed", "workers"]

FIVE = Limits(rate=5, window_s=60, streams=100)
CALL_S = 0.25
# What the machine may add to a call that was cut.
SLACK_S = 0.3
RECOVERY_S = 5.0


@asynccontextmanager
async def workers(
    server: RedisServer,
    clock: Clock,
    count: int,
    limits: Limits = FIVE,
    *,
    url: str | None = None,
    call_s: float = PATIENT_S,
) -> AsyncIterator[list[RedisLimiter]]:
    """Open limiters as so many workers have them, each known to all."""
    async with AsyncExitStack() as stack:
        opened = [
            cast(
                RedisLimiter,
                await stack.enter_async_context(Store(url or server.url).open(limits, clock, call_s=call_s)),
            )
            for _ in range(count)
        ]
        for _ in range(2):
            for one in opened:
                await one._beat()
        yield opened


async def until(is_so: Callable[[], bool], within_s: float, what: str) -> float:
    """Wait until something is so, and return the seconds that it took."""
    began_at_s = time.monotonic()
    while not is_so():
        assert time.monotonic() - began_at_s < within_s, f"not within {within_s} s: {what}"
        # Looking without a pause would take the processor from what is looked at.
        await asyncio.sleep(0.005)
    return time.monotonic() - began_at_s


async def back(*limiters: RedisLimiter) -> float:
    """Wait until all ask Redis again, and return the seconds that it took."""
    return await until(lambda: all(one.answers for one in limiters), RECOVERY_S, "recovery")


async def timed(step: Awaitable[Admission]) -> tuple[Admission, float]:
    began_at_s = time.monotonic()
    return await step, time.monotonic() - began_at_s


def rate_slots(server: RedisServer, user_id: int) -> int:
    return int(server.do("ZCARD", rate_key(f"chat:{user_id}")))


def leases(server: RedisServer, user_id: int) -> int:
    return int(server.do("ZCARD", streams_key(f"chat:{user_id}")))
