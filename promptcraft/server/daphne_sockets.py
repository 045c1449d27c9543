"""daphne's WebSockets: a peer that breaks the protocol is told so. Imported under daphne alone."""

from __future__ import annotations

import logging
from typing import Any

from daphne import server, ws_protocol  # type: ignore[import-untyped,unused-ignore]

__all__ = ["guard_daphne_sockets"]

logger = logging.getLogger("promptcraft.websockets")


def guard_daphne_sockets() -> None:
    """Have daphne make its WebSockets of `_GuardedSocket`; call it before it listens."""
    server.WebSocketFactory = _GuardedFactory


class _GuardedSocket(ws_protocol.WebSocketProtocol):  # type: ignore[misc]
    def dataReceived(self, data: bytes) -> None:
        """Parse, unless this peer has sent what cannot be: what it still sends is dropped."""
        if not getattr(self, "failedByMe", False):
            super().dataReceived(data)

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
