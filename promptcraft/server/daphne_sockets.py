"""daphne's WebSockets: a peer that breaks the protocol, or sends too much, is told so. Imported under daphne alone."""

from __future__ import annotations

import logging
import time
from typing import Any

from daphne import server, ws_protocol  # type: ignore[import-untyped,unused-ignore]

from apps.templates.sockets.frequency import Frequency
from promptcraft.server.frames import MOST_FRAMES_PER_S, MOST_STEP_BYTES

__all__ = ["guard_daphne_sockets"]

logger = logging.getLogger("promptcraft.websockets")


def guard_daphne_sockets() -> None:
    """Have daphne make its WebSockets of `_GuardedSocket`; call it before it listens."""
    server.WebSocketFactory = _GuardedFactory


class _GuardedSocket(ws_protocol.WebSocketProtocol):  # type: ignore[misc]
    def dataReceived(self, data: bytes) -> None:
        """Parse, unless this peer has sent what cannot be, or too much: what it still sends is dropped."""
        for start in range(0, len(data), MOST_STEP_BYTES):
            if not getattr(self, "failedByMe", False):
                super().dataReceived(data[start : start + MOST_STEP_BYTES])

    def onConnect(self, request: Any) -> Any:
        """Begin to count."""
        self._frames = Frequency(MOST_FRAMES_PER_S)
        return super().onConnect(request)

    def onPing(self, payload: bytes) -> None:
        """Answer."""
        if self._may_send_more():
            super().onPing(payload)

    def onPong(self, payload: bytes) -> None:
        """Learn that the peer is there."""
        if self._may_send_more():
            super().onPong(payload)

    def onMessageBegin(self, isBinary: bool) -> None:
        """Begin a message."""
        self._may_send_more()
        super().onMessageBegin(isBinary)

    def _may_send_more(self) -> bool:
        if not self._frames.has_room(time.monotonic()):
            self._fail_connection(1008, "too many messages")
        return not self.failedByMe

    def _fail_connection(self, code: int = 1001, reason: str = "") -> None:
        if not self.failedByMe:
            logger.info("A WebSocket was closed with %d: its peer broke the protocol.", code)
            super()._fail_connection(code, reason)

    # Whether nothing more of what has come is to be parsed: a second fault would cut the connection.

    def _protocol_violation(self, reason: str) -> bool:
        super()._protocol_violation(reason)
        return True

    def _invalid_payload(self, reason: str) -> bool:
        super()._invalid_payload(reason)
        return True


class _GuardedFactory(ws_protocol.WebSocketFactory):  # type: ignore[misc]
    protocol = _GuardedSocket

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # autobahn would cut the connection without a word. It does so a second after the close frame.
        self.setProtocolOptions(failByDrop=False)
