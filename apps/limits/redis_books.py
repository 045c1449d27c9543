"""What the limiter asks of Redis, in its own terms: the commands, their arguments in order, and their replies read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from apps.limits.limiter import Limits
from apps.limits.redis_link import RedisLink, RedisLost
from apps.limits.redis_scripts import ADMIT, BEAT, KEEP, LOOK, WORKERS, rate_key, streams_key

__all__ = ["LEASE_S", "Answer", "Books", "Holding", "Removal", "Verdict", "lease_removal", "slot_removal"]

LEASE_S = 6.0
"""What a lease runs for unless it is renewed, and how long a worker counts as living after it last said so."""
Removal = tuple[str | int, ...]
"""A command that takes a lease or a slot out of the books; doing it again changes nothing."""


class Verdict(IntEnum):
    """What the books say to a request."""

    GRANTED = 0
    OVER_THE_RATE = 1
    TOO_MANY_STREAMS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How the books stand, the request included if it was granted."""

    verdict: Verdict
    taken: int
    reset_s: int
    """Whole seconds until the window is empty."""
    wait_s: int
    """Whole seconds until a slot is free; 0 if one is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What this worker knows that a user holds: some hundred members at the most, since Redis serves others too."""

    user_id: int
    slots: Sequence[tuple[str, float]]
    """A member and its age in seconds, for each rate slot that still counts."""
    leases: Sequence[str]


def lease_removal(user_id: int, member: str) -> Removal:
    """Return how a user's lease is taken out."""
    return "ZREM", streams_key(user_id), member


def slot_removal(user_id: int, member: str) -> Removal:
    """Return how a user's rate slot is taken out."""
    return "ZREM", rate_key(user_id), member


class Books:
    """The books of all users in Redis. Every method that waits raises RedisLost.

    `clock_us` replaces Redis's clock; it is for tests.
    """

    def __init__(self, link: RedisLink, limits: Limits, worker: str, clock_us: Callable[[], int] | None = None) -> None:
        self._link = link
        self._limits = limits
        self._worker = worker
        self._window_us = round(limits.window_s * 1_000_000)
        self._lease_us = round(LEASE_S * 1_000_000)
        self._clock_us = clock_us

    async def admit(self, user_id: int, member: str) -> Answer:
        """Take a slot of each kind under a name, or neither."""
        reply = await self._link.call(
            rate_key(user_id),
            streams_key(user_id),
            self._now(),
            self._window_us,
            self._limits.rate,
            self._limits.streams,
            self._lease_us,
            member,
            script=ADMIT,
        )
        verdict, taken, reset_us, wait_us = self._numbers(reply, 4)
        try:
            said = Verdict(verdict)
        except ValueError:
            raise self._nonsense() from None
        return Answer(verdict=said, taken=taken, reset_s=_seconds(reset_us), wait_s=_seconds(wait_us))

    async def look(self, user_id: int) -> tuple[int, int]:
        """Return the slots that count, and the whole seconds until none does."""
        taken, reset_us = self._numbers(
            await self._link.call(rate_key(user_id), self._now(), self._window_us, script=LOOK), 2
        )
        return taken, _seconds(reset_us)

    def remove(self, removal: Removal) -> None:
        """Take a lease or a slot out, in its turn."""
        self._link.send(*removal)

    def keep(self, holding: Holding) -> None:
        """Write down what a user holds, in its turn, and renew the leases."""
        self._link.send(
            rate_key(holding.user_id),
            streams_key(holding.user_id),
            self._now(),
            self._window_us,
            self._lease_us,
            len(holding.slots),
            *(word for member, age_s in holding.slots for word in (member, max(0, int(age_s * 1_000_000)))),
            *holding.leases,
            script=KEEP,
        )

    async def beat(self) -> tuple[bool, int]:
        """Say that this worker lives. Return whether Redis knew it, and how many live."""
        reply = await self._link.call(WORKERS, self._now(), self._lease_us, self._worker, script=BEAT)
        known, workers = self._numbers(reply, 2)
        return known == 1, workers

    async def settle(self) -> None:
        """Return when everything sent so far is done."""
        await self._link.call("PING")

    async def leave(self) -> None:
        """Say that this worker leaves; return when that and everything sent so far is done."""
        await self._link.call("ZREM", WORKERS, self._worker)

    def _now(self) -> int | str:
        return "" if self._clock_us is None else self._clock_us()

    def _numbers(self, reply: object, count: int) -> list[int]:
        if not isinstance(reply, list) or len(reply) != count or not all(isinstance(one, int) for one in reply):
            raise self._nonsense()
        return reply

    def _nonsense(self) -> RedisLost:
        self._link.drop(ValueError("Redis answers something else"))
        return RedisLost("Redis answers something else")


def _seconds(microseconds: int) -> int:
    """Round up to whole seconds; 0 stays 0."""
    return -(-max(0, microseconds) // 1_000_000)
