"""The two limiters, opened alike, on a clock that a test turns."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from apps.limits.limiter import Lease, Limiter, Limits
from apps.limits.process import ProcessLimiter
from apps.limits.redis_limiter import RedisLimiter
from apps.limits.streams import StreamSlots
from apps.llm.errors import Code
from tests.waiting import HANG_S

__all__ = ["Clock", "Store", "admitted", "refused_for_s", "taken"]


PATIENT_S = HANG_S


class Clock:
    """Seconds, as the process counts them and as Redis does. They stand still until they are turned."""

    def __init__(self) -> None:
        # Sums of 1024ths are exact, so that a window's edge is an edge and not a rounding.
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s

    def microseconds(self) -> int:
        # Redis began to count at another time.
        return 1_700_000_000_000_000 + int(self.now_s * 1_000_000)


@dataclass(frozen=True)
class Store:
    """Where the books are: in Redis, or in the process without a URL."""

    url: str | None

    @asynccontextmanager
    async def open(
        self,
        limits: Limits,
        clock: Clock,
        *,
        slots: StreamSlots | None = None,
        workers: int = 1,
        call_s: float = PATIENT_S,
    ) -> AsyncIterator[Limiter]:
        """Open a limiter, and close it. It waits for Redis as long as a busy machine needs, unless told otherwise."""
        slots = slots or StreamSlots(10_000)
        limiter: Limiter
        if self.url is None:
            limiter = ProcessLimiter(limits, slots, clock)
        else:
            limiter = RedisLimiter(
                self.url, limits, slots, clock, least_workers=workers, call_s=call_s, clock_us=clock.microseconds
            )
        try:
            yield limiter
        finally:
            await limiter.aclose()


async def taken(limiter: Limiter, user_id: int) -> Lease:
    """Take what must be there, and return the lease."""
    admission = await limiter.admit(user_id)
    assert admission.refusal is None
    assert admission.lease is not None
    return admission.lease


async def admitted(limiter: Limiter, user_id: int) -> bool:
    """Ask for a completion that is over at once, and say whether it was admitted."""
    admission = await limiter.admit(user_id)
    assert (admission.lease is None) != (admission.refusal is None)
    if admission.lease is not None:
        admission.lease.release()
    return admission.lease is not None


async def refused_for_s(limiter: Limiter, user_id: int) -> int:
    """Ask where the window is full, and return the seconds that the refusal says."""
    admission = await limiter.admit(user_id)
    assert admission.refusal is not None
    assert admission.refusal.code is Code.RATE_LIMITED
    assert admission.refusal.retry_after_s is not None
    return admission.refusal.retry_after_s
