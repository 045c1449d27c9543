"""`GuardedProtocol` on a loopback port of its own, in the running loop, in front of an application of the test's."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from promptcraft.server import connection
from promptcraft.server.connection import GuardedProtocol
from promptcraft.server.socket_connection import GuardedSocketProtocol
from promptcraft.server.writing import UNTAKEN
from tests.waiting import HANG_S

__all__ = ["CONFIG", "Client", "Served", "Wire", "serving"]

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_SMALL_BUFFER_BYTES = 4096


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """Be an application by its arguments; what a test serves is given to `serving`."""


CONFIG = uvicorn.Config(_nothing, http=GuardedProtocol, log_config=None, lifespan="off", interface="asgi3")
CONFIG.load()


class Wire(asyncio.Transport):
    """A transport that keeps what is written, and nothing else of a connection."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Client:
    """A peer that says and takes exactly what it is told to. No read waits for more than a minute."""

    def __init__(self, plain_socket: socket.socket) -> None:
        self._socket = plain_socket
        self._loop = asyncio.get_running_loop()

    async def send(self, data: bytes) -> None:
        """Send; raises ConnectionError once the server has cut the connection."""
        async with asyncio.timeout(HANG_S):
            await self._loop.sock_sendall(self._socket, data)

    def close(self) -> None:
        """Leave."""
        self._socket.close()

    async def flood(self, piece: bytes, most_bytes: int) -> int:
        """Send a piece again and again until the server cuts the connection; return how many bytes went."""
        sent_bytes = 0
        try:
            while sent_bytes < most_bytes:
                await self.send(piece)
                sent_bytes += len(piece)
        except ConnectionError:
            return sent_bytes
        raise AssertionError("it was never cut")

    async def rest(self) -> bytes:
        """Return all that comes until the end, a reset being one."""
        received = b""
        async with asyncio.timeout(HANG_S):
            try:
                while data := await self._loop.sock_recv(self._socket, 65_536):
                    received += data
            except ConnectionError:
                pass
        return received

    async def until(self, mark: bytes) -> bytes:
        """Return what comes up to a mark and whatever came with it."""
        received = b""
        async with asyncio.timeout(HANG_S):
            while mark not in received:
                data = await self._loop.sock_recv(self._socket, 65_536)
                assert data, received
                received += data
        return received

    async def take(self, size_bytes: int, pause_s: float) -> bytes:
        """Return so many bytes and then do nothing for a while."""
        received = b""
        async with asyncio.timeout(HANG_S):
            while len(received) < size_bytes:
                data = await self._loop.sock_recv(self._socket, size_bytes - len(received))
                assert data, "it was cut"
                received += data
        # The slowness of a peer is what is tested here.
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), pause_s)
        return received

    async def drip(self, data: bytes, pause_s: float) -> bytes:
        """Send byte after byte with pauses until an answer comes or the end does; return all of it."""
        for index in range(len(data)):
            answer = asyncio.ensure_future(self._loop.sock_recv(self._socket, 65_536))
            try:
                await self.send(data[index : index + 1])
                return await asyncio.wait_for(answer, pause_s) + await self.rest()
            except TimeoutError:
                continue
            except ConnectionError:
                return b""
            finally:
                answer.cancel()
        raise AssertionError("it was never cut")


@dataclass(frozen=True)
class Served:
    """Where it listens and what it holds."""

    port: int
    state: ServerState
    accepted: list[Any]
    """Every connection so far."""

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """Connect, with a receive buffer so small that what is not read is soon felt."""
        plain_socket = socket.socket()
        plain_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER_BYTES)
        plain_socket.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(plain_socket, ("127.0.0.1", self.port))
            yield Client(plain_socket)
        finally:
            plain_socket.close()

    async def wait_gone(self, left: int = 0) -> None:
        """Wait until there was a connection, and so many of them and their tasks are left."""
        await self._wait(
            lambda: (
                bool(self.accepted)
                and self.accepted[-1].transport is not None
                and len(self.state.connections) == len(self.state.tasks) == left
            )
        )

    async def wait_untaken(self, size_bytes: int) -> None:
        """Wait until at least so many bytes of answers are held that their peers have not taken."""
        await self._wait(lambda: UNTAKEN.held_bytes >= size_bytes)

    async def wait_paused(self, count: int = 1) -> None:
        """Wait until so many connections have a full write buffer."""
        await self._wait(lambda: sum(one.flow.write_paused for one in self.accepted if one.flow is not None) >= count)

    async def wait_held(self, size_bytes: int) -> None:
        """Wait until the connections hold so many bytes of heads, or of what frames a body."""
        await self._wait(lambda: connection.HEADS.held_bytes == size_bytes)

    async def wait_kept(self, size_bytes: int) -> None:
        """Wait until the last connection keeps so many bytes of requests whose turn has not come."""
        await self._wait(lambda: len(getattr(self.accepted[-1], "_unparsed", b"")) == size_bytes)

    async def wait_stopped(self) -> None:
        """Wait until nothing is read of the last connection, of which enough waits."""
        await self._wait(lambda: getattr(self.accepted[-1], "_reading_stopped", False))

    async def wait_begun(self) -> None:
        """Wait until the application has a request."""
        await self._wait(lambda: bool(self.state.tasks))

    async def wait_answered(self, count: int = 1) -> None:
        """Wait until so many requests were answered whole."""
        await self._wait(lambda: self.state.total_requests >= count)

    async def _wait(self, come: Callable[[], bool]) -> None:
        async with asyncio.timeout(HANG_S):
            while not come():  # noqa: ASYNC110 - the server keeps counts and tells nobody
                await asyncio.sleep(0)


@asynccontextmanager
async def serving(application: Application, *, timeout_keep_alive_s: float = 5, **bounds: Any) -> AsyncIterator[Served]:
    """Serve an application; `bounds` are attributes of the protocol."""
    protocol: Any = type("HastyProtocol", (GuardedProtocol,), bounds)
    config = uvicorn.Config(application, http=protocol, ws=GuardedSocketProtocol, log_config=None, lifespan="off")
    config.load()
    config.timeout_keep_alive = timeout_keep_alive_s  # type: ignore[assignment]  # seconds may be fractions
    state = ServerState()
    loop = asyncio.get_running_loop()
    listener = socket.socket()
    # What a peer does not take is to stay with the server, not in the kernel.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SMALL_BUFFER_BYTES)
    listener.bind(("127.0.0.1", 0))
    accepted: list[Any] = []

    def accept() -> Any:
        accepted.append(protocol(config, state, {}, loop))
        return accepted[-1]

    server = await loop.create_server(accept, sock=listener)
    try:
        yield Served(listener.getsockname()[1], state, accepted)
    finally:
        server.close()
        for connection in tuple(state.connections):
            connection.transport.abort()
        if state.tasks:
            await asyncio.wait(tuple(state.tasks), timeout=HANG_S)
