"""What the limiter asks of Redis, in its own terms: the commands, their arguments in order, and their replies read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from apps.limits.limiter import Subject
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
    """What this worker knows to be held: some hundred members at the most, since Redis serves others too."""

    subject: Subject
    slots: Sequence[tuple[str, float]]
    """A member and its age in seconds, for each rate slot that still counts."""
    leases: Sequence[str]


def lease_removal(subject: Subject, member: str) -> Removal:
    """Return how a lease is taken out."""
    return "ZREM", streams_key(subject.name), member


def slot_removal(subject: Subject, member: str) -> Removal:
    """Return how a rate slot is taken out."""
    return "ZREM", rate_key(subject.name), member


class Books:
    """The books of all windows in Redis. Every method that waits raises RedisLost.

    `clock_us` replaces Redis's clock; it is for tests.
    """

    def __init__(self, link: RedisLink, worker: str, clock_us: Callable[[], int] | None = None) -> None:
        self._link = link
        self._worker = worker
        self._lease_us = round(LEASE_S * 1_000_000)
        self._clock_us = clock_us

    async def admit(self, subject: Subject, member: str, most_running: int | None) -> Answer:
        """Take a rate slot under a name, and a stream slot if there may be so many; or nothing."""
        reply = await self._link.call(
            rate_key(subject.name),
            streams_key(subject.name),
            self._now(),
            _microseconds(subject.rate.window_s),
            subject.rate.limit,
            -1 if most_running is None else most_running,
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

    async def look(self, subject: Subject) -> tuple[int, int]:
        """Return the slots that count, and the whole seconds until none does."""
        window_us = _microseconds(subject.rate.window_s)
        reply = await self._link.call(rate_key(subject.name), self._now(), window_us, script=LOOK)
        taken, reset_us = self._numbers(reply, 2)
        return taken, _seconds(reset_us)

    def remove(self, removal: Removal) -> None:
        """Take a lease or a slot out, in its turn."""
        self._link.send(*removal)

    def keep(self, holding: Holding) -> None:
        """Write down what is held, in its turn, and renew the leases."""
        self._link.send(
            rate_key(holding.subject.name),
            streams_key(holding.subject.name),
            self._now(),
            _microseconds(holding.subject.rate.window_s),
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


def _microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)


def _seconds(microseconds: int) -> int:
    """Round up to whole seconds; 0 stays 0."""
    return -(-max(0, microseconds) // 1_000_000)
