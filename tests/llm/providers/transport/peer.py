"""A server on loopback whose every byte is a script's: one coroutine for each connection it accepts."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from typing import Self

from tests.waiting import HANG_S

__all__ = ["Peer", "Script", "Server", "answering", "turns"]

_HUNG_UP = (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError)

Script = Callable[["Peer"], Awaitable[None]]


class Peer:
    """One accepted connection, as its script sees it."""

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number = number
        """1 for the first connection of its server."""
        self.requests: list[bytes] = []
        self.left = asyncio.Event()
        """Set when the client has closed."""
        self.reader = reader
        self.writer = writer

    async def request(self) -> bytes:
        """Read one whole request."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        whole = head + await self.reader.readexactly(length)
        self.requests.append(whole)
        return whole

    async def send(self, *writes: bytes) -> None:
        """Write, one piece after the other, and wait until they are on their way."""
        for data in writes:
            self.writer.write(data)
            await self.writer.drain()
            await asyncio.sleep(0)

    async def gone(self) -> None:
        """Wait until the client has closed."""
        await self.left.wait() if self.left.is_set() else await self._read_on()

    def close(self) -> None:
        """Send FIN; over TLS, its close_notify first."""
        self.writer.close()

    def cut(self) -> None:
        """Send FIN; over TLS, without its close_notify."""
        self.writer.transport.abort()

    def reset(self) -> None:
        """Send RST."""
        accepted = self.writer.get_extra_info("socket")
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def _read_on(self) -> None:
        while await self.reader.read(65536):
            pass
        raise ConnectionResetError


class Server:
    """Runs `script` for each connection until it returns, then closes; a client that hangs up ends it quietly.

    `async with` starts and stops it, and bounds the time inside. `errors` of scripts are raised at the end.
    """

    def __init__(self, script: Script, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.peers: list[Peer] = []
        self._script = script
        self._tls = tls
        self._host = host
        self._tasks: dict[asyncio.Task[None], Peer] = {}
        self._errors: list[BaseException] = []
        self._accepted = asyncio.Event()
        self._deadline = asyncio.timeout(HANG_S)

    def url(self, path: str = "/", host: str | None = None) -> str:
        """Return the address of a path."""
        name = host or (f"[{self._host}]" if ":" in self._host else self._host)
        return f"{'http' if self._tls is None else 'https'}://{name}:{self.port}{path}"

    @property
    def requests(self) -> list[bytes]:
        """All requests, connection by connection."""
        return [request for peer in self.peers for request in peer.requests]

    async def ended(self, peer: Peer) -> None:
        """Wait until a connection's script has ended, and what it did last has reached this process."""
        tasks = [task for task, one in self._tasks.items() if one is peer]
        if tasks:
            await asyncio.wait(tasks)
        await turns()

    async def accepted(self, count: int = 1) -> Peer:
        """Wait for so many connections and return the last of them."""
        while len(self.peers) < count:
            self._accepted.clear()
            await self._accepted.wait()
        return self.peers[count - 1]

    async def __aenter__(self) -> Self:
        await self._deadline.__aenter__()
        self._server = await asyncio.start_server(self._connected, self._host, 0, ssl=self._tls, backlog=512)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *raised: object) -> None:
        # asyncio forgets a connection that is being accepted when its server closes.
        await turns()
        self._server.close()
        for task, peer in tuple(self._tasks.items()):
            peer.writer.transport.abort()
            task.cancel()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks))
        await self._server.wait_closed()
        await self._deadline.__aexit__(*raised)  # type: ignore[arg-type]
        if raised[0] is None and self._errors:
            raise self._errors[0]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        peer = Peer(len(self.peers) + 1, reader, writer)
        self.peers.append(peer)
        self._accepted.set()
        self._tasks[task] = peer
        try:
            await self._script(peer)
        except _HUNG_UP:
            peer.left.set()
        except asyncio.CancelledError:
            pass
        except Exception as error:
            self._errors.append(error)
        finally:
            writer.close()
            del self._tasks[task]


async def turns(count: int = 10) -> None:
    """Let the loop, which carries both ends, turn so many times: what was sent is received meanwhile."""
    for _ in range(count):
        await asyncio.sleep(0)


def answering(*writes: bytes) -> Script:
    """Return a script that answers every request with these writes."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(*writes)

    return script
