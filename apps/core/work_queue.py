"""Work for threads, shared fairly between callers: no caller's work makes another's wait for more than a turn.

    caller -> its share's line, bounded -> a turn, by round-robin -> a thread

Every wait is bounded: work that finds its line full is refused at once, work that did not begin within `wait_s` then.
"""

from __future__ import annotations

import asyncio
import contextvars
import math
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from apps.core.loop_turns import LOOP_TURNS
from apps.core.turns import Share, Turns
from apps.llm.errors import Code, PromptCraftError, RateLimited, ServiceUnavailable

__all__ = ["SHARE", "WAIT_S", "Share", "Turn", "WorkQueue", "user_share"]

WAIT_S = 1.6
"""What work waits at the most before it begins: if it finds no database then, it is still refused within 2 s."""

_LONGEST_REST_S = 0.5
_NATIVE_NICENESS = 3
_SERVICE = Share("service")
SHARE: contextvars.ContextVar[Share] = contextvars.ContextVar("share", default=_SERVICE)
"""On whose account this task works: of the user once there is one. By itself the service's own."""

_T = TypeVar("_T")


def _sleep(seconds: float) -> None:
    threading.Event().wait(seconds)


def user_share(user_id: int) -> Share:
    """Return the share of a user."""
    return Share(f"user {user_id}")


class Turn(NamedTuple):
    """Where a request waits for its thread."""

    queue: WorkQueue
    share: Share
    settle: Callable[[int], None] | None = None
    """Called with the status of the answer: the request was counted somewhere."""


class _Ticket:
    """Work that was submitted, and where its end is waited for."""

    __slots__ = ("context", "future", "loop", "share", "work")

    def __init__(self, share: Share, work: Callable[[], Any]) -> None:
        self.share = share
        self.work = work
        self.context = contextvars.copy_context()
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()


