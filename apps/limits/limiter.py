"""Every limit on how often: sliding windows, exact at every moment, and for completions a stream slot with them.

    Limiter.admit   ->  Admission = Window + (Lease | RateLimited)    a completion: its window and a stream slot
    Limiter.take    ->  the same of a window alone                    anything else that is counted
    ProcessLimiter  process.py         this process's own books
    RedisLimiter    redis_limiter.py   books that several processes share; its own while Redis is away

A refusal has counted nothing, and a lease gives back what it holds without waiting for anybody.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import msgspec

from apps.llm.errors import Code, RateLimited

__all__ = [
    "Admission",
    "Lease",
    "Limiter",
    "Limits",
    "Rate",
    "Subject",
    "Window",
    "Windows",
    "limit_headers",
    "over_the_rate",
    "parse_rate",
    "settle",
    "too_many_streams",
]


class Rate(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """At most `limit` in any `window_s` seconds, for each key."""

    policy: str
    """Its name, in headers and in Redis: letters, digits and hyphens."""
    limit: int
    window_s: float
    what: str
    """What is counted, in the plural, for messages."""


class Subject(NamedTuple):
    """One sliding window: what is counted, and for whom."""

    rate: Rate
    key: int | str
    """A user's id, or a text without braces."""

    @property
    def name(self) -> str:
        """Its name in Redis."""
        return f"{self.rate.policy}:{self.key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What holds for each user."""

    rate: int
    """Completions in any window."""
    window_s: float
    streams: int
    """Completions at once."""

    @property
    def completions(self) -> Rate:
        """The window of completions."""
        return Rate(policy="chat", limit=self.rate, window_s=self.window_s, what="completions")


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """How a rate window stands."""

    policy: str = "chat"
    limit: int
    window_s: float
    remaining: int
    reset_s: int
    """Whole seconds until the window is empty, so that whoever waits them has the full limit again.

    On a refusal, those until one more is admitted: the same as `Retry-After`.
    """

    @property
    def headers(self) -> dict[str, str]:
        """The IETF draft's two headers and the older three. A client that obeys either is never refused."""
        return limit_headers((self,))


class Lease(Protocol):
    """The right to do one thing that is counted. Whoever holds it ends it, once or more often, one way or the other."""

    def release(self) -> None:
        """Give the stream slot back, if it holds one."""

    def give_back(self) -> None:
        """Give back all: the request is none that counts."""

    def fail(self) -> None:
        """Give back all: the request failed through no fault of its sender, before any content.

        So often in a window (`apps.limits.refunds`). Beyond that the failure counts: failing requests are no way past
        the rate.
        """


class Admission(msgspec.Struct, frozen=True, kw_only=True):
    """What came of asking: a lease, or a refusal that has counted nothing. One of them is None."""

    window: Window
    lease: Lease | None = None
    refusal: RateLimited | None = None


class Windows(Protocol):
    """Sliding windows for what is no completion."""

    async def take(self, rate: Rate, key: int | str) -> Admission:
        """Take a slot. Cancelled while it waits, it has taken nothing."""

    def take_in_thread(self, rate: Rate, key: int | str) -> Admission:
        """Take a slot, in a thread that is not the event loop's, and so is its lease given back.

        Raises ServiceUnavailable if the event loop, which has the books, does not answer.
        """


class Limiter(Windows, Protocol):
    """The limits of every user and of the process."""

    @property
    def latency_s(self) -> float | None:
        """How long Redis took of late; infinity while it is away, None where there is none."""

    async def admit(self, user_id: int) -> Admission:
        """Take a rate slot and a stream slot, or neither.

        Raises ServiceUnavailable, before anything is taken, if the process is full. Cancelled while it waits, it
        has taken nothing.
        """

    async def look(self, user_id: int) -> Window:
        """Say how a user's window stands, taking nothing."""

    async def aclose(self) -> None:
        """Let go of what is held outside the process. Nothing may be asked afterwards."""


def limit_headers(windows: Iterable[Window]) -> dict[str, str]:
    """Return what the headers say of the windows that a request was counted in.

    The draft's two list all of them. The older three know one: the one with the least left.
    """
    listed = tuple(windows)
    tightest = listed[0] if len(listed) == 1 else min(listed, key=lambda one: (one.remaining, -one.reset_s))
    return {
        "RateLimit-Policy": ", ".join(f'"{one.policy}";q={one.limit};w={math.ceil(one.window_s)}' for one in listed),
        "RateLimit": ", ".join(f'"{one.policy}";r={one.remaining};t={one.reset_s}' for one in listed),
        "X-RateLimit-Limit": str(tightest.limit),
        "X-RateLimit-Remaining": str(tightest.remaining),
        "X-RateLimit-Reset": str(tightest.reset_s),
    }


def parse_rate(rate: str) -> tuple[int, float]:
    """Split `5/m` or `100/10s` into a count and a window in seconds."""
    count, _, window = rate.partition("/")
    unit_s = {"s": 1, "m": 60, "h": 3600, "d": 86400}[window[-1]]
    return int(count), float(unit_s * int(window[:-1] or 1))


def settle(lease: Lease, status: int) -> None:
    """End the lease of a request by its status: 429 does not count, a failure of ours gives back as `fail` says."""
    if status == 429:
        lease.give_back()
    elif status >= 500:
        lease.fail()


def over_the_rate(rate: Rate, window: Window, wait_s: int) -> Admission:
    """Return the refusal of whoever's window is full for `wait_s` more seconds, which is all that its headers say."""
    refusal = RateLimited(
        f"Over {rate.limit} {rate.what} in {math.ceil(rate.window_s)} s. Try again in {wait_s} s.",
        retry_after_s=wait_s,
    )
    return Admission(window=msgspec.structs.replace(window, reset_s=wait_s), refusal=refusal)


def too_many_streams(streams: int) -> RateLimited:
    """Return the refusal of a user whose stream slots are all taken."""
    return RateLimited(
        f"{streams} completions are running already. Wait for one to finish, or cancel it.",
        retry_after_s=1,
        code=Code.TOO_MANY_STREAMS,
    )
