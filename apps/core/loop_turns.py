"""Fair starts on the event loop: in one turn of it no caller has more than a few requests begun.

A loop takes whatever is ready, in its order: of fifty connections that ask again as soon as they are answered it would
serve all fifty before anybody else's next step. Here each caller has a line; callers with one take turns.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Hashable

from apps.llm.errors import Code, RateLimited, ServiceUnavailable

__all__ = ["LOOP_TURNS", "LoopTurns"]

_ALONE = 16
"""What a caller may begin in one turn while nobody else does: enough for a turn's own cost not to matter."""
_CONTENDED_S = 0.5
"""How long one caller's start keeps the others to one in a turn."""
_MOST_OF_CALLER = 4_096
_MOST_WAITING = 16_384
"""Requests that wait. Each is a connection that is open anyway, and nothing of its body was read."""


class LoopTurns:
    """For one event loop at a time. `wait` suspends nobody who is within their number.

    At 4,096 that wait for one caller, or 16,384 in all, further ones are refused.
    """

    def __init__(self) -> None:
        self._begin_on(None)

    def _begin_on(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self._loop = loop
        self._begun: dict[Hashable, int] = {}
        """In this turn, by caller."""
        self._lines: OrderedDict[Hashable, deque[asyncio.Future[None]]] = OrderedDict()
        self._waiting = 0
        self._turns_over: asyncio.Handle | None = None
        self._last: Hashable = None
        self._contended_until = 0.0

    async def wait(self, caller: Hashable) -> None:
        """Return when a request of the caller may begin. Raises RateLimited or ServiceUnavailable if too many wait."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            # The last one was closed, and whatever waited there with it.
            self._begin_on(loop)
        if caller != self._last:
            if self._last is not None:
                self._contended_until = loop.time() + _CONTENDED_S
            self._last = caller
        if self._turns_over is None:
            self._turns_over = loop.call_soon(self._turn, loop)
        begun = self._begun.get(caller, 0)
        if begun < self._most(loop) and caller not in self._lines:
            self._begun[caller] = begun + 1
            return
        await self._wait_in_line(loop, caller)

    def _most(self, loop: asyncio.AbstractEventLoop) -> int:
        return 1 if loop.time() < self._contended_until else _ALONE

    async def _wait_in_line(self, loop: asyncio.AbstractEventLoop, caller: Hashable) -> None:
        line = self._lines.get(caller)
        if line is not None and len(line) >= _MOST_OF_CALLER:
            raise RateLimited("Too many of your requests are waiting. Wait for some of them.", retry_after_s=1)
        if self._waiting >= _MOST_WAITING:
            raise ServiceUnavailable("The server is busy. Try again in a moment.", code=Code.OVERLOADED)
        if line is None:
            line = self._lines[caller] = deque()
        turn: asyncio.Future[None] = loop.create_future()
        line.append(turn)
        self._waiting += 1
        await turn

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin a turn: each caller's line moves on by what they may have in one."""
        self._begun.clear()
        self._turns_over = None
        if not self._lines:
            return
        most = 1 if len(self._lines) > 1 else self._most(loop)
        for caller in tuple(self._lines):
            line = self._lines[caller]
            while line and self._begun.get(caller, 0) < most:
                turn = line.popleft()
                self._waiting -= 1
                # One that left meanwhile costs nothing.
                if not turn.done():
                    turn.set_result(None)
                    self._begun[caller] = self._begun.get(caller, 0) + 1
            if not line:
                del self._lines[caller]
        self._turns_over = loop.call_soon(self._turn, loop)


LOOP_TURNS = LoopTurns()
"""Of this process's event loop."""
