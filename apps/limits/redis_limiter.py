"""The limiter of several processes: books in Redis, and an own share of the limits while Redis is away.

Exact while Redis answers: at most its limit of slots in any window, however many workers ask, by Redis's clock.

**Away** is Redis from the first call that is refused, takes over 250 ms, or is answered with an error. That one call is
all that a request ever waits: from then on each worker decides by itself, until a probe, tried twice a second, has
found Redis well. What a worker may grant of a window meanwhile is the limit divided by the number of workers, and at
least 1. The number is what Redis last counted, since workers may be on several machines and come and go with deploys.
A smaller one is believed once it has lasted, for Redis may have lost some; one below WEB_CONCURRENCY never.

**What a worker granted counts for its whole window on both sides.** Each keeps an own book of the slots it granted,
dated by when it learnt of them, which is never too early; it counts against the share when Redis goes, and is written
into Redis before the first request asks there again. So one worker alone never grants more than the limit in any
window, whatever happens to Redis; the same own book refuses without asking once it is full. Several workers may
together grant their shares once more than the limit when Redis goes, and while the last of them come back.

**Data that Redis has lost while it answered** (FLUSHALL, a failover) is noticed by the worker's own entry being gone,
and written again, within BEAT_S. **A killed worker's leases** end LEASE_S after it last renewed them, which it did
every BEAT_S: its users have their stream slots back after at most 6 s.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count

from apps.limits.limiter import Admission, Lease, Limits, Rate, Subject, Window, over_the_rate, too_many_streams
from apps.limits.own_book import OwnBook, SharedLease
from apps.limits.redis_books import LEASE_S, Answer, Books, Removal, Verdict, lease_removal, slot_removal
from apps.limits.redis_link import CALL_S, Command, RedisLink, RedisLost
from apps.limits.refunds import Refunds
from apps.limits.streams import StreamSlots
from apps.llm.errors import Code, ServiceUnavailable

__all__ = ["BEAT_S", "PROBE_S", "RedisLimiter"]

logger = logging.getLogger("promptcraft.limits")

BEAT_S = 2.0
"""How often a worker says that it lives and renews its leases."""
PROBE_S = 0.5
"""How often Redis is tried while it is away."""
_LOOP_S = 2.0
"""What a thread waits for the event loop, which itself waits for Redis no longer than `call_s`."""
_AT_ONCE = 64
"""Commands that write down what is held, before others have their turn on the event loop and on the connection."""
_MAX_OWED = 10_000
"""Slots whose return Redis has not heard of; past it the oldest wait for their time to be over."""


class RedisLimiter:
    """Holds one connection and one task. Of each window the own book has at most its limit of slots.

    `clock` gives monotonic seconds. `call_s`, what a call may take, and `clock_us`, which replaces Redis's clock, are
    for tests. Made inside the event loop; the caller closes it.
    """

    def __init__(
        self,
        url: str,
        limits: Limits,
        slots: StreamSlots,
        clock: Callable[[], float],
        *,
        least_workers: int = 1,
        call_s: float = CALL_S,
        clock_us: Callable[[], int] | None = None,
    ) -> None:
        self._rate = limits.completions
        self._streams = limits.streams
        self._slots = slots
        self._clock = clock
        self._worker = secrets.token_hex(8)
        self._numbers = count()
        self._link = RedisLink(url, self._on_lost, call_s=call_s)
        self._books = Books(self._link, self._worker, clock_us)
        self._own = OwnBook()
        self._refunds = Refunds()
        self._owed: deque[Removal] = deque(maxlen=_MAX_OWED)
        self._unwritten: set[Subject] | None = None
        """Of whom something was granted while the own book was being written into Redis; None at other times."""
        self._least_workers = self._workers = least_workers
        self._counted_at = clock()
        """When Redis last counted as many."""
        self._answers = True
        self._latency_s = 0.0
        self._closed = False
        self._lost = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._tending = self._loop.create_task(self._tend())

    @property
    def answers(self) -> bool:
        """Whether Redis is asked."""
        return self._answers

    @property
    def latency_s(self) -> float:
        """How long the last beat took, of one every BEAT_S; infinity while Redis is away."""
        return self._latency_s if self._answers else math.inf

    async def admit(self, user_id: int) -> Admission:
        """Take both slots or neither. Raises ServiceUnavailable if the process is full."""
        self._slots.take()
        try:
            admission = await self._take(Subject(self._rate, user_id), self._streams)
        except BaseException:
            self._slots.give_back()
            raise
        if admission.lease is None:
            self._slots.give_back()
        return admission

    async def look(self, user_id: int) -> Window:
        """Say how a user's window stands, taking nothing."""
        return await self._look(Subject(self._rate, user_id))

    async def take(self, rate: Rate, key: int | str) -> Admission:
        """Take a slot of another window."""
        return await self._take(Subject(rate, key), None)

    def take_in_thread(self, rate: Rate, key: int | str) -> Admission:
        """Take a slot of another window, in a thread."""
        asked = asyncio.run_coroutine_threadsafe(self.take(rate, key), self._loop)
        try:
            admission = asked.result(_LOOP_S)
        except TimeoutError:
            asked.cancel()
            raise ServiceUnavailable("The server is busy. Try again in a moment.", code=Code.OVERLOADED) from None
        if admission.lease is None:
            return admission
        return Admission(window=admission.window, lease=_ThreadLease(self._loop, admission.lease))

    async def aclose(self) -> None:
        """Give back what is held in Redis, as far as it answers, and end the connection."""
        self._tending.cancel()
        await asyncio.wait([self._tending])
        if self._answers:
            try:
                await self._books.leave()
            except RedisLost:
                # The time to live of what is there does it.
                pass
        self._closed = True
        await self._link.aclose()

    # --- deciding

    async def _take(self, subject: Subject, most_running: int | None) -> Admission:
        lease = SharedLease(self, subject, f"{self._worker}:{next(self._numbers):x}", most_running)
        try:
            return await self._ask(lease)
        except BaseException:
            # Cancelled while it waited: Redis may have granted it.
            self._strike(lease)
            raise

    async def _look(self, subject: Subject) -> Window:
        if self._answers and self._own.taken(subject, self._clock()) < subject.rate.limit:
            try:
                taken, reset_s = await self._books.look(subject)
            except RedisLost:
                pass
            else:
                return self._window(subject, taken=taken, reset_s=reset_s)
        return self._own_window(subject)

    async def _ask(self, lease: SharedLease) -> Admission:
        subject = lease.subject
        if not self._answers:
            return self._decide(lease)
        now = self._clock()
        if self._own.taken(subject, now) >= subject.rate.limit:
            return over_the_rate(subject.rate, self._own_window(subject), self._own.windows.wait_s(subject, now))
        if self._runs_too_many(lease):
            return Admission(window=await self._look(subject), refusal=too_many_streams(self._streams))
        try:
            answer = await self._books.admit(subject, lease.member, lease.most_running)
        except RedisLost:
            admission = self._decide(lease)
            if admission.lease is None:
                # It may be done yet, if Redis only took its time.
                self._strike(lease)
            return admission
        return self._obey(lease, answer)

    def _obey(self, lease: SharedLease, answer: Answer) -> Admission:
        subject, now = lease.subject, self._clock()
        own = self._own.taken(subject, now)
        verdict = answer.verdict
        if verdict is Verdict.GRANTED:
            # More than the own book allows is granted only by a Redis that has forgotten.
            if own >= subject.rate.limit:
                verdict = Verdict.OVER_THE_RATE
            elif self._runs_too_many(lease):
                verdict = Verdict.TOO_MANY_STREAMS
            else:
                self._own.grant(lease, now)
                window = self._window(subject, taken=answer.taken, reset_s=answer.reset_s)
                return Admission(window=window, lease=lease)
            self._strike(lease)
        window = self._window(subject, taken=answer.taken, reset_s=answer.reset_s)
        if verdict is Verdict.TOO_MANY_STREAMS:
            return Admission(window=window, refusal=too_many_streams(self._streams))
        wait_s = max(1, answer.wait_s)
        if own >= subject.rate.limit:
            wait_s = max(wait_s, self._own.windows.wait_s(subject, now))
        return over_the_rate(subject.rate, window, wait_s)

    def _decide(self, lease: SharedLease) -> Admission:
        """Grant or refuse by the own book, within the share."""
        subject, now = lease.subject, self._clock()
        share = self._share(subject.rate.limit)
        if self._own.taken(subject, now) >= share:
            wait_s = self._own.windows.wait_s(subject, now, limit=share)
            return over_the_rate(subject.rate, self._own_window(subject), wait_s)
        if lease.most_running is not None and self._own.running(subject) >= self._share(lease.most_running):
            return Admission(window=self._own_window(subject), refusal=too_many_streams(self._streams))
        self._own.grant(lease, now)
        if self._unwritten is not None:
            self._unwritten.add(subject)
        return Admission(window=self._own_window(subject), lease=lease)

    def _runs_too_many(self, lease: SharedLease) -> bool:
        return lease.most_running is not None and self._own.running(lease.subject) >= lease.most_running

    def _share(self, limit: int) -> int:
        return max(1, limit // self._workers)

    def _window(self, subject: Subject, *, taken: int, reset_s: int) -> Window:
        """Return what both Redis's and the own book allow."""
        now, rate = self._clock(), subject.rate
        return Window(
            policy=rate.policy,
            limit=rate.limit,
            window_s=rate.window_s,
            remaining=max(0, rate.limit - max(taken, self._own.taken(subject, now))),
            reset_s=max(reset_s, self._own.windows.reset_s(subject, now)),
        )

    def _own_window(self, subject: Subject) -> Window:
        now, rate = self._clock(), subject.rate
        share = rate.limit if self._answers else self._share(rate.limit)
        return Window(
            policy=rate.policy,
            limit=rate.limit,
            window_s=rate.window_s,
            remaining=max(0, share - self._own.taken(subject, now)),
            reset_s=self._own.windows.reset_s(subject, now),
        )

    # --- giving back

    def release(self, lease: SharedLease) -> None:
        """Take the stream slot of a lease back: for the lease."""
        self._slots.give_back()
        self._own.end(lease)
        self._remove(lease_removal(lease.subject, lease.member))

    def give_back(self, lease: SharedLease) -> None:
        """Take the rate slot of a lease back: for the lease."""
        self._own.strike(lease)
        self._remove(slot_removal(lease.subject, lease.member))

    def may_refund(self, lease: SharedLease) -> bool:
        """Count a failure; return whether its rate slot comes back. Each worker counts those that it served."""
        return self._refunds.take(lease.subject, self._clock())

    def _strike(self, lease: SharedLease) -> None:
        """Take out of Redis's books whatever it may have granted to a request that is not to have it."""
        self._remove(lease_removal(lease.subject, lease.member))
        self._remove(slot_removal(lease.subject, lease.member))

    def _remove(self, removal: Removal) -> None:
        if self._closed:
            return
        if self._answers:
            self._books.remove(removal)
        else:
            self._owed.append(removal)

    # --- Redis going and coming

    def _on_lost(self, cause: Exception, undone: Sequence[Command]) -> None:
        self._owed.extend(command.words for command in undone if command.script is None)
        if self._answers:
            self._answers = False
            self._lost.set()
            logger.warning(
                "Redis is away (%s): each worker grants 1/%d of the limits until it is back",
                type(cause).__name__,
                self._workers,
            )

    async def _tend(self) -> None:
        while True:
            try:
                if self._answers:
                    await self._beat()
                else:
                    await self._come_back()
            except RedisLost:
                # Said where it was noticed.
                pass
            except Exception:
                logger.exception("the books of the limits could not be kept")
            pause_s = PROBE_S
            if self._answers:
                answered_at = self._clock()
                try:
                    async with asyncio.timeout(BEAT_S):
                        await self._lost.wait()
                except TimeoutError:
                    pass
                else:
                    # Tried again at once, unless it had only just come back.
                    pause_s = max(0.0, answered_at + PROBE_S - self._clock())
            if not self._answers:
                await asyncio.sleep(pause_s)
            self._lost.clear()

    async def _beat(self) -> None:
        asked_at = self._clock()
        known, workers = await self._books.beat()
        self._latency_s = self._clock() - asked_at
        self._count(workers)
        await self._write(self._own.with_leases() if known else self._own.subjects(), leases_only=known)

    async def _come_back(self) -> None:
        """Write everything down, then ask Redis again: what is granted meanwhile goes before the first question."""
        _, workers = await self._books.beat()
        try:
            subjects = self._own.subjects()
            self._unwritten = set()
            await self._write(subjects)
            while len(self._unwritten) > _AT_ONCE:
                subjects, self._unwritten = list(self._unwritten), set()
                await self._write(subjects)
            unwritten = self._unwritten
        finally:
            self._unwritten = None
        # From here to the end nothing else runs.
        owed = tuple(self._owed)
        self._owed.clear()
        for removal in owed:
            self._books.remove(removal)
        for subject in unwritten:
            for holding in self._own.holdings(subject, self._clock()):
                self._books.keep(holding)
        self._count(workers)
        self._answers = True
        logger.warning("Redis is back: limits are shared again")

    def _count(self, workers: int) -> None:
        workers, now = max(workers, self._least_workers), self._clock()
        if workers >= self._workers or now - self._counted_at >= LEASE_S:
            self._workers, self._counted_at = workers, now

    async def _write(self, subjects: Sequence[Subject], *, leases_only: bool = False) -> None:
        """Write down what is held, a few commands at a time."""
        commands = 0
        for subject in subjects:
            for holding in self._own.holdings(subject, self._clock(), leases_only=leases_only):
                self._books.keep(holding)
                commands += 1
                if commands % _AT_ONCE == 0:
                    await self._books.settle()
        if commands % _AT_ONCE:
            await self._books.settle()


class _ThreadLease(Lease):
    """A lease that a thread gives back: the books are the event loop's."""

    __slots__ = ("_lease", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, lease: Lease) -> None:
        self._loop = loop
        self._lease = lease

    def release(self) -> None:
        """Do nothing: there is no stream slot."""

    def give_back(self) -> None:
        """Give the slot back, in the loop's next turn."""
        self._loop.call_soon_threadsafe(self._lease.give_back)

    def fail(self) -> None:
        """Give the slot back in the loop's next turn, if the refunds of its window allow."""
        self._loop.call_soon_threadsafe(self._lease.fail)