class WorkQueue:
    """A few threads, and in front of them a bounded line for each share.

    A share has at most `most_running` threads at once, an owner `most_running_of_owner` if that is given. At most
    `most_waiting_of_share` pieces of work wait in a share's line: more are refused with 429. At most `most_waiting`
    wait in all, and of one owner's at most half as many: more are refused with 503. Where all places are taken, the
    owner with most of them gives up the one that came last for an owner with fewer, and where all of an owner's are,
    the part with most of them for a part with fewer: that is a 503, too. So is work that did not begin within
    `wait_s`, unless its own share is what it waited for: that is a 429. After `wait_s` everything that waits now has
    begun or was refused: that is the `Retry-After`.

    `is_native` says that this work needs no interpreter; `rests` that it computes for long, and leaves the interpreter
    to others for as long as it had it.
    """

    def __init__(
        self,
        name: str,
        *,
        threads: int,
        most_running: int,
        most_waiting_of_share: int,
        most_waiting: int,
        most_running_of_owner: int = 0,
        wait_s: float = WAIT_S,
        is_native: bool = False,
        rests: bool = False,
        executor: Executor | None = None,
        sleep: Callable[[float], object] = _sleep,
    ) -> None:
        self._executor = executor or ThreadPoolExecutor(
            threads, thread_name_prefix=name, initializer=_yield_processor if is_native else None
        )
        self._threads = self._idle_threads = threads
        self.most_waiting_of_share = most_waiting_of_share
        self.most_waiting = most_waiting
        self._wait_s = wait_s
        self._rests = rests
        self._sleep = sleep
        self._turns: Turns[_Ticket] = Turns(most_running, most_running_of_owner or threads)
        self._lock = threading.Lock()
        # What threads were asked for and have not begun.
        self._called: deque[_Ticket] = deque()

    async def run(self, share: Share, work: Callable[[], _T]) -> _T:
        """Do the work in a thread, in its turn, and return what it returns. It sees the caller's context variables.

        A cancelled caller takes work back that has not begun; work that has begun goes on.

        Raises:
            RateLimited: the share has too much to do already.
            ServiceUnavailable: all callers together have.

        """
        ticket = _Ticket(share, work)
        clock = None
        try:
            if not self._submit(ticket):
                clock = ticket.loop.call_later(self._wait_s, self._expire, ticket)
            result: _T = await ticket.future
            return result
        finally:
            if clock is not None:
                clock.cancel()
                # Without effect but for a caller who was cancelled.
                self._withdraw(ticket)
            # An error that is raised here has this frame.
            del ticket

    def _submit(self, ticket: _Ticket) -> bool:
        """Put work into its line; tell whether it begins at once."""
        share, turns = ticket.share, self._turns
        with self._lock:
            if turns.waiting_of(share) >= self.most_waiting_of_share:
                raise self._share_is_busy()
            of_owner = turns.waiting_of_owner(share.owner)
            taken_back = None
            # One less for who has most is still no less than one more for this part or owner.
            if of_owner >= self.most_waiting // 2:
                taken_back = turns.take_back_of(share.owner, more_than=turns.waiting_of(share) + 1)
                if taken_back is None:
                    raise self._all_is_busy()
            elif turns.waiting >= self.most_waiting:
                taken_back = turns.take_back(more_than=of_owner + 1)
                if taken_back is None:
                    raise self._all_is_busy()
            turns.add(share, ticket)
            begun = self._call()
        if taken_back is not None:
            taken_back.loop.call_soon_threadsafe(_settle, taken_back.future, None, self._all_is_busy())
        self._begin(begun)
        return ticket in begun

    def _call(self) -> list[_Ticket]:
        """Take out what may begin now; for whoever holds the lock."""
        begun = []
        while self._idle_threads:
            ticket = self._turns.call()
            if ticket is None:
                break
            self._idle_threads -= 1
            begun.append(ticket)
        return begun

    def _begin(self, tickets: list[_Ticket]) -> None:
        for ticket in tickets:
            self._called.append(ticket)
            self._executor.submit(self._work)

    def _work(self) -> None:
        """Do one piece of work after the other, for as long as there is one; in a thread."""
        ticket: _Ticket | None = self._called.popleft()
        while ticket is not None:
            before_s = time.thread_time()
            _do(ticket)
            self._rest(ticket.share, time.thread_time() - before_s)
            ticket = self._done(ticket.share)

    def _rest(self, share: Share, worked_s: float) -> None:
        """Leave the interpreter to others for as long as this share had it, if more of its work waits and others ask.

        Twice as long beside another thread that computes, and so on: together they leave as much as one does. Not where
        somebody's work could want this thread meanwhile.
        """
        if self._rests and self._idle_threads and self._turns.waiting_of(share) and LOOP_TURNS.has_several():
            self._sleep(min(worked_s * (self._threads - self._idle_threads), _LONGEST_REST_S))

    def _done(self, share: Share) -> _Ticket | None:
        """Count a piece of work as done, and return another for the same thread."""
        with self._lock:
            self._turns.finish(share)
            self._idle_threads += 1
            begun = self._call()
        self._begin(begun[1:])
        return begun[0] if begun else None

    def _withdraw(self, ticket: _Ticket) -> None:
        with self._lock:
            self._turns.withdraw(ticket.share, ticket)

    def _expire(self, ticket: _Ticket) -> None:
        with self._lock:
            own_fault = self._turns.is_full(ticket.share)
            waited = self._turns.withdraw(ticket.share, ticket)
        if waited and not ticket.future.done():
            ticket.future.set_exception(self._share_is_busy() if own_fault else self._all_is_busy())

    def _share_is_busy(self) -> PromptCraftError:
        return RateLimited(
            "Too many of your requests are being worked on. Wait for some of them to finish.",
            retry_after_s=math.ceil(self._wait_s),
        )

    def _all_is_busy(self) -> PromptCraftError:
        return ServiceUnavailable(
            "The server is busy. Try again in a moment.", code=Code.OVERLOADED, retry_after_s=math.ceil(self._wait_s)
        )


def _yield_processor() -> None:
    """Have the event loop preferred to this thread where both want a processor; only Linux knows this of threads."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NATIVE_NICENESS)


def _do(ticket: _Ticket) -> None:
    """Do the work, unless its caller has left, and hand over what came of it."""
    if ticket.future.done():
        return
    result, error = None, None
    try:
        result = ticket.context.run(ticket.work)
    except BaseException as raised:
        error = raised
    try:
        ticket.loop.call_soon_threadsafe(_settle, ticket.future, result, error)
    except RuntimeError:
        # The loop is gone; so is whoever waited.
        pass
    # The error has this frame.
    del ticket, error


def _settle(future: asyncio.Future[Any], result: object, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
