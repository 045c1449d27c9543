"""Back-pressure under daphne, which takes whatever is sent and keeps it until its client reads it.

Twisted knows when a connection's buffer is full: it tells a producer, which is what a response registers here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

__all__ = ["paced"]

Send = Callable[[Mapping[str, Any]], Awaitable[None]]

_STUCK_S = 60.0
"""How long a client may take nothing; its connection is cut then, as under uvicorn."""


def paced(send: Send) -> Send:
    """Return a `send` that waits while its client does not read; the same one under any other server.

    Twisted's buffer holds 64 KiB and what was sent last.
    """
    request = send.args[0] if isinstance(send, partial) and send.args else None
    return send if not hasattr(request, "registerProducer") else _Pace(request, send).send


class _Pace:
    """What Twisted calls when the buffer of a connection is full, and when it is empty again."""

    def __init__(self, request: Any, send: Send) -> None:
        self._request = request
        self._send = send
        self._is_registered = False
        self._free = asyncio.Event()
        self._free.set()

    async def send(self, message: Mapping[str, Any]) -> None:
        """Send a message, after what was sent before has been taken."""
        has_more = message["type"] == "http.response.body" and message.get("more_body", False)
        # An answer in one piece is not worth it.
        if has_more and not self._is_registered and self._request.channel is not None:
            self._request.registerProducer(self, True)
            self._is_registered = True
        if not self._free.is_set():
            await self._wait()
        if self._is_registered and not has_more:
            self._is_registered = False
            if self._request.channel is not None:
                self._request.unregisterProducer()
        await self._send(message)

    async def _wait(self) -> None:
        # No `asyncio.timeout`: who sends need not be in a task.
        stuck = asyncio.get_running_loop().call_later(_STUCK_S, self._cut)
        try:
            await self._free.wait()
        finally:
            stuck.cancel()

    def _cut(self) -> None:
        if self._request.channel is not None:
            self._request.channel.forceAbortClient()
        self._free.set()

    def pauseProducing(self) -> None:
        """Hold back what is sent next."""
        self._free.clear()

    def resumeProducing(self) -> None:
        """Let it go."""
        self._free.set()

    def stopProducing(self) -> None:
        """Let it go: the connection is over, and daphne drops what is sent to it."""
        self._free.set()
