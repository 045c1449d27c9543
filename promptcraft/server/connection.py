"""uvicorn's HTTP protocol with bounds on what a stranger can make it hold, and for how long.

By itself uvicorn with httptools keeps a head of any size, waits for its end for ever, hands trailers to the
application as if they were headers, and keeps what a peer does not take until that peer leaves. A proxy in front bounds
the same; this is for those who have none, and for proxies that are wrong.
"""

from __future__ import annotations

import asyncio
import secrets
import signal
import socket
from collections.abc import Coroutine
from itertools import chain
from typing import Any

from django.core.checks import CheckMessage, Error, register
from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import Server

from apps.chat.envelope import envelope
from apps.llm.errors import Code, HeadTooLarge, InvalidRequest, PromptCraftError, RequestTimeout, ServiceUnavailable
from apps.llm.wire import json
from promptcraft.headers import BODY_AT_ONCE, LINES, STARTS
from promptcraft.scope import MOST_HEAD_BYTES, MOST_HEADERS

__all__ = ["GuardedProtocol", "SwiftCycle", "guard_uvicorn", "one_worker", "uvicorn_config"]


def guard_uvicorn() -> None:
    """Have the uvicorn that runs this process speak HTTP through `GuardedProtocol`; call it before it listens.

    Any other server, and a uvicorn without httptools, is left alone.
    """
    config = uvicorn_config()
    if getattr(config, "http_protocol_class", None) is HttpToolsProtocol:
        config.http_protocol_class = GuardedProtocol
        # The name that the protocol makes one by for each request.
        httptools_impl.RequestResponseCycle = SwiftCycle  # type: ignore[misc]


