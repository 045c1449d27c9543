"""Fair starts on the event loop: in one turn of it no caller has more than a few requests begun.

A loop takes whatever is ready, in its order: of fifty connections that ask again as soon as they are answered it would
serve all fifty before anybody else's next step. Here each caller has a line; callers with one take turns, and so do the
parts of one caller's line.

Those who had to wait of late are crowds. While somebody else asks beside them, turns are no faster than leaves the
process idle for half of the time: a request has many steps, on the loop and in threads, and each needs the interpreter.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import NamedTuple

from apps.llm.errors import Code, RateLimited, ServiceUnavailable

__all__ = ["LOOP_TURNS", "LoopTurns", "Worked"]

_ALONE = 16
"""What a caller may begin in one turn while nobody else does: enough for a turn's own cost not to matter."""
_OF_LATE_S = 0.5
"""How long one caller's start keeps the others to one in a turn, and a caller who had to wait is a crowd."""
_SHORTEST_REST_S = 0.001
"""A loop's timers know no shorter one."""
_LONGEST_REST_S = 0.02
_MOST_REST_FOR_WORK = 4
"""Times the loop's own work: what threads do, such as to hash passwords, leaves crowds a fifth of its time."""
_MOST_OF_CALLER = 4_096
_MOST_WAITING = 16_384
"""Requests that wait. Each is a connection that is open anyway; what came of its body is counted by who calls."""


class Worked(NamedTuple):
    """What was taken of the processors so far, in seconds: by the event loop's thread, and by all of the process."""

    loop_s: float
    process_s: float


def _worked() -> Worked:
    return Worked(time.thread_time(), time.process_time())


class _Line:
    """The requests of one caller that wait. Its parts take turns, each in its order."""

    __slots__ = ("_parts", "waiting")

    def __init__(self) -> None:
        self._parts: OrderedDict[Hashable, deque[asyncio.Future[None]]] = OrderedDict()
        self.waiting = 0

    def add(self, part: Hashable, turn: asyncio.Future[None]) -> None:
        self._parts.setdefault(part, deque()).append(turn)
        self.waiting += 1

    def take(self) -> asyncio.Future[None]:
        part, turns = self._parts.popitem(last=False)
        turn = turns.popleft()
        if turns:
            self._parts[part] = turns
        self.waiting -= 1
        return turn

    def take_back(self, part: Hashable) -> asyncio.Future[None] | None:
        """Take out the newest of the longest part, if that is still no shorter than this one would be by one more."""
        turns = max(self._parts.values(), key=len)
        if len(turns) <= len(self._parts.get(part, ())) + 1:
            return None
        self.waiting -= 1
        return turns.pop()


class LoopTurns:
    """For one event loop at a time. `begins` is for whoever is within their number, `wait` for everybody.

    At 4,096 that wait for one caller the longest of its parts gives a place up for a shorter one; else, and at 16,384
    in all, further ones are refused. `clock` tells the time, `worked` is called on the event loop.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, worked: Callable[[], Worked] = _worked) -> None:
        self._clock = clock
        self._work_of = worked
        self._begin_on(None)

    def _begin_on(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self._loop = loop
        self._begun: dict[Hashable, int] = {}
        """In this turn, by caller."""
        self._lines: OrderedDict[Hashable, _Line] = OrderedDict()
        self._waiting = 0
        self._crowds: OrderedDict[Hashable, float] = OrderedDict()
        """Until when each is one; who waited last is last."""
        self._turns_over: asyncio.Handle | None = None
        self._last: Hashable = None
        self._several_until = self._beside_crowds_until = 0.0
        self._looked_at = self._owed_s = 0.0
        self._worked = Worked(0.0, 0.0)

    def begins(self, caller: Hashable) -> bool:
        """Begin a request of the caller if it need not wait, and tell whether it did."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            # The last one was closed, and whatever waited there with it.
            self._begin_on(loop)
        if caller != self._last:
            if self._last is not None:
                self._several_until = self._clock() + _OF_LATE_S
            self._last = caller
        if self._turns_over is None:
            self._turns_over = loop.call_soon(self._turn, loop)
        begun = self._begun.get(caller, 0)
        if begun >= self._most() or caller in self._lines:
            return False
        self._begun[caller] = begun + 1
        if (self._crowds or self._lines) and caller not in self._crowds:
            self._beside_crowds_until = self._clock() + _OF_LATE_S
        return True

    async def wait(self, caller: Hashable, part: Hashable = None) -> None:
        """Return when a request of the caller may begin, in its part of their line.

        Raises RateLimited or ServiceUnavailable if too many wait.
        """
        if not self.begins(caller):
            await self._wait_in_line(asyncio.get_running_loop(), caller, part)

    def has_several(self) -> bool:
        """Tell whether more than one caller began something of late. For any thread."""
        return self._clock() < self._several_until

    def _most(self) -> int:
        return 1 if self.has_several() else _ALONE

    async def _wait_in_line(self, loop: asyncio.AbstractEventLoop, caller: Hashable, part: Hashable) -> None:
        line = self._lines.get(caller)
        if line is not None and line.waiting >= _MOST_OF_CALLER:
            self._make_room(line, part)
        if self._waiting >= _MOST_WAITING:
            raise ServiceUnavailable("The server is busy. Try again in a moment.", code=Code.OVERLOADED)
        if line is None:
            line = self._lines[caller] = _Line()
        turn: asyncio.Future[None] = loop.create_future()
        line.add(part, turn)
        self._crowds[caller] = self._clock() + _OF_LATE_S
        self._crowds.move_to_end(caller)
        self._waiting += 1
        await turn

    def _make_room(self, line: _Line, part: Hashable) -> None:
        taken_back = line.take_back(part)
        if taken_back is None:
            raise _too_many()
        self._waiting -= 1
        if not taken_back.done():
            taken_back.set_exception(_too_many())

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin a turn: each caller's line moves on by what they may have in one."""
        self._begun.clear()
        most = 1 if len(self._lines) > 1 else self._most()
        for caller in tuple(self._lines):
            line = self._lines[caller]
            while line.waiting and self._begun.get(caller, 0) < most:
                turn = line.take()
                self._waiting -= 1
                # One that left meanwhile costs nothing.
                if not turn.done():
                    turn.set_result(None)
                    self._begun[caller] = self._begun.get(caller, 0) + 1
            if not line.waiting:
                del self._lines[caller]
        now = self._clock()
        while self._crowds and next(iter(self._crowds.values())) < now:
            self._crowds.popitem(last=False)
        rest_s = self._rest_s(now)
        if rest_s >= _SHORTEST_REST_S and now < self._beside_crowds_until:
            self._turns_over = loop.call_later(rest_s, self._turn, loop)
        else:
            self._turns_over = loop.call_soon(self._turn, loop) if self._lines else None

    def _rest_s(self, now: float) -> float:
        """Return how long the process is to be idle, for the half of the time that it was not.

        What was begun last is worked on meanwhile: what a rest is short of is owed to the next.
        """
        worked = self._work_of()
        owed_s = self._owed_s + 2 * (worked.process_s - self._worked.process_s) - (now - self._looked_at)
        most_s = min(_MOST_REST_FOR_WORK * (worked.loop_s - self._worked.loop_s), _LONGEST_REST_S)
        self._owed_s = min(max(owed_s, 0.0), most_s)
        self._looked_at, self._worked = now, worked
        return self._owed_s


def _too_many() -> RateLimited:
    return RateLimited("Too many of your requests are waiting. Wait for some of them.", retry_after_s=1)


LOOP_TURNS = LoopTurns()
"""Of this process's event loop."""
