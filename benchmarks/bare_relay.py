"""The least that a Python server can do for a stream: an ASGI application that passes bytes on.

python -m benchmarks.bare_relay PORT UPSTREAM_PORT

uvicorn with uvloop and httptools in front, an asyncio.Protocol with httptools behind, connections kept. No framework,
no authentication, no limits, no timeouts, no back-pressure, no log, no parsing of events: nobody could run it. It
tells what of the service's cost is the service.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import httptools
import uvicorn

__all__ = ["Relay"]

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

_STREAM_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]


class Upstream(asyncio.Protocol):
    """One connection to the upstream, one answer at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.is_over = False
        self._parser = httptools.HttpResponseParser(self)
        self._arrived: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        self.close()

    def on_body(self, data: bytes) -> None:
        self._arrived.append(data)

    def on_message_complete(self) -> None:
        self.is_over = True

    def ask(self, request: bytes) -> None:
        assert self.transport is not None
        self._parser = httptools.HttpResponseParser(self)
        self.is_over = False
        self.transport.write(request)

    async def take(self) -> bytes:
        """Return all that has arrived, waiting if nothing has; empty at the end."""
        if not self._arrived and not self.is_over:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        data = b"".join(self._arrived)
        self._arrived.clear()
        return data

    def close(self) -> None:
        self.is_over = True
        if self.transport is not None:
            self.transport.abort()
            self.transport = None
        self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.set_result(None)


class Relay:
    """The application."""

    def __init__(self, upstream_port: int) -> None:
        self._port = upstream_port
        self._kept: list[Upstream] = []

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        upstream = await self._connect()
        head = f"POST {scope['path']} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
        upstream.ask(head.encode() + body)
        watcher = asyncio.ensure_future(_watch(receive, upstream))
        await send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})
        while not upstream.is_over:
            data = await upstream.take()
            await send({"type": "http.response.body", "body": data, "more_body": not upstream.is_over})
        watcher.cancel()
        if upstream.transport is not None:
            self._kept.append(upstream)

    async def _connect(self) -> Upstream:
        while self._kept:
            kept = self._kept.pop()
            if kept.transport is not None:
                return kept
        _, upstream = await asyncio.get_running_loop().create_connection(Upstream, "127.0.0.1", self._port)
        return upstream


async def _watch(receive: Receive, upstream: Upstream) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
    upstream.close()


if __name__ == "__main__":
    uvicorn.run(
        Relay(int(sys.argv[2])),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        proxy_headers=False,
        log_level="error",
    )
