"""Readers: whoever follows a completion's log, live or replayed, at its own speed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from apps.chat.begun import Rest, begin
from apps.chat.engine.log import StreamLog
from apps.llm.wire.sse import PING

__all__ = ["QUEUE_BYTES", "STUCK_AFTER_S", "Reader"]

QUEUE_BYTES = 64 * 1024
"""Live events that wait for a slow reader; past it the queue is dropped and the reader replays from the log."""
STUCK_AFTER_S = 60.0
"""A reader whose peer takes nothing for so long is detached; it may come back and resume."""

Send = Callable[[Mapping[str, Any]], Awaitable[None]]


class Reader:
    """One follower of a log, from the event after `after` to the end.

    While its connection takes what is sent, events go out inside the call that appends them: no queue, no task to
    wake. Else, and while a log has many readers, they wait in a queue of at most QUEUE_BYTES. A reader that falls
    behind loses the queue, never an event: it reads on from the log, text merged. `close` when done, which gives its
    slot back; `drive` does it itself.
    """

    __slots__ = (
        "_behind",
        "_finishing",
        "_give_back",
        "_log",
        "_on_close",
        "_open",
        "_over",
        "_ping_due",
        "_position",
        "_queue",
        "_queued_bytes",
        "_send",
        "_sending",
        "_sent_at",
        "detached",
    )

    def __init__(
        self,
        log: StreamLog,
        *,
        after: int = 0,
        now: float = 0.0,
        on_close: Callable[[Reader], None] | None = None,
        give_back: Callable[[], None] | None = None,
    ) -> None:
        self._log = log
        self._position = after
        self._behind = log.last_id != after
        self._queue: list[bytes] = []
        self._queued_bytes = 0
        self._on_close = on_close
        self._give_back = give_back
        self._open = True
        self._ping_due = False
        self._sent_at = now
        # While it is driven: where to, and what ends when the last byte is sent.
        self._send: Send | None = None
        self._over: asyncio.Future[None] | None = None
        self._sending = False
        self._finishing: asyncio.Task[None] | None = None
        self.detached = False
        """Whether it was let go of: it was stuck for too long, or its log took memory that others need."""
        log.subscribe(self)

    def push(self, events: bytes) -> None:
        """Take events just appended and send them, or `hold` them until the connection takes them."""
        if self._send is not None and not (
            self._sending or self._behind or self._queue or self._log.terminal is not None
        ):
            # As nearly always: nothing waits, so these are all there is to send.
            self._position = self._log.last_id
            self._ping_due = False
            self._pass(self._send, {"type": "http.response.body", "body": events, "more_body": True})
            return
        self.hold(events)
        self._flow()

    def hold(self, events: bytes) -> None:
        """Queue events just appended until `flush`; drop the queue at its bound and fall back to the log."""
        if not self._behind:
            self._queue.append(events)
            self._queued_bytes += len(events)
            if self._queued_bytes > QUEUE_BYTES:
                self._queue.clear()
                self._queued_bytes = 0
                self._behind = True

    def flush(self) -> None:
        """Send what waits. The log may have been closed."""
        self._flow()

    def take(self) -> bytes:
        """Return everything that has arrived and was not yet taken, empty if nothing has."""
        if self._behind:
            data, self._position = self._log.replay(self._position, QUEUE_BYTES)
            # What it reads here before it is told of it would come twice if it went on from what it is told.
            self._behind = self._position != self._log.last_id or not self._log.told
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
        """Send the log as ASGI body messages until it ends: one message for all that has arrived.

        Raises what `send` raises, and CancelledError if it was let go of (`detached`).
        """
        self._over = asyncio.get_running_loop().create_future()
        self._send = send
        try:
            if self.detached:
                raise asyncio.CancelledError
            if self._log.last_id <= self._position and self._log.terminal is None and not self._ping_due:
                # Nothing to say yet, and not every server sends a head that no body follows.
                self._pass(send, {"type": "http.response.body", "body": b"", "more_body": True})
            self._flow()
            await self._over
        finally:
            self._send = None
            if self._finishing is not None:
                self._finishing.cancel()
            # What either raised has frames with this reader, and a reader its log: not until somebody looks for cycles.
            self._finishing = self._over = None
            self.close()

    def beat(self, now: float, keepalive_interval_s: float) -> None:
        """Be told the time: keep a silent connection alive, detach one whose peer takes nothing."""
        if self._sending:
            if now - self._sent_at >= STUCK_AFTER_S:
                self.let_go()
        elif self._send is not None and now - self._sent_at >= keepalive_interval_s:
            self.ping()

    def let_go(self) -> None:
        """Detach it, unless all was sent."""
        if self._open and (self._over is None or not self._over.done()):
            self.detached = True
            if self._over is not None:
                self._over.cancel()

    def ping(self) -> None:
        """Send a keep-alive as soon as there is a connection to send it on, unless there is something to say."""
        self._ping_due = True
        self._flow()

    def close(self) -> None:
        """Leave the log. Safe to call again."""
        if self._open:
            self._open = False
            self._log.unsubscribe(self)
            self._queue.clear()
            if self._give_back is not None:
                self._give_back()
            if self._on_close is not None:
                self._on_close(self)

    def _flow(self) -> None:
        """Send what there is, until nothing is left or the connection makes us wait."""
        while self._send is not None and not self._sending:
            data = self.take()
            if self.at_end:
                self._pass(self._send, {"type": "http.response.body", "body": data + (self._log.terminal or b"")})
                return
            if not data and self._ping_due:
                data = PING
            if not data:
                return
            self._ping_due = False
            self._pass(self._send, {"type": "http.response.body", "body": data, "more_body": True})

    def _pass(self, send: Send, message: Mapping[str, Any]) -> None:
        """Begin to send; nearly always that is all there is to it, else a task waits for the rest."""
        self._sent_at, self._sending = time.monotonic(), True
        try:
            rest = begin(send(message))
        except Exception as error:
            self._fail(error)
            return
        if rest is None:
            self._sending = False
            if "more_body" not in message:
                self._end()
        else:
            self._finishing = asyncio.get_running_loop().create_task(self._finish(rest, message))

    async def _finish(self, rest: Rest[None], message: Mapping[str, Any]) -> None:
        try:
            await rest
        except Exception as error:
            self._fail(error)
            return
        self._finishing = None
        self._sent_at = time.monotonic()
        self._sending = False
        if "more_body" not in message:
            self._end()
        self._flow()

    def _end(self) -> None:
        self._send = None
        if self._over is not None and not self._over.done():
            self._over.set_result(None)

    def _fail(self, error: Exception) -> None:
        self._send = None
        if self._over is not None and not self._over.done():
            self._over.set_exception(error)
