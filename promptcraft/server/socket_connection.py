"""uvicorn's WebSocket protocol with the bounds that `promptcraft.server.connection` gives its HTTP.

By itself it keeps any number of empty fragments, takes any number of pings, answers a peer that reads nothing, holds a
stuck connection for as long as the peer likes, leaves a handshake that it cannot read without an answer, lets a peer
write tracebacks, and cuts one that sent too much before it can have read why.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from functools import partial
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from apps.accounts.addresses import network_of_headers
from apps.chat.envelope import envelope
from apps.core.memory_shares import HeldMemory
from apps.llm.errors import HeadTooLarge, InternalError, InvalidRequest, PromptCraftError
from apps.llm.wire import json
from apps.templates.sockets.frequency import Frequency
from apps.templates.sockets.messages import MAX_MESSAGE_BYTES
from promptcraft.server.connection import HEADS, SMALL_HEAD_BYTES
from promptcraft.server.frames import MOST_FRAMES_PER_S, MOST_STEP_BYTES
from promptcraft.server.uvicorn_program import uvicorn_config

__all__ = ["GuardedSocketProtocol", "guard_uvicorn_sockets"]

logger = logging.getLogger("promptcraft.websockets")
# Its lines of information carry query strings, in which somebody may have put a token.
_quiet = logging.getLogger("uvicorn.websockets")
_quiet.setLevel(logging.WARNING)


def guard_uvicorn_sockets() -> None:
    """Have the uvicorn that runs this process speak WebSocket through `GuardedSocketProtocol`; before it listens.

    Any other server, and a uvicorn that was told to use another implementation, is left alone.
    """
    config = uvicorn_config()
    if getattr(config, "ws_protocol_class", None) is WebSocketsSansIOProtocol:
        config.ws_protocol_class = GuardedSocketProtocol
        config.ws_max_size = MAX_MESSAGE_BYTES
        # Some 20 KB for each connection, for messages of some hundred bytes.
        config.ws_per_message_deflate = False


class GuardedSocketProtocol(WebSocketsSansIOProtocol):
    """One connection. A peer that takes nothing of what was written to it for `stuck_s` is cut."""

    most_fragments = 1024
    stuck_s = 60.0
    """To bring a full write buffer (64 KiB) down to a quarter."""
    pause_s = 0.25
    """A peer that broke the protocol is hung up on once it has sent nothing for so long, so that it can read why."""
    most_pauses = 10
    """Waited for at the most; what it still sends is dropped."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = _quiet
        self.conn = _Connection(max_size=self.config.ws_max_size, logger=_quiet)
        self._broken = self._still_sends = False
        self._frames = Frequency(MOST_FRAMES_PER_S)
        self._stuck_timer: asyncio.TimerHandle | None = None
        self._head: HeldMemory | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take over from the protocol that read the handshake."""
        super().connection_made(transport)
        before: Any = self.transport.get_protocol()
        # It and its parser keep each other in memory; nobody else ends that.
        before.parser = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock, and end what keeps this connection in memory."""
        self._stop_clock()
        if self._head is not None:
            self._head.close()
        super().connection_lost(exc)
        self.conn.parser.close()

    def data_received(self, data: bytes) -> None:
        """Parse, unless this peer has sent what cannot be, or too much."""
        for start in range(0, len(data), MOST_STEP_BYTES):
            if self._broken:
                self._still_sends = True
                return
            super().data_received(data[start : start + MOST_STEP_BYTES])
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self._broken = self.handshake_complete = self.close_sent = True
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()

    def handle_connect(self, event: Request) -> None:
        """Begin; a large head is counted to the end of the socket, which keeps it, and cut if it has to make room."""
        super().handle_connect(event)
        # A second copy of it.
        del self.request
        head_bytes = len(event.path) + sum(len(name) + len(value) for name, value in event.headers.raw_items())
        if head_bytes > SMALL_HEAD_BYTES and not self.transport.is_closing():
            self._head = HEADS.open(
                network_of_headers(self.client[0] if self.client else "", self.scope["headers"]), self.transport.abort
            )
            self._head.hold(head_bytes)

    async def send(self, message: Any) -> None:
        """Send a message of ASGI's; a handshake that is refused is over, and no fault of the application."""
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            self.handshake_complete = True

    def handle_cont(self, event: Frame) -> None:
        """Add a fragment to the message that is arriving; empty ones have no size to be bounded by."""
        if len(self.frames) < self.most_fragments:
            super().handle_cont(event)
        elif not self._broken:
            self.conn.fail(CloseCode.MESSAGE_TOO_BIG, "too many fragments")
            self.handle_parser_exception()

    def handle_text(self, event: Frame) -> None:
        """Begin a message."""
        if self._may_send_more():
            super().handle_text(event)

    def handle_bytes(self, event: Frame) -> None:
        """Begin a message."""
        if self._may_send_more():
            super().handle_bytes(event)

    def send_receive_event_to_app(self) -> None:
        """Hand a whole message on; a text that is no UTF-8 breaks the protocol."""
        data, self.frames = b"".join(self.frames), []
        if self.close_sent:
            return
        try:
            if self.curr_msg_data_type == "text":
                self.queue.put_nowait({"type": "websocket.receive", "text": data.decode()})
            else:
                self.queue.put_nowait({"type": "websocket.receive", "bytes": data})
        except UnicodeDecodeError:
            self.conn.fail(CloseCode.INVALID_DATA, "no UTF-8")
            self.handle_parser_exception()
            return
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def handle_ping(self) -> None:
        """Answer, unless the peer does not take the answers."""
        if self._may_send_more() and self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()

    def handle_pong(self, event: Frame) -> None:
        """Learn that the peer is there."""
        if self._may_send_more():
            super().handle_pong(event)

    def _may_send_more(self) -> bool:
        if self._broken:
            return False
        if self._frames.has_room(self.loop.time()):
            return True
        self.conn.fail(CloseCode.POLICY_VIOLATION, "too many messages")
        self.handle_parser_exception()
        return False

    def handle_parser_exception(self) -> None:
        """Say why and hang up, but not before the peer can have read it: a close with bytes unread is a reset."""
        self._broken = True
        closed = self.conn.close_sent
        code, reason = (1002, "") if closed is None else (closed.code, closed.reason)
        logger.info("A WebSocket was closed with %d: its peer broke the protocol.", code)
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self._hang_up(self.most_pauses)

    def _hang_up(self, pauses: int, *, first: bool = True) -> None:
        if pauses and (first or self._still_sends):
            self._still_sends = False
            again = partial(self._hang_up, pauses - 1, first=False)
            self.close_timer = self.loop.call_later(self.pause_s, again)
        else:
            self.transport.close()

    def pause_writing(self) -> None:
        """Start the clock of a peer that has stopped taking."""
        super().pause_writing()
        if self._stuck_timer is None:
            self._stuck_timer = self.loop.call_later(self.stuck_s, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop it."""
        super().resume_writing()
        self._stop_clock()

    def _stop_clock(self) -> None:
        timer, self._stuck_timer = self._stuck_timer, None
        if timer is not None:
            timer.cancel()


class _Connection(ServerProtocol):
    """The state of one connection; what it says to a bad handshake is our envelope."""

    def reject(self, status: int, text: str) -> Response:
        """Return the answer to a handshake that is refused before the application sees it."""
        response = super().reject(status, text)
        request_id = f"req_{secrets.token_hex(12)}"
        response.body = json.dumps(envelope(_error_of(response.status_code), request_id))
        del response.headers["Content-Length"], response.headers["Content-Type"]
        response.headers["Content-Length"] = str(len(response.body))
        response.headers["Content-Type"] = "application/json"
        response.headers["X-Request-Id"] = request_id
        return response


def _error_of(status: int) -> PromptCraftError:
    if status in (HTTPStatus.REQUEST_URI_TOO_LONG, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE):
        return HeadTooLarge()
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return InternalError()
    return InvalidRequest("This is no handshake of a WebSocket. Let a library do it.")
