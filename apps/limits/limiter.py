"""One step at the door: a rate slot and a stream slot together, and what the answer's headers say of them.

    Limiter.admit   ->  Admission = Window + (Lease | RateLimited)
    ProcessLimiter  process.py         this process's own books
    RedisLimiter    redis_limiter.py   books that several processes share; its own while Redis is away

A refusal has counted nothing, and a lease gives back what it holds without waiting for anybody.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import msgspec

from apps.llm.errors import Code, RateLimited

__all__ = ["Admission", "Lease", "Limiter", "Limits", "Window", "over_the_rate", "too_many_streams"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What holds for each user."""

    rate: int
    """Completions in any window."""
    window_s: float
    streams: int
    """Completions at once."""


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """How a user's rate window stands."""

    limit: int
    window_s: float
    remaining: int
    reset_s: int
    """Whole seconds until the window is empty, so that whoever waits them has the full limit again."""

    @property
    def headers(self) -> dict[str, str]:
        """The IETF draft's two headers and the older three. A client that obeys either is never refused."""
        window = math.ceil(self.window_s)
        return {
            "RateLimit-Policy": f'"chat";q={self.limit};w={window}',
            "RateLimit": f'"chat";r={self.remaining};t={self.reset_s}',
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset_s),
        }


class Lease(Protocol):
    """The right to run one completion. Whoever holds it ends it, once or more often, one way or the other."""

    def release(self) -> None:
        """Give the stream slot back."""

    def give_back(self) -> None:
        """Give back both slots: the request failed through no fault of its sender, before any content."""


class Admission(msgspec.Struct, frozen=True, kw_only=True):
    """What came of asking: a lease, or a refusal that has counted nothing. One of them is None."""

    window: Window
    lease: Lease | None = None
    refusal: RateLimited | None = None


class Limiter(Protocol):
    """The limits of every user and of the process."""

    async def admit(self, user_id: int) -> Admission:
        """Take a rate slot and a stream slot, or neither.

        Raises ServiceUnavailable, before anything is taken, if the process is full. Cancelled while it waits, it
        has taken nothing.
        """

    async def look(self, user_id: int) -> Window:
        """Say how a user's window stands, taking nothing."""

    async def aclose(self) -> None:
        """Let go of what is held outside the process. Nothing may be asked afterwards."""


def over_the_rate(limits: Limits, wait_s: int) -> RateLimited:
    """Return the refusal of a user whose window is full for `wait_s` more seconds."""
    return RateLimited(
        f"Over {limits.rate} completions in {math.ceil(limits.window_s)} s. Try again in {wait_s} s.",
        retry_after_s=wait_s,
    )


def too_many_streams(limits: Limits) -> RateLimited:
    """Return the refusal of a user whose stream slots are all taken."""
    return RateLimited(
        f"{limits.streams} completions are running already. Wait for one to finish, or cancel it.",
        retry_after_s=1,
        code=Code.TOO_MANY_STREAMS,
    )
