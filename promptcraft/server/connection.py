"""uvicorn's HTTP protocol with bounds on what a stranger can make it hold, and for how long.

By itself uvicorn with httptools keeps a head of any size, waits for its end for ever, hands trailers to the
application as if they were headers, parses any number of requests ahead, takes the body of a request that offers
another protocol for a request, and keeps what a peer does not take until that peer leaves. A proxy in front bounds the
same; this is for those who have none, and for proxies that are wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from itertools import chain

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT

from apps.core.memory_shares import HeldMemory, SharedMemory
from apps.llm.errors import Code, HeadTooLarge, InvalidRequest, PromptCraftError, RequestTimeout, ServiceUnavailable
from promptcraft.scope import MOST_HEAD_BYTES, MOST_HEADERS
from promptcraft.server.chunks import CHUNK_TURNS, some_chunks
from promptcraft.server.cycle import PlainCycle
from promptcraft.server.handshakes import head_without_offer, is_handshake
from promptcraft.server.refusals import written_refusal
from promptcraft.server.targets import unnamed_host
from promptcraft.server.writing import WatchedWriting

__all__ = ["HEADS", "SMALL_HEAD_BYTES", "GuardedProtocol"]

_END = b"\r\n\r\n"
"""Of a head, and of a body in chunks."""
_END_TAILS = (b"\n", b"\r\n")
"""What may be left of it where a read cuts it, in one step or two."""
_MOST_STEPS = 128
"""That one connection takes in a turn of the event loop, some milliseconds at most. The rest waits for the next."""
_STEP_BYTES = 128
"""More of them count as more steps: a head may have thousands of headers."""
_MOST_STEP_BYTES = _MOST_STEPS * _STEP_BYTES
_STEPS_OF_A_CHUNK = 8
"""Each is a call of the parser's."""
_MOST_STEP_CHUNKS = _MOST_STEPS // _STEPS_OF_A_CHUNK
_FEW_CHUNKS = 2
_SMALL_CHUNK_BYTES = 1024
"""More than a few of less than so much each take turns among all that their network sends."""

SMALL_HEAD_BYTES = 4096
"""As much of a head is not counted once it has ended: few are larger."""
HEADS = SharedMemory(most_bytes=64 * 1024 * 1024)
"""Until they are answered or their sockets closed, and requests that wait: one that makes room gets 503, or is cut."""


