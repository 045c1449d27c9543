"""An httpx transport on asyncio.Protocol and httptools that can push a body into a sink as it is read.

httpx keeps the vocabulary: requests, responses, exceptions. Its own transport pulls: every read wakes a task, passes
several locks and generators, and every request and close scans the pool. Here the read callback parses and hands over
in one step (`PushStream.push`), or queues for an iterator (everything else). HTTP/1.1, one exchange at a time for each
connection. No redirects, proxies or decompression.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import deque
from functools import partial

import httpx

from apps.llm.providers.push_connection import Connection
from apps.llm.providers.push_stream import PushStream

__all__ = ["PushStream", "PushTransport"]

_KEPT_S = 30.0
"""How long an idle connection is kept: less than common load balancers do, so that it is we who close it."""
_STALE_S = 1.0
"""A kept connection that closes without a byte of an answer within this time was closed before the request came."""
_MOST_KEPT = 128
"""Idle connections to one origin; those that become idle past it are closed."""
_TARGET = re.compile(rb"[\x21-\x7e]+")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")

_Origin = tuple[bytes, str, int]
_Seconds = float | None


class PushTransport(httpx.AsyncBaseTransport):
    """HTTP/1.1 over TCP and TLS, with connections that are kept for a while. For one event loop; `aclose` it.

    httpx's timeouts are honoured: `connect` covers the name, TCP and TLS; `write` the sending of a request; `read` the
    wait for headers and each wait of an iterator. `pool` is not: at `max_connections` exchanges under way (None: no
    bound) a request fails at once with httpx.PoolTimeout, for whoever admits requests queues them, and nobody else.

    One thing is repeated: a request on a kept connection that turns out to be closed, before a byte of an answer, is
    sent once more on a new one.
    """

    def __init__(
        self,
        *,
        tls: ssl.SSLContext,
        max_connections: int | None = None,
        kept_s: float = _KEPT_S,
        stale_s: float = _STALE_S,
    ) -> None:
        self._tls = tls
        self._max_connections = max_connections
        self._kept_s = kept_s
        self._stale_s = stale_s
        self._busy: set[Connection] = set()
        self._idle: dict[_Origin, deque[Connection]] = {}
        self._expiry: asyncio.TimerHandle | None = None
        self._closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; return when its headers are there. The caller closes the response.

        Raises httpx.UnsupportedProtocol, LocalProtocolError, PoolTimeout, ConnectTimeout, ConnectError, WriteTimeout,
        WriteError, ReadTimeout, ReadError, RemoteProtocolError.
        """
        timeouts: dict[str, _Seconds] = request.extensions.get("timeout", {})
        origin, data = _origin(request.url), await _serialise(request)
        if self._closed:
            raise RuntimeError("the transport is closed")
        if self._max_connections is not None and len(self._busy) >= self._max_connections:
            raise httpx.PoolTimeout("as many exchanges are under way as may be")
        kept = self._take(origin)
        if kept is not None:
            sent_at_s = asyncio.get_running_loop().time()
            try:
                return await self._exchange(kept, data, timeouts)
            except (httpx.ReadError, httpx.RemoteProtocolError, httpx.WriteError):
                stale = asyncio.get_running_loop().time() - sent_at_s <= self._stale_s
                if kept.answered or not stale or self._closed:
                    raise
        return await self._exchange(await self._connect(origin, timeouts.get("connect")), data, timeouts)

    async def aclose(self) -> None:
        """Close every connection; exchanges under way fail."""
        self._closed = True
        if self._expiry is not None:
            self._expiry.cancel()
        for connection in (*self._busy, *(one for idle in self._idle.values() for one in idle)):
            connection.abort()

    async def _exchange(self, connection: Connection, data: bytes, timeouts: dict[str, _Seconds]) -> httpx.Response:
        try:
            return await connection.exchange(
                data, write_timeout_s=timeouts.get("write"), read_timeout_s=timeouts.get("read")
            )
        except BaseException:
            connection.abort()
            raise

    async def _connect(self, origin: _Origin, timeout_s: _Seconds) -> Connection:
        scheme, host, port = origin
        connection = Connection(on_free=partial(self._keep, origin), on_close=partial(self._forget, origin))
        self._busy.add(connection)
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.get_running_loop().create_connection(
                    lambda: connection, host, port, ssl=self._tls if scheme == b"https" else None
                )
        except BaseException as error:
            # After the handshake, asyncio's own clean-up waits for a goodbye.
            connection.abort()
            if isinstance(error, TimeoutError):
                raise httpx.ConnectTimeout("connecting took too long") from None
            if isinstance(error, OSError | UnicodeError):
                raise httpx.ConnectError(type(error).__name__) from None
            raise
        if self._closed:
            connection.abort()
            raise httpx.ConnectError("the transport was closed meanwhile")
        return connection

    # -- idle connections

    def _keep(self, origin: _Origin, connection: Connection) -> None:
        self._busy.discard(connection)
        idle = self._idle.setdefault(origin, deque())
        if len(idle) >= _MOST_KEPT:
            connection.abort()
            return
        loop = asyncio.get_running_loop()
        connection.idle_since_s = loop.time()
        idle.append(connection)
        if self._expiry is None:
            self._expiry = loop.call_later(self._kept_s, self._expire)

    def _take(self, origin: _Origin) -> Connection | None:
        idle = self._idle.get(origin)
        while idle:
            # The newest first: it is the least likely to be stale, and the oldest are left to expire.
            connection = idle.pop()
            if connection.is_silent():
                self._busy.add(connection)
                return connection
            connection.abort()
        return None

    def _forget(self, origin: _Origin, connection: Connection) -> None:
        self._busy.discard(connection)
        idle = self._idle.get(origin)
        if idle is not None and connection in idle:
            idle.remove(connection)

    def _expire(self) -> None:
        loop = asyncio.get_running_loop()
        kept_since_s = loop.time() - self._kept_s
        for idle in self._idle.values():
            while idle and idle[0].idle_since_s <= kept_since_s:
                idle[0].abort()
        next_s = min((idle[0].idle_since_s for idle in self._idle.values() if idle), default=None)
        self._expiry = None if next_s is None else loop.call_at(next_s + self._kept_s, self._expire)


def _origin(url: httpx.URL) -> _Origin:
    scheme = url.raw_scheme
    if scheme not in (b"http", b"https") or not url.raw_host:
        raise httpx.UnsupportedProtocol("only http and https, with a host")
    return scheme, url.raw_host.decode("ascii"), url.port or (443 if scheme == b"https" else 80)


async def _serialise(request: httpx.Request) -> bytes:
    """Write out a request. Raises httpx.LocalProtocolError, without quoting what is wrong: it may be a key."""
    content = await request.aread()
    if request.method in ("HEAD", "CONNECT") or "transfer-encoding" in request.headers or "upgrade" in request.headers:
        raise httpx.LocalProtocolError("a kind of request that this transport does not send")
    if request.headers.get("content-length", "0") != str(len(content)):
        raise httpx.LocalProtocolError("a body of another length than the headers say")
    method, target, fields = request.method.encode("ascii", "replace"), request.url.raw_path, request.headers.raw
    if not (_NAME.fullmatch(method) and _TARGET.fullmatch(target)):
        raise httpx.LocalProtocolError("a method or path that cannot be sent")
    if not all(_NAME.fullmatch(name) and _VALUE.fullmatch(value) for name, value in fields):
        raise httpx.LocalProtocolError("a header that cannot be sent")
    lines = (b"%b %b HTTP/1.1" % (method, target), *(b"%b: %b" % field for field in fields), b"", content)
    return b"\r\n".join(lines)
