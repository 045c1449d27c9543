"""Turns to make large answers: their parts are in memory several times, so each user makes one at a time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from apps.core.work_queue import WAIT_S
from apps.llm.errors import Code, RateLimited, ServiceUnavailable

__all__ = ["AnswerTurns"]

_MOST_AT_ONCE = 8
"""Of all users together."""


class _Line:
    __slots__ = ("lock", "requests")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.requests = 0


class AnswerTurns:
    """One answer of a user at a time, `most_at_once` of all users together, for one event loop."""

    def __init__(self, *, most_at_once: int = _MOST_AT_ONCE, wait_s: float = WAIT_S) -> None:
        self._wait_s = wait_s
        self._lines: dict[int, _Line] = {}
        self._all = asyncio.Semaphore(most_at_once)

    @asynccontextmanager
    async def turn(self, user_id: int) -> AsyncIterator[None]:
        """Wait for a turn of the user's and hold it.

        Raises:
            RateLimited: the user's other answers took longer than `wait_s`.
            ServiceUnavailable: those of other users did.

        """
        line = self._lines.setdefault(user_id, _Line())
        line.requests += 1
        try:
            if not await self._taken(line.lock):
                raise RateLimited(
                    "Several large answers of yours are being made. Wait for one of them.",
                    retry_after_s=math.ceil(self._wait_s),
                )
            try:
                if not await self._taken(self._all):
                    raise ServiceUnavailable(
                        "Too many large answers are being made. Try again in a moment.",
                        code=Code.OVERLOADED,
                        retry_after_s=math.ceil(self._wait_s),
                    )
                try:
                    yield
                finally:
                    self._all.release()
            finally:
                line.lock.release()
        finally:
            line.requests -= 1
            if not line.requests:
                del self._lines[user_id]

    async def _taken(self, turn: asyncio.Lock | asyncio.Semaphore) -> bool:
        try:
            async with asyncio.timeout(self._wait_s):
                await turn.acquire()
        except TimeoutError:
            return False
        return True