class GuardedProtocol(WatchedWriting):
    """One connection. A head over its bound is 431, one that does not end in time 408, one that is no HTTP 400.

    A request is not parsed before the answer to the one before it was sent and, but for 64 KiB, taken: until then its
    bytes are kept, and past 64 KiB of them nothing is read. A peer that takes nothing of what was written to it for
    `stuck_s` is cut, its buffer dropped; the application sees it leave.
    """

    # More names than the class's instances can share would cost every connection a table of its own, 1.5 KB.
    __slots__ = (
        "_body_bytes",
        "_has_turn",
        "_head_bytes",
        "_head_timer",
        "_in_head",
        "_problem",
        "_reading_stopped",
        "_undelivered_bytes",
        "_unparsed",
        "_waiting",
        "_waits_for_turn",
    )

    socket_paths: Collection[str] = frozenset()
    """Where WebSockets are served."""
    most_head_bytes = MOST_HEAD_BYTES
    most_headers = MOST_HEADERS
    head_s = 10.0
    """From the connection, or from the first byte of a later request, to the end of the head."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin the first head."""
        super().connection_made(transport)
        self._in_head = True
        self._reading_stopped = self._has_turn = self._waits_for_turn = False
        self._unparsed: bytes | bytearray = b""
        self._undelivered_bytes = self._body_bytes = self._head_bytes = 0
        self._waiting: HeldMemory | None = None
        self._problem: PromptCraftError | None = None
        self._head_timer: asyncio.TimerHandle | None = self.loop.call_later(self.head_s, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop every clock, and let go of what is held."""
        self._let_go()
        self._stop_head_clock()
        super().connection_lost(exc)

    # --- what comes in

    def data_received(self, data: bytes) -> None:
        """Parse what belongs to the request whose turn it is, and keep the rest for later."""
        self._unset_keepalive_if_required()
        if self._unparsed:
            self._keep(data)
            if self._waits_for_turn:
                self._count_waiting()
            else:
                self._go_on()
        else:
            end = self._parse_turns(data)
            if end < len(data):
                self._keep(data[end:])
            self._count_waiting()

    def _keep(self, data: bytes) -> None:
        if not self._unparsed:
            self._unparsed = bytearray()
        self._unparsed += data
        if len(self._unparsed) > HIGH_WATER_LIMIT:
            self._reading_stopped = True
            self.transport.pause_reading()

    def _go_on(self) -> None:
        """Parse what was kept, as far as it is its turn."""
        # It is not idle, even if its turn waits for the last answer to be taken.
        self._unset_keepalive_if_required()
        kept = self._unparsed
        end = self._parse_turns(kept)
        if isinstance(kept, bytes) or self._unparsed is not kept:
            return
        del kept[:end]
        self._count_waiting()
        if self.transport.is_closing():
            return
        if self._reading_stopped and len(self._unparsed) <= HIGH_WATER_LIMIT:
            self._reading_stopped = False
            if not self.flow.read_paused:
                self.transport.resume_reading()

    def _parse_turns(self, data: bytes | bytearray) -> int:
        """Parse up to the end of the request whose turn it is; return where that is. What is not wanted has no end."""
        start = steps = 0
        while start < len(data) and (not self._in_head or self._is_free()):
            if steps >= _MOST_STEPS:
                self._wait_for_turn(of_chunks=False)
                break
            end, chunks = self._next_end(data, start)
            if chunks > _FEW_CHUNKS and chunks * _SMALL_CHUNK_BYTES > end - start:
                if not self._has_turn:
                    self._wait_for_turn(of_chunks=True)
                    break
                self._has_turn = False
            steps += 1 + (end - start) // _STEP_BYTES + chunks * _STEPS_OF_A_CHUNK
            if not self._parse(bytes(data[start:end])):
                return len(data)
            start = end
        return min(start, len(data))

    def _wait_for_turn(self, *, of_chunks: bool) -> None:
        if self._waits_for_turn:
            return
        self._waits_for_turn = True
        if of_chunks:
            CHUNK_TURNS.wait(self._network(), self._take_turn_of_chunks)
        else:
            self.loop.call_soon(self._take_next_turn)

    def _take_turn_of_chunks(self) -> None:
        self._has_turn = True
        self._take_next_turn()

    def _take_next_turn(self) -> None:
        self._waits_for_turn = False
        if self._unparsed and not self.transport.is_closing():
            self._go_on()

    def _is_free(self) -> bool:
        """Tell whether the next request may be parsed."""
        cycle = self.cycle
        return (cycle is None or cycle.response_complete) and not self.flow.write_paused

    def _next_end(self, data: bytes | bytearray, start: int) -> tuple[int, int]:
        """Return the first place where a head or a body may end: never are two ends parsed in one step.

        And how many chunks of a body there may be before it.
        """
        if not self._in_head:
            declared = next((value for name, value in self.headers if name == b"content-length"), None)
            if declared is not None:
                return start + int(declared) - self._body_bytes, 0
        for tail in _END_TAILS:
            if data.startswith(tail, start):
                return start + len(tail), 0
        found = data.find(_END, start, start + _MOST_STEP_BYTES)
        end = min(len(data), start + _MOST_STEP_BYTES) if found < 0 else found + len(_END)
        return (end, 0) if self._in_head else some_chunks(data, start, end, most=_MOST_STEP_CHUNKS)

    def _parse(self, data: bytes) -> bool:
        """Parse; refuse a head, a chunk's extension or trailers that go on and on. Return whether more is wanted."""
        self._undelivered_bytes += len(data)
        try:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade:
                # Behind the head that offered it, which is where this step ends.
                if self._is_handshake():
                    self._open_socket()
                    return False
                self._ignore_offer()
        except httptools.HttpParserError:
            self.logger.warning("Invalid HTTP request received.")
            self.send_400_response("")
        if self._in_head and self._undelivered_bytes and self._head_timer is None:
            # Most heads come whole, and need no clock.
            self._head_timer = self.loop.call_later(self.head_s, self._head_is_late)
        if self.transport.is_closing():
            self._delivered()
            return False
        has_too_many = self._in_head and len(self.headers or ()) > self.most_headers
        if has_too_many or self._undelivered_bytes > self.most_head_bytes:
            self._refuse(HeadTooLarge())
            return False
        return True

    def _is_handshake(self) -> bool:
        version = self.parser.get_http_version().encode()
        path = self.url.partition(b"?")[0]
        return self.ws_protocol_class is not None and is_handshake(
            self.parser.get_method(), version, path, self.headers, self.socket_paths
        )

    def _open_socket(self) -> None:
        """Hand the connection to uvicorn's WebSocket protocol; this one hears nothing more of it."""
        self._let_go()
        self._stop_head_clock()
        self.handle_websocket_upgrade()

    def _ignore_offer(self) -> None:
        """Parse a head again, without its offer: this parser would take no body of it."""
        version = self.parser.get_http_version().encode()
        head = head_without_offer(self.parser.get_method(), self.url, version, self.headers)
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.parser.feed_data(head)

    def on_headers_complete(self) -> None:
        """Hand a head to the application; trailers that follow the body do not become part of it."""
        size_bytes = len(self.url) + sum(map(len, chain.from_iterable(self.headers)))
        if size_bytes > self.most_head_bytes or len(self.headers) > self.most_headers:
            self._problem = HeadTooLarge()
            raise self._problem
        version = self.parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise InvalidRequest("the parser takes HTTP/0.9 and HTTP/2.0 as well")
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise InvalidRequest("no proxy is here")
            # `_parse` decides.
            self.scope["method"] = self.parser.get_method().decode()
            return
        if not self.url.startswith(b"/"):
            host = unnamed_host(self.url, [value for name, value in self.headers if name == b"host"])
            if host is not None:
                self.headers.append((b"host", host))
        self.scope["headers"] = self.headers.copy()
        super().on_headers_complete()
        if version == "1.0":
            # Its answers have no chunks, and nothing goes before them.
            self.cycle.__class__ = PlainCycle
            self.cycle.waiting_for_100_continue = False
        self._body_bytes = 0
        self._head_bytes = size_bytes if size_bytes > SMALL_HEAD_BYTES else 0
        self._in_head = False
        self._delivered()
        self._stop_head_clock()

    def on_body(self, body: bytes) -> None:
        """Hand on a piece of the body."""
        self._delivered()
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the request; what comes next is another head."""
        if self.parser.should_upgrade():
            return
        self._in_head = True
        self._delivered()
        super().on_message_complete()
        self._forget_head()

    def _delivered(self) -> None:
        self._undelivered_bytes = 0

    def _let_go(self) -> None:
        self._forget_requests()
        self._taken()

    def _forget_requests(self) -> None:
        self._delivered()
        self._unparsed = b""
        self._head_bytes = 0
        self._count_waiting()

    def _count_waiting(self) -> None:
        """Count what waits here among all that waits: at the bound this connection or another one makes room."""
        waiting_bytes = self._head_bytes + self._undelivered_bytes + len(self._unparsed)
        if waiting_bytes and self._waiting is None:
            self._waiting = HEADS.open(self._network(), self._refuse_crowd)
        if self._waiting is not None:
            self._waiting.hold(waiting_bytes)

    def _refuse_crowd(self) -> None:
        self._refuse(ServiceUnavailable("Too many large requests are arriving at once.", code=Code.OVERLOADED))

    # --- what goes out

    def resume_writing(self) -> None:
        """Serve the request that waited for this."""
        super().resume_writing()
        if self._unparsed:
            self._go_on()

    def on_response_complete(self) -> None:
        """End the response; if the connection ends with it, what is left is not waited for without end."""
        super().on_response_complete()
        self._forget_head()
        if self.transport.is_closing():
            self._watch_writing()
        elif self._unparsed:
            self._go_on()

    def _forget_head(self) -> None:
        """Let go of a large head, once its request is here to its end and answered: nothing reads it any more."""
        if self._head_bytes and self._in_head and self.cycle.response_complete:
            self.cycle, self.scope, self.headers, self.url = None, None, [], b""  # type: ignore[assignment]
            self._head_bytes = 0
            self._count_waiting()

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser refused, in the envelope."""
        del msg
        self._refuse(self._problem or InvalidRequest("This is no request of HTTP/1.1. Look at its first lines."))

    # --- the clocks

    def _stop_head_clock(self) -> None:
        timer, self._head_timer = self._head_timer, None
        if timer is not None:
            timer.cancel()

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
            if cycle.response_started or self._in_head:
                # An answer is under way, or due: another one would be read as part of it, or in its place.
                self.transport.abort()
                self._forget_requests()
                return
            # Its application still waits for the body; this is its answer.
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.write(written_refusal(error, self.server_state.default_headers))
        self.transport.close()
        self._forget_requests()
        self._watch_writing()
