"""Readers: whoever follows a completion's log, live or replayed, at its own speed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from apps.chat.engine.log import StreamLog
from apps.llm.wire.sse import PING

__all__ = ["STUCK_AFTER_S", "Reader"]

QUEUE_BYTES = 64 * 1024
"""Live events that wait for a slow reader; past it the queue is dropped and the reader replays from the log."""
STUCK_AFTER_S = 60.0
"""A reader whose peer takes nothing for so long is detached; it may come back and resume."""

Send = Callable[[Mapping[str, Any]], Awaitable[None]]


class Reader:
    """One follower of a log, from the event after `after` to the end.

    Live events arrive in a queue of at most QUEUE_BYTES. A reader that falls behind loses the queue, never an
    event: it reads on from the log, text merged. `close` when done; `drive` and iteration do it themselves.
    """

    __slots__ = (
        "_behind",
        "_log",
        "_on_close",
        "_open",
        "_ping_due",
        "_position",
        "_queue",
        "_queued_bytes",
        "_sent_at",
        "_task",
        "_sending",
        "_waiter",
        "detached",
    )

    def __init__(
        self, log: StreamLog, *, after: int = 0, now: float = 0.0, on_close: Callable[[Reader], None] | None = None
    ) -> None:
        self._log = log
        self._position = after
        self._behind = log.last_id != after
        self._queue: list[bytes] = []
        self._queued_bytes = 0
        self._waiter: asyncio.Future[None] | None = None
        self._on_close = on_close
        self._open = True
        self._ping_due = False
        self._sending = False
        self._sent_at = now
        self._task: asyncio.Task[Any] | None = None
        self.detached = False
        """Whether it was stuck for so long that it was let go of."""
        log.subscribe(self)

    def push(self, events: bytes) -> None:
        """Take events just appended; drop the queue at its bound and fall back to the log."""
        if not self._behind:
            self._queue.append(events)
            self._queued_bytes += len(events)
            if self._queued_bytes > QUEUE_BYTES:
                self._queue.clear()
                self._queued_bytes = 0
                self._behind = True
        self._wake()

    def closed(self) -> None:
        """Learn that the log is closed."""
        self._wake()

    def take(self) -> bytes:
        """Return everything that has arrived and was not yet taken, empty if nothing has."""
        if self._behind:
            data, self._position = self._log.replay(self._position, QUEUE_BYTES)
            self._behind = self._position != self._log.last_id
            return data
        if not self._queue:
            return b""
        data = self._queue[0] if len(self._queue) == 1 else b"".join(self._queue)
        self._queue.clear()
        self._queued_bytes = 0
        self._position = self._log.last_id
        return data

    @property
    def at_end(self) -> bool:
        """Whether the log is closed and all of it was taken."""
        return self._log.terminal is not None and not self._queue and self._position >= self._log.last_id

    async def drive(self, send: Send) -> None:
        """Send the log as ASGI body messages until it ends: one message for all that has arrived."""
        self._task = asyncio.current_task()
        clock = asyncio.get_running_loop().time
        try:
            while True:
                data = self.take()
                if self.at_end:
                    data += self._log.terminal or b""
                    await send({"type": "http.response.body", "body": data})
                    return
                if not data:
                    data = await self._next_or_ping()
                    if not data:
                        continue
                self._sent_at, self._sending = clock(), True
                await send({"type": "http.response.body", "body": data, "more_body": True})
                self._sent_at, self._sending, self._ping_due = clock(), False, False
        finally:
            self.close()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield what `drive` would send, for servers and tests that pull."""
        try:
            while True:
                data = self.take()
                if self.at_end:
                    data += self._log.terminal or b""
                    if data:
                        yield data
                    return
                if not data:
                    data = await self._next_or_ping()
                if data:
                    self._sent_at = asyncio.get_running_loop().time()
                    yield data
        finally:
            self.close()

    def beat(self, now: float, keepalive_interval_s: float) -> None:
        """Be told the time: keep a silent connection alive, detach one whose peer takes nothing."""
        if self._sending:
            if now - self._sent_at >= STUCK_AFTER_S and self._task is not None:
                self.detached = True
                self._task.cancel()
        elif self._waiter is not None and now - self._sent_at >= keepalive_interval_s:
            self._ping_due = True
            self._wake()

    def ping(self) -> None:
        """Send a keep-alive as soon as there is a connection to send it on, unless there is something to say."""
        self._ping_due = True
        self._wake()

    def close(self) -> None:
        """Leave the log. Safe to call again."""
        if self._open:
            self._open = False
            self._log.unsubscribe(self)
            self._queue.clear()
            if self._on_close is not None:
                self._on_close(self)

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def _next_or_ping(self) -> bytes:
        """Wait for news; return a keep-alive if that is what came, else nothing."""
        if not self._ping_due:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self._ping_due:
            self._ping_due = False
            return PING
        return b""