@register()
def one_worker(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Refuse `uvicorn --workers`, which WEB_CONCURRENCY does not show. Each of them asks this for itself."""
    config = uvicorn_config()
    workers = 1 if config is None or config.should_reload else config.workers
    if workers == 1:
        return []
    return [
        Error(
            f"uvicorn runs {workers} workers, but streams, limits and breakers are kept in the process.",
            hint="Start it with --workers 1, or without.",
            id="promptcraft.E001",
        )
    ]


def uvicorn_config() -> Any:
    """Return the configuration of the uvicorn that runs this process, found by its signal handler; else None."""
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return server.config if isinstance(server, Server) else None


class _Held:
    """What all connections of the process together hold of heads that have not ended."""

    bytes = 0


_held = _Held()


class SwiftCycle(RequestResponseCycle):
    """uvicorn's, but for the head of a stream: two dozen headers, of which half are constants and all names are known.

    uvicorn looks for forbidden characters in each name and each value, and writes the head by itself. Here it goes out
    with the first events: one packet, and one system call.
    """

    _head = b""
    """Until the body that follows at once."""

    def send(self, message: Any) -> Coroutine[Any, Any, None]:
        """Send a message of ASGI's."""
        if self._head:
            return self._go_on(message)
        if BODY_AT_ONCE in message and not (
            self.response_started or self.disconnected or self.access_log or self.flow.write_paused
        ):
            return self._begin(message)
        return super().send(message)

    async def _begin(self, message: Any) -> None:
        head = self._head_of_stream(message)
        if not head:
            await super().send(message)
            return
        self.response_started = self.chunked_encoding = True
        self.waiting_for_100_continue = False
        self._head = head

    async def _go_on(self, message: Any) -> None:
        head, self._head = self._head, b""
        if self.disconnected:
            return
        body = message.get("body", b"")
        if body and message.get("more_body", False):
            self.transport.write(b"%b%x\r\n%b\r\n" % (head, len(body), body))
        else:
            self.transport.write(head)
            await super().send(message)

    def _head_of_stream(self, message: Any) -> bytes:
        """Return a head whose body is sent in chunks; nothing if it is any other, which uvicorn sees to."""
        if message["type"] != "http.response.start" or message["status"] != 200 or self.scope["method"] == "HEAD":
            return b""
        parts = [STATUS_LINE[200]]
        values = []
        for header in chain(self.default_headers, message["headers"]):
            line = LINES.get(header)
            if line is not None:
                parts.append(line)
                continue
            name, value = header
            start = STARTS.get(name)
            if start is None:
                return b""
            values.append(value)
            parts += (start, value, b"\r\n")
        written = b"".join(values)
        if len(written.translate(None, _FORBIDDEN)) != len(written):
            return b""
        parts.append(b"transfer-encoding: chunked\r\n\r\n" if self.keep_alive else _LAST)
        return b"".join(parts)


# uvicorn's own.
STARTS.update({b"date": b"date: ", b"server": b"server: "})
_FORBIDDEN = bytes({*range(0x20), 0x7F} - {0x09})
_LAST = b"connection: close\r\ntransfer-encoding: chunked\r\n\r\n"


class GuardedProtocol(HttpToolsProtocol):
    """One connection. A head over its bound is 431, one that does not end in time 408, one that is no HTTP 400.

    A peer that takes nothing of what was written to it for `stuck_s` is cut, its buffer dropped; the application sees
    it leave.
    """

    # More names than the class's instances can share would cost every connection a table of its own, 1.5 KB.
    __slots__ = ("_head_timer", "_in_head", "_problem", "_stuck_timer", "_undelivered_bytes")

    most_head_bytes = MOST_HEAD_BYTES
    most_headers = MOST_HEADERS
    most_held_bytes = 64 * 1024 * 1024
    """Of heads that are still arriving, all together; at the bound those over `small_bytes` are refused with 503."""
    small_bytes = 8 * 1024
    head_s = 10.0
    """From the connection, or from the first byte of a later request, to the end of the head."""
    stuck_s = 60.0
    """To bring a full write buffer (64 KiB) down to a quarter, or to take the last of it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin the first head."""
        super().connection_made(transport)
        self._in_head = True
        self._undelivered_bytes = 0
        self._problem: PromptCraftError | None = None
        self._head_timer: asyncio.TimerHandle | None = self.loop.call_later(self.head_s, self._head_is_late)
        self._stuck_timer: asyncio.TimerHandle | None = None
        if self.client is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            # A peer that is gone without a word is noticed by what it does not acknowledge.
            plain_socket = transport.get_extra_info("socket")
            plain_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(self.stuck_s * 1000))

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop every clock."""
        self._delivered()
        self._stop_head_clock()
        self._stop_stuck_clock()
        super().connection_lost(exc)

    # --- what comes in

    def data_received(self, data: bytes) -> None:
        """Parse; refuse a head, a chunk's extension or trailers that go on and on."""
        self._undelivered_bytes += len(data)
        _held.bytes += len(data)
        super().data_received(data)
        if self._in_head and self._undelivered_bytes and self._head_timer is None:
            # Most heads come whole, and need no clock.
            self._head_timer = self.loop.call_later(self.head_s, self._head_is_late)
        if self.transport.is_closing():
            self._delivered()
        elif self._undelivered_bytes > self.most_head_bytes:
            self._refuse(HeadTooLarge())
        elif self._undelivered_bytes > self.small_bytes and _held.bytes > self.most_held_bytes:
            self._refuse(
                ServiceUnavailable("Too many large requests are arriving at once. Try again.", code=Code.OVERLOADED)
            )

    def on_headers_complete(self) -> None:
        """Hand a head to the application; trailers that follow the body do not become part of it."""
        size_bytes = len(self.url) + sum(map(len, chain.from_iterable(self.headers)))
        if size_bytes > self.most_head_bytes or len(self.headers) > self.most_headers:
            self._problem = HeadTooLarge()
            raise self._problem
        if self.parser.get_http_version() not in ("1.1", "1.0"):
            raise InvalidRequest("the parser takes HTTP/0.9 and HTTP/2.0 as well")
        self.scope["headers"] = self.headers.copy()
        super().on_headers_complete()
        self._in_head = False
        self._delivered()
        self._stop_head_clock()

    def on_body(self, body: bytes) -> None:
        """Hand on a piece of the body."""
        self._delivered()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the request; what comes next is another head."""
        self._in_head = True
        self._delivered()
        super().on_message_complete()

    def _delivered(self) -> None:
        _held.bytes -= self._undelivered_bytes
        self._undelivered_bytes = 0

    # --- what goes out

    def pause_writing(self) -> None:
        """Start the clock of a peer that has stopped taking."""
        super().pause_writing()
        self._watch_writing()

    def resume_writing(self) -> None:
        """Stop it."""
        super().resume_writing()
        self._stop_stuck_clock()

    def on_response_complete(self) -> None:
        """End the response; if the connection ends with it, what is left is not waited for without end."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._watch_writing()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, its last answer taken or not."""
        super().timeout_keep_alive_handler()
        self._watch_writing()

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser refused, in the envelope."""
        del msg
        self._refuse(self._problem or InvalidRequest("This is no request of HTTP/1.1. Look at its first lines."))

    # --- the clocks

    def _watch_writing(self) -> None:
        if self._stuck_timer is None:
            self._stuck_timer = self.loop.call_later(self.stuck_s, self._is_stuck)

    def _stop_head_clock(self) -> None:
        timer, self._head_timer = self._head_timer, None
        if timer is not None:
            timer.cancel()

    def _stop_stuck_clock(self) -> None:
        timer, self._stuck_timer = self._stuck_timer, None
        if timer is not None:
            timer.cancel()

    def _is_stuck(self) -> None:
        self._stuck_timer = None
        self.transport.abort()

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self.transport.is_closing():
            return
        if self._undelivered_bytes:
            self._refuse(RequestTimeout("The request's head did not arrive in time. Send it again."))
        else:
            self.transport.close()

    def _refuse(self, error: PromptCraftError) -> None:
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if cycle.response_started or self.pipeline:
                # An answer is under way: another one in its middle would be read as part of it.
                self.transport.abort()
                return
            # Its application still waits for the body; this is its answer.
            cycle.disconnected = True
            cycle.message_event.set()
        request_id = f"req_{secrets.token_hex(12)}"
        body = json.dumps(envelope(error, request_id))
        headers: list[tuple[bytes, bytes]] = [
            *self.server_state.default_headers,
            *((name.lower().encode(), value.encode()) for name, value in error.headers.items()),
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
            (b"x-request-id", request_id.encode()),
        ]
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        self.transport.write(b"%b%b\r\n%b" % (STATUS_LINE[error.http_status], lines, body))
        self.transport.close()
        self._delivered()
        self._watch_writing()
