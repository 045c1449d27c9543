"""A gate in a scripted answer: the stream waits at it until the test lets it through."""

from __future__ import annotations

import asyncio
import threading
from collections import deque

from tests.waiting import HANG_S

__all__ = ["Gate"]


class Gate:
    """Hold streams until the test releases them; every method may be called from any thread.

    `release()` opens the gate for good, `release(n)` lets n waiting or coming streams pass and no more, so
    that a stream with a `Hold` before each token can be walked through one token at a time.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._open = False
        self._permits = 0
        self._reached = 0
        self._waiting: deque[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = deque()

    @property
    def reached(self) -> int:
        """How many times a stream has come to the gate, passed or not."""
        with self._changed:
            return self._reached

    def release(self, count: int | None = None) -> None:
        """Let `count` streams pass, or all of them from now on."""
        with self._changed:
            if count is None:
                self._open = True
                woken = list(self._waiting)
                self._waiting.clear()
            else:
                self._permits += count
                woken = []
                while self._permits and self._waiting:
                    self._permits -= 1
                    woken.append(self._waiting.popleft())
        for loop, future in woken:
            if not loop.is_closed():
                loop.call_soon_threadsafe(_set, future)

    def wait_reached(self, count: int = 1, timeout_s: float = HANG_S) -> None:
        """Block until streams have come to the gate `count` times in all. Raises AssertionError when they have not."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._reached >= count, timeout_s):
                raise AssertionError(f"the gate was reached {self._reached} times in {timeout_s} s, not {count}")

    async def passage(self) -> None:
        """Wait at the gate; called by the simulator."""
        with self._changed:
            self._reached += 1
            self._changed.notify_all()
            if self._open:
                return
            if self._permits:
                self._permits -= 1
                return
            loop = asyncio.get_running_loop()
            ticket = (loop, loop.create_future())
            self._waiting.append(ticket)
        try:
            await ticket[1]
        finally:
            with self._changed:
                if ticket in self._waiting:
                    self._waiting.remove(ticket)


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
