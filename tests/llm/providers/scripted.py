"""A raw HTTP/1.1 server on loopback that answers every request with the same bytes and notes when its peer left."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

from apps.llm.providers import push_transport

__all__ = ["Received", "ScriptedUpstream", "Then", "chunked", "response"]

Then = Literal["close", "hold", "reset"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request as it arrived."""

    line: str
    headers: dict[str, str]
    body: bytes


def response(
    status: int = 200,
    body: bytes = b"",
    content_type: str | None = "text/event-stream",
    *,
    length: bool = True,
    **headers: str,
) -> bytes:
    """Write a whole answer; without a length its body ends with the connection."""
    lines = [f"HTTP/1.1 {status} Whatever"]
    if content_type is not None:
        lines.append(f"Content-Type: {content_type}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked(*pieces: bytes, content_type: str = "text/event-stream", end: bool = True) -> bytes:
    """Write an answer in chunked encoding, one chunk for each piece."""
    head = response(200, content_type=content_type, length=False, Transfer_Encoding="chunked")
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return head + chunks + (b"0\r\n\r\n" if end else b"")


class ScriptedUpstream:
    """Answers with `writes`, then closes, resets, or holds the connection for the next request or its peer's end.

    `async with` starts and stops it.
    """

    def __init__(self, *writes: bytes, then: Then = "hold") -> None:
        self.writes: Sequence[bytes] = writes
        self.then = then
        self.received: list[Received] = []
        self.connections = 0
        self.requested = asyncio.Event()
        self.hung_up = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []

    @property
    def base_url(self) -> str:
        port = self._server.sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}/v1"

    async def seen(self, requests: int) -> None:
        """Wait until so many requests have come."""
        if len(self.received) < requests:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append((requests, waiter))
            await waiter

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, backlog=256)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._writers.append(writer)
        self.connections += 1
        try:
            while True:
                self._note(await _read_request(reader))
                for data in self.writes:
                    writer.write(data)
                    await writer.drain()
                if self.then == "reset":
                    writer.transport.abort()
                if self.then != "hold":
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            self.hung_up.set()
        finally:
            writer.close()

    async def wait_hung_up(self) -> None:
        """Wait until a peer has left, by itself: an idle connection is closed soon after, whatever it is."""
        async with asyncio.timeout(push_transport._KEPT_S / 2):
            await self.hung_up.wait()

    def _note(self, received: Received) -> None:
        self.received.append(received)
        self.requested.set()
        for count, waiter in self._waiters:
            if len(self.received) >= count and not waiter.done():
                waiter.set_result(None)


async def _read_request(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *fields = head.rstrip("\r\n").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    return Received(line=line, headers=headers, body=await reader.readexactly(int(headers.get("content-length", 0))))
