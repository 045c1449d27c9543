"""uvicorn's HTTP protocol, but that what a peer does not take is bounded, in bytes and in time."""

from __future__ import annotations

import asyncio
import socket

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from apps.accounts.addresses import network_of_headers
from apps.core.memory_shares import HeldMemory, SharedMemory

__all__ = ["UNTAKEN", "WatchedWriting"]

UNTAKEN = SharedMemory(most_bytes=256 * 1024 * 1024)
"""Of answers: write buffers over their mark, and large parts until they are written. One that makes room is cut."""


class WatchedWriting(HttpToolsProtocol):
    """One connection. A peer that takes nothing of what was written to it for `stuck_s` is cut, its buffer dropped."""

    __slots__ = ("_stuck_timer", "_untaken")

    stuck_s = 60.0
    """To bring a full write buffer (64 KiB) down to a quarter, or to take the last of it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin."""
        super().connection_made(transport)
        self._untaken: HeldMemory | None = None
        self._stuck_timer: asyncio.TimerHandle | None = None
        if self.client is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            # A peer that is gone without a word is noticed by what it does not acknowledge.
            plain_socket = transport.get_extra_info("socket")
            plain_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(self.stuck_s * 1000))

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock, and let go of what is held."""
        self._taken()
        self._stop_stuck_clock()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Start the clock of a peer that has stopped taking."""
        super().pause_writing()
        self._watch_writing()
        if self._untaken is None:
            self._untaken = UNTAKEN.open(self._network(), self.transport.abort)
        self._untaken.hold(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """Stop it."""
        super().resume_writing()
        self._taken()
        self._stop_stuck_clock()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, its last answer taken or not."""
        super().timeout_keep_alive_handler()
        self._watch_writing()

    def _network(self) -> str:
        """Return on whose account this connection is."""
        return network_of_headers(self.client[0] if self.client else "", self.headers or ())

    def _taken(self) -> None:
        if self._untaken is not None:
            self._untaken.close()
            self._untaken = None

    def _watch_writing(self) -> None:
        if self._stuck_timer is None:
            self._stuck_timer = self.loop.call_later(self.stuck_s, self._is_stuck)

    def _stop_stuck_clock(self) -> None:
        timer, self._stuck_timer = self._stuck_timer, None
        if timer is not None:
            timer.cancel()

    def _is_stuck(self) -> None:
        self._stuck_timer = None
        self.transport.abort()
