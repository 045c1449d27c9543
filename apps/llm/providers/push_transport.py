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
from collections.abc import Mapping
from functools import partial

import httpx

from apps.llm.providers.push_connection import Connection, Origin
from apps.llm.providers.push_dial import addresses_of, first_to_connect
from apps.llm.providers.push_stream import PushResponse, PushStream

__all__ = ["Endpoint", "PushStream", "PushTransport"]

_KEPT_S = 30.0
"""How long an idle connection is kept: less than common load balancers do, so that it is we who close it."""
_STALE_S = 1.0
"""A kept connection that closes without a byte of an answer within this time was closed before the request came."""
_MOST_KEPT = 128
"""Idle connections to one origin; those that become idle past it are closed."""
_TARGET = re.compile(rb"[\x21-\x7e]+")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")

Timeouts = Mapping[str, float | None]
"""As httpx has them in a request's extensions, in seconds."""


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
        self._idle: dict[Origin, deque[Connection]] = {}
        self._expiry: asyncio.TimerHandle | None = None
        self._closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; return when its headers are there. The caller closes the response.

        Raises httpx.UnsupportedProtocol, LocalProtocolError, PoolTimeout, ConnectTimeout, ConnectError, WriteTimeout,
        WriteError, ReadTimeout, ReadError, RemoteProtocolError.
        """
        content = await request.aread()
        if request.headers.get("content-length", "0") != str(len(content)):
            raise httpx.LocalProtocolError("a body of another length than the headers say")
        return (await self.endpoint(request).send(content)).as_httpx()

    def endpoint(self, request: httpx.Request) -> Endpoint:
        """Return where requests like this one go with other bodies. Raises UnsupportedProtocol, LocalProtocolError."""
        return Endpoint(self, request)

    async def exchange(self, origin: Origin, data: bytes, timeouts: Timeouts) -> PushResponse:
        """Send a request that is written out already; raises what `handle_async_request` does."""
        if self._closed:
            raise httpx.ConnectError("the transport is closed")
        if self._max_connections is not None and len(self._busy) >= self._max_connections:
            raise httpx.PoolTimeout("as many exchanges are under way as may be")
        kept = self._take(origin)
        if kept is not None:
            sent_at_s = asyncio.get_running_loop().time()
            try:
                return await _exchange(kept, data, timeouts)
            except (httpx.ReadError, httpx.RemoteProtocolError, httpx.WriteError):
                stale = asyncio.get_running_loop().time() - sent_at_s <= self._stale_s
                if kept.answered or not stale or self._closed:
                    raise
        return await _exchange(await self._connect(origin, timeouts.get("connect")), data, timeouts)

    async def aclose(self) -> None:
        """Close every connection, without waiting; exchanges under way fail, and so do later ones."""
        self._closed = True
        if self._expiry is not None:
            self._expiry.cancel()
        for connection in (*self._busy, *(one for idle in self._idle.values() for one in idle)):
            connection.abort()

    async def _connect(self, origin: Origin, timeout_s: float | None) -> Connection:
        try:
            async with asyncio.timeout(timeout_s):
                addresses = await addresses_of(origin[1], origin[2])
                connection = await first_to_connect(addresses, partial(self._open, origin), Connection.abort)
        except TimeoutError:
            raise httpx.ConnectTimeout("connecting took too long") from None
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError(type(error).__name__) from None
        if self._closed:
            connection.abort()
            raise httpx.ConnectError("the transport was closed meanwhile")
        return connection

    async def _open(self, origin: Origin, address: str) -> Connection:
        scheme, host, port = origin
        secure = scheme == b"https"
        connection = Connection(self, origin)
        self._busy.add(connection)
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: connection,
                address,
                port,
                ssl=self._tls if secure else None,
                server_hostname=host if secure else None,
            )
        except BaseException:
            # The loop's own clean-up would wait for a goodbye once TLS is established.
            connection.abort()
            raise
        return connection

    # -- idle connections

    def keep(self, connection: Connection) -> None:
        """Take a connection that is free for another exchange; close it if there are enough."""
        self._busy.discard(connection)
        idle = self._idle.setdefault(connection.origin, deque())
        if len(idle) >= _MOST_KEPT:
            connection.abort()
            return
        loop = asyncio.get_running_loop()
        connection.idle_since_s = loop.time()
        idle.append(connection)
        if self._expiry is None:
            self._expiry = loop.call_later(self._kept_s, self._expire)

    def _take(self, origin: Origin) -> Connection | None:
        idle = self._idle.get(origin)
        while idle:
            # The newest first: it is the least likely to be stale, and the oldest are left to expire.
            connection = idle.pop()
            if connection.is_silent():
                self._busy.add(connection)
                return connection
            connection.abort()
        return None

    def forget(self, connection: Connection) -> None:
        """Learn that a connection has closed."""
        self._busy.discard(connection)
        idle = self._idle.get(connection.origin)
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


class Endpoint:
    """Where requests go that differ in their bodies alone: whatever else they are made of is checked and written once.

    It shows nothing that is secret. It ends with its transport.
    """

    def __init__(self, transport: PushTransport, request: httpx.Request) -> None:
        self._transport = transport
        self._origin = _origin(request.url)
        self._head = _head(request)
        self._has_body = "content-length" in request.headers
        self._timeouts: Timeouts = request.extensions.get("timeout", {})

    async def send(self, content: bytes) -> PushResponse:
        """Send the request with this body; raises what `PushTransport.handle_async_request` does."""
        size = b"Content-Length: %d\r\n" % len(content) if self._has_body else b""
        data = b"%b%b\r\n%b" % (self._head, size, content)
        # One copy of it is kept until the answer begins.
        del content
        return await self._transport.exchange(self._origin, data, self._timeouts)


async def _exchange(connection: Connection, data: bytes, timeouts: Timeouts) -> PushResponse:
    try:
        return await connection.exchange(
            data, write_timeout_s=timeouts.get("write"), read_timeout_s=timeouts.get("read")
        )
    except BaseException:
        connection.abort()
        raise


def _origin(url: httpx.URL) -> Origin:
    scheme = url.raw_scheme
    if scheme not in (b"http", b"https") or not url.raw_host:
        raise httpx.UnsupportedProtocol("only http and https, with a host")
    return scheme, url.raw_host.decode("ascii"), url.port or (443 if scheme == b"https" else 80)


def _head(request: httpx.Request) -> bytes:
    """Write out the head but for the length. Raises httpx.LocalProtocolError, which quotes nothing: it may be a key."""
    if request.method in ("HEAD", "CONNECT") or "transfer-encoding" in request.headers or "upgrade" in request.headers:
        raise httpx.LocalProtocolError("a kind of request that this transport does not send")
    method, target, fields = request.method.encode("ascii", "replace"), request.url.raw_path, request.headers.raw
    if not (_NAME.fullmatch(method) and _TARGET.fullmatch(target)):
        raise httpx.LocalProtocolError("a method or path that cannot be sent")
    if not all(_NAME.fullmatch(name) and _VALUE.fullmatch(value) for name, value in fields):
        raise httpx.LocalProtocolError("a header that cannot be sent")
    lines = [b"%b: %b\r\n" % field for field in fields if field[0].lower() != b"content-length"]
    return b"%b %b HTTP/1.1\r\n%b" % (method, target, b"".join(lines))
