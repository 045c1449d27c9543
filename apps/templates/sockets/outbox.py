"""The way out of a socket: one message at a time, each waited for until the server has taken it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from apps.chat.begun import begin
from apps.chat.engine.reader import STUCK_AFTER_S
from promptcraft.websocket import send_close

__all__ = ["Outbox", "PeerGone"]

Send = Callable[[Mapping[str, Any]], Awaitable[None]]


class PeerGone(Exception):
    """Nothing can be sent any more."""


class Outbox:
    """Sends messages one after the other; it holds none but those that its callers wait with.

    A peer that takes nothing keeps its senders waiting, and with them whatever would make more to send. After 60 s of
    that `on_stuck` is called. Its methods may be begun outside any task (`apps.chat.begun`).
    """

    __slots__ = ("_lock", "_on_stuck", "_send", "closed")

    def __init__(self, send: Send, on_stuck: Callable[[], None]) -> None:
        self._send = send
        self._on_stuck = on_stuck
        self._lock = asyncio.Lock()
        self.closed = False

    async def send(self, text: str) -> None:
        """Send a message. Raises PeerGone."""
        await self._pass(lambda: self._send({"type": "websocket.send", "text": text}))

    async def close(self, code: int) -> None:
        """Send the close frame, behind what is on its way; nothing can be sent after it. Safe to call again."""
        if not self.closed:
            try:
                await self._pass(lambda: send_close(self._send, code))
            except PeerGone:
                pass
            self.closed = True

    async def _pass(self, sending: Callable[[], Awaitable[None]]) -> None:
        async with self._lock:
            if self.closed:
                raise PeerGone
            try:
                rest = begin(sending())
                if rest is None:
                    return
                clock = asyncio.get_running_loop().call_later(STUCK_AFTER_S, self._on_stuck)
                try:
                    await rest
                finally:
                    clock.cancel()
            except Exception:
                # Each server has an exception of its own for a peer that has left.
                self.closed = True
                raise PeerGone from None
