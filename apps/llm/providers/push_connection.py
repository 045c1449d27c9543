"""One connection to an upstream: what it sends is parsed and handed on inside the read callback."""

from __future__ import annotations

import asyncio
import select
import ssl
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Protocol, cast

import httpx

from apps.llm.providers.push_answer import Answer
from apps.llm.providers.push_stream import PushResponse, PushStream

__all__ = ["MOST_TURN_BYTES", "Connection", "Keeper", "Origin"]

MOST_TURN_BYTES = 16 * 1024
"""Of one answer that are worked on in one turn of the event loop, some milliseconds at the worst. The rest of a larger
read waits for the turns after it, and reading pauses meanwhile: a loop's read has at most 256 KiB."""

Origin = tuple[bytes, str, int]
"""Scheme, host, port."""


class Keeper(Protocol):
    """Who has connections, busy and idle."""

    def keep(self, connection: Connection) -> None:
        """Take a connection that is free for another exchange."""

    def forget(self, connection: Connection) -> None:
        """Learn that a connection has closed."""


class Connection(asyncio.Protocol):
    """Carries one exchange after the other. Closing it is one synchronous step, `abort`, at any time.

    Its keeper is told when an exchange has ended so cleanly that another may follow, and once, when it closes.
    """

    __slots__ = (
        "_after_unread",
        "_keeper",
        "_paused",
        "_reading",
        "_reusable",
        "_transport",
        "_under_way",
        "_unread",
        "_waiting",
        "_writable",
        "answered",
        "closed",
        "idle_since_s",
        "origin",
    )

    def __init__(self, keeper: Keeper, origin: Origin) -> None:
        self.origin = origin
        self.closed = False
        self.answered = False
        """Whether a byte of the present answer has come."""
        self.idle_since_s = 0.0
        """When it was kept, by the loop's clock; for its keeper."""
        self._keeper = keeper
        self._transport: asyncio.Transport | None = None
        self._reading = True
        # By the stream.
        self._paused = False
        self._unread = bytearray()
        self._waiting = False
        """Whether what is unread is for a later turn."""
        self._after_unread: Callable[[], object] | None = None
        self._reusable = False
        self._under_way: tuple[Answer, PushStream, asyncio.Future[None]] | None = None
        """The exchange: its answer, its body and what resolves at its headers. None when no answer is expected."""
        self._writable: asyncio.Future[None] | None = None

    # -- the exchange

    async def exchange(
        self, request: bytes, *, write_timeout_s: float | None, read_timeout_s: float | None
    ) -> PushResponse:
        """Send a whole request and return the response when its headers are there; closing its stream ends it.

        Raises httpx.WriteError, WriteTimeout, ReadError, ReadTimeout or RemoteProtocolError. The caller aborts the
        connection on any exception, a cancellation included.
        """
        if self._transport is None or self.closed:
            raise httpx.ConnectError("the connection closed before the request was sent")
        answer, stream = Answer(), PushStream(self, read_timeout_s)
        head: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._under_way = answer, stream, head
        self.answered = self._reusable = False
        self._transport.write(request)
        if self._writable is not None:
            await self._written(self._writable, write_timeout_s)
        if read_timeout_s is None:
            await head
        else:
            try:
                async with asyncio.timeout(read_timeout_s):
                    await head
            except TimeoutError:
                raise httpx.ReadTimeout("no answer in time") from None
        headers, answer.headers = answer.headers, []
        return PushResponse(answer.status, headers, stream)

    def leave(self) -> None:
        """End the exchange: be free for another after a clean end, close otherwise."""
        # Bytes that a paused connection has not read could be anything.
        if self._reusable and not self.closed and self._reading:
            self._reusable = False
            self._keeper.keep(self)
        else:
            self.abort()

    def abort(self) -> None:
        """Close at once, whatever is under way. Whoever waits learns of it from the loop's next turn."""
        if not self.closed:
            self.closed = True
            self._unread.clear()
            if self._transport is not None:
                self._transport.abort()
            self._keeper.forget(self)

    def is_silent(self) -> bool:
        """Whether nothing has come on an idle connection, not even what the loop has yet to read.

        What has come belongs to nobody: a request sent now would take it for its answer.
        """
        if self.closed or self._transport is None:
            return False
        return not _is_readable(self._transport.get_extra_info("socket").fileno())

    # -- flow control, from the stream

    def pause(self) -> None:
        """Stop reading: whoever iterates is slower than the peer."""
        if not self._paused:
            self._paused = True
            self._flow()

    def resume(self) -> None:
        """Read on."""
        if self._paused:
            self._paused = False
            self._flow()

    # -- the loop's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Learn the transport; over TLS, after the handshake."""
        self._transport = cast(asyncio.Transport, transport)
        if self.closed:
            # Its keeper has closed meanwhile.
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Parse what was read and hand it on; what is more than a turn's share, in the turns after this one."""
        if len(data) > MOST_TURN_BYTES:
            # Nothing comes before it is taken: reading pauses.
            self._unread += data
            self._read_on()
            return
        if self._under_way is None:
            # What nobody asked for belongs to nobody, least of all to the next request.
            self.abort()
            return
        answer, stream, head = self._under_way
        self.answered = True
        body = answer.feed(data)
        if answer.head_complete and not head.done():
            head.set_result(None)
            self._wake_writer()
        if body:
            try:
                (stream.sink or stream.take)(body)
            except Exception as error:
                self._fail(error)
                return
        if answer.complete:
            self._complete(answer, stream)
        elif answer.fault:
            self._fail(httpx.RemoteProtocolError(answer.fault))

    def eof_received(self) -> bool:
        """Learn that the peer sends no more. Nothing is sent on half a connection either."""
        if self._waiting:
            self._after_unread = self.eof_received
            return True
        if self._under_way is not None:
            answer, stream, _ = self._under_way
            if answer.ends_with_connection and self._is_truncated():
                self._fail(httpx.RemoteProtocolError("TLS ended without its close_notify"))
                return False
            answer.end()
            if answer.fault:
                self._fail(httpx.RemoteProtocolError(answer.fault))
                return False
            self._complete(answer, stream)
        self.abort()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Learn that the connection is closed, by whomever."""
        if self._waiting and not self.closed:
            self._after_unread = partial(self.connection_lost, exc)
            return
        self.abort()
        if self._writable is not None and self._under_way is not None and not self._under_way[2].done():
            self._fail(httpx.WriteError("the connection closed before the request was sent whole"))
        elif exc is None:
            self._fail(httpx.RemoteProtocolError("the connection ended before the answer did"))
        else:
            self._fail(httpx.ReadError(type(exc).__name__))

    def pause_writing(self) -> None:
        """Learn that the peer is slow to read the request."""
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """Learn that the request is as good as sent."""
        self._wake_writer()
        self._writable = None

    # -- inside

    def _read_on(self) -> None:
        """Take a turn's share of what is unread."""
        self._waiting = False
        share = bytes(self._unread[:MOST_TURN_BYTES])
        del self._unread[:MOST_TURN_BYTES]
        if not self.closed:
            self.data_received(share)
        if self.closed:
            return
        if self._unread:
            self._waiting = True
            asyncio.get_running_loop().call_soon(self._read_on)
        if self._after_unread is None:
            self._flow()
        elif not self._waiting:
            after, self._after_unread = self._after_unread, None
            after()

    def _flow(self) -> None:
        """Have the transport read or not: not while the stream has enough, nor while anything is unread."""
        reading = not (self._paused or self._unread)
        if reading != self._reading and not self.closed and self._transport is not None:
            self._reading = reading
            (self._transport.resume_reading if reading else self._transport.pause_reading)()

    async def _written(self, writable: asyncio.Future[None], timeout_s: float | None) -> None:
        """Wait until the request is sent, or is answered already, which servers do that refuse it early."""
        try:
            async with asyncio.timeout(timeout_s):
                await writable
        except TimeoutError:
            raise httpx.WriteTimeout("the request could not be sent in time") from None

    def _wake_writer(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    def _complete(self, answer: Answer, stream: PushStream) -> None:
        self._drop(answer)
        sent = self._transport is not None and self._transport.get_write_buffer_size() == 0
        self._reusable = answer.reusable and sent and not self._unread
        stream.end(None)
        if not self._reusable:
            self.abort()

    def _fail(self, error: Exception) -> None:
        if self._under_way is not None:
            answer, stream, head = self._under_way
            self._drop(answer)
            if head.done():
                stream.end(error)
            else:
                head.set_exception(error)
                # Nobody may be waiting for it: a sender that was cancelled, or gave up.
                head.exception()
            self._wake_writer()
        self.abort()

    def _drop(self, answer: Answer) -> None:
        answer.drop()
        # The stream has us, and nobody closes that of an exchange which was cancelled before its headers.
        self._under_way = None

    def _is_truncated(self) -> bool:
        """Whether TLS ended without its goodbye: anybody on the way may have ended it then."""
        tls: ssl.SSLObject | None = None
        if self._transport is not None:
            tls = self._transport.get_extra_info("ssl_object")
        if tls is None:
            return False
        with suppress(ssl.SSLError):
            # Nothing left to read is an error as long as the peer has not said goodbye.
            return tls.read(1) != b""
        return True


def _is_readable(descriptor: int) -> bool:
    if sys.platform == "win32":
        # There is no poll; elsewhere select is limited to low descriptors.
        return bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
