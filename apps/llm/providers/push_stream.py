"""The body of a response on a connection of ours, to be pushed or pulled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Protocol

import httpx
import msgspec

__all__ = ["MOST_QUEUED_BYTES", "Carrier", "PushResponse", "PushStream"]

MOST_QUEUED_BYTES = 256 * 1024
"""Body bytes that wait to be taken; past it (by one read at most) reading pauses until they are."""


class Carrier(Protocol):
    """The connection that a body comes on."""

    def pause(self) -> None:
        """Stop reading."""

    def resume(self) -> None:
        """Read on."""

    def leave(self) -> None:
        """End the exchange."""


class PushStream(httpx.AsyncByteStream):
    """A response's body: `push` it or iterate over it, once. `aclose` it on every way out."""

    __slots__ = ("_carrier", "_error", "_over", "_queue", "_read_timeout_s", "_waiter", "sink")

    def __init__(self, carrier: Carrier, read_timeout_s: float | None) -> None:
        self._carrier: Carrier | None = carrier
        self._read_timeout_s = read_timeout_s
        self._queue = bytearray()
        self.sink: Callable[[bytes], None] | None = None
        """Where the connection puts the bytes of a read past `take`, once they are pushed."""
        self._waiter: asyncio.Future[None] | None = None
        self._over = False
        self._error: Exception | None = None

    async def push(self, sink: Callable[[bytes], None]) -> None:
        """Hand the bytes of every read to `sink`, inside the read callback; return when the body is complete.

        Raises httpx.ReadError or RemoteProtocolError if the connection breaks, and what the sink raises, which
        closes the connection. There is no read timeout: whoever owns the sink sees what comes and what does not.
        """
        if self._queue:
            sink(self._taken())
        self.sink = sink
        if not self._over:
            await self._wait(None)
        if self._error is not None:
            raise self._error

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Iterate over the body's bytes as they come."""
        return self

    async def __anext__(self) -> bytes:
        """Return what has come since the last time. Raises httpx.ReadError, ReadTimeout or RemoteProtocolError."""
        while not self._queue:
            if self._error is not None:
                raise self._error
            if self._over:
                raise StopAsyncIteration
            await self._wait(self._read_timeout_s)
        return self._taken()

    async def aclose(self) -> None:
        """End the exchange, without waiting: a connection at a clean end is kept, any other is closed."""
        carrier, self._carrier = self._carrier, None
        self._queue.clear()
        if carrier is not None:
            carrier.leave()

    def take(self, data: bytes) -> None:
        """Take the bytes of one read, from the connection. Raises what the sink raises."""
        if self.sink is not None:
            self.sink(data)
            return
        self._queue += data
        if len(self._queue) > MOST_QUEUED_BYTES and self._carrier is not None:
            self._carrier.pause()
        self._wake()

    def end(self, error: Exception | None) -> None:
        """Learn, from the connection, that the body is complete, or why it never will be."""
        self._over = True
        self._error = error
        self._wake()

    def _taken(self) -> bytes:
        data = bytes(self._queue)
        self._queue.clear()
        if self._carrier is not None:
            self._carrier.resume()
        return data

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self, timeout_s: float | None) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        if timeout_s is None:
            await self._waiter
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._waiter
        except TimeoutError:
            raise httpx.ReadTimeout("the answer paused for too long") from None


class PushResponse(msgspec.Struct, frozen=True):
    """What came of a request, without what httpx makes of it. Close its stream."""

    status: int
    headers: list[tuple[bytes, bytes]]
    """As they came: names in any case, some perhaps more than once."""
    stream: PushStream

    @property
    def is_plain_event_stream(self) -> bool:
        """Whether it is a 200 whose one Content-Type is that of an event stream, and nothing is said of an encoding."""
        media_types = []
        for name, value in self.headers:
            match name.lower():
                case b"content-type":
                    media_types.append(value.partition(b";")[0].strip().lower())
                case b"content-encoding":
                    return False
        return self.status == 200 and media_types == [b"text/event-stream"]

    def as_httpx(self) -> httpx.Response:
        """Return it as httpx has it."""
        return httpx.Response(self.status, headers=self.headers, stream=self.stream)
