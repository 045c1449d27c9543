"""A client of the service that counts what it gets: one connection for each request, nothing kept."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Answer", "Client", "Exchange"]

_NEVER_S = 120.0
"""A read that takes longer is a fault of the service."""


@dataclass(slots=True)
class Answer:
    """What came of a stream so far."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    completion_id: str = ""
    pieces: list[str] = field(default_factory=list)
    events: int = 0
    last_id: int = 0
    finish: str | None = None
    error_code: str | None = None
    done: bool = False
    clean: bool = False
    """Whether the response ended as a response ends."""
    faults: list[str] = field(default_factory=list)
    """What must not be in any stream."""

    @property
    def text(self) -> str:
        """The joined content."""
        return "".join(self.pieces)

    def take_whole(self, data: bytes) -> None:
        """Take the JSON object of an answer that was not streamed."""
        choice = json.loads(data)["choices"][0]
        self.pieces.append(choice["message"]["content"])
        self.finish = choice["finish_reason"]
        self.done = True


class Exchange:
    """One request under way. `close` or `reset` it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer) -> None:
        self.answer = answer
        self._reader = reader
        self._writer = writer
        self._rest = b""
        self._lines: deque[bytes] = deque()

    async def read_head(self) -> None:
        """Read status and headers."""
        head = (await _in_time(self._reader.readuntil(b"\r\n\r\n"))).decode("latin-1")
        status, *fields = head.split("\r\n")
        self.answer.status = int(status.split(" ")[1])
        self.answer.headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in fields if line)
        }
        self.answer.completion_id = self.answer.headers.get("x-promptcraft-completion-id", "")

    async def body(self) -> bytes:
        """Read a whole body."""
        length = self.answer.headers.get("content-length")
        if length is not None:
            data: bytes = await _in_time(self._reader.readexactly(int(length)))
        else:
            data = b"".join([chunk async for chunk in self._chunks()])
        self.answer.clean = True
        return data

    async def events(self) -> AsyncIterator[int]:
        """Read events into the answer to the end; yield how many there were after each."""
        answer = self.answer
        try:
            # Whoever stops in the middle of a chunk finds the rest of it here.
            while self._lines:
                if self._take(self._lines.popleft()):
                    yield answer.events
            async for chunk in self._chunks():
                *lines, self._rest = (self._rest + chunk).split(b"\n")
                self._lines.extend(lines)
                while self._lines:
                    if self._take(self._lines.popleft()):
                        yield answer.events
            answer.clean = True
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the answer is not clean
        if answer.clean and self._rest:
            answer.faults.append("a line without its end")

    async def read_to_end(self) -> Answer:
        """Read what is left and close."""
        async for _ in self.events():
            continue
        self.close()
        return self.answer

    async def read_events(self, count: int) -> bool:
        """Read until so many events have come; False if the stream ended before."""
        async for seen in self.events():
            if seen >= count:
                return True
        return False

    def close(self) -> None:
        """Leave as a closed tab does."""
        self._writer.close()

    def reset(self) -> None:
        """Leave as a lost connection does: with a reset."""
        plain_socket: socket.socket = self._writer.get_extra_info("socket")
        plain_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def _chunks(self) -> AsyncIterator[bytes]:
        if "content-length" in self.answer.headers:
            yield await _in_time(self._reader.readexactly(int(self.answer.headers["content-length"])))
            return
        while True:
            size = int((await _in_time(self._reader.readuntil(b"\r\n")))[:-2], 16)
            data = await _in_time(self._reader.readexactly(size + 2))
            if size == 0:
                return
            yield data[:-2]

    def _take(self, line: bytes) -> bool:
        answer = self.answer
        if line.startswith(b"id: "):
            number = int(line[4:])
            if number <= answer.last_id:
                answer.faults.append(f"id {number} after {answer.last_id}")
            answer.last_id = number
        elif line.startswith(b"data: "):
            if answer.done:
                answer.faults.append("an event after [DONE]")
            answer.events += 1
            if line == b"data: [DONE]":
                answer.done = True
            else:
                self._take_chunk(json.loads(line[6:]))
            return True
        elif line and line != b": ping":
            answer.faults.append(f"a strange line: {line[:60]!r}")
        return False

    def _take_chunk(self, chunk: Mapping[str, Any]) -> None:
        answer = self.answer
        if "error" in chunk:
            answer.error_code = chunk["error"]["code"]
        for choice in chunk["choices"]:
            content = choice["delta"].get("content")
            if content:
                answer.pieces.append(content)
            if choice["finish_reason"]:
                if answer.finish:
                    answer.faults.append("a second finish_reason")
                answer.finish = choice["finish_reason"]
        if "id" in chunk and answer.completion_id and chunk["id"] != answer.completion_id:
            answer.faults.append("another completion's id")


class Client:
    """Sends requests to one port."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def open(
        self,
        method: str,
        path: str,
        *,
        token: str = "",
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        receive_buffer_bytes: int = 0,
    ) -> Exchange:
        """Send a request; its head is not read yet. A small receive buffer makes a reader that can get stuck."""
        plain_socket = socket.socket()
        plain_socket.setblocking(False)
        if receive_buffer_bytes:
            plain_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        try:
            await _in_time(asyncio.get_running_loop().sock_connect(plain_socket, ("127.0.0.1", self._port)))
            reader, writer = await asyncio.open_connection(sock=plain_socket, limit=receive_buffer_bytes or 2**16)
        except BaseException:
            plain_socket.close()
            raise
        content = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self._port}", f"Content-Length: {len(content)}"]
        sent = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
        lines += [f"{name}: {value}" for name, value in {**sent, **(headers or {})}.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + content)
        return Exchange(reader, writer, Answer())

    async def call(
        self, method: str, path: str, *, token: str = "", body: Mapping[str, Any] | None = None, **options: Any
    ) -> tuple[int, Any]:
        """Send a request and return status and JSON body."""
        exchange = await self.open(method, path, token=token, body=body, **options)
        try:
            await exchange.read_head()
            data = await exchange.body()
        finally:
            exchange.close()
        return exchange.answer.status, json.loads(data) if data else None


async def _in_time(awaitable: Any) -> Any:
    return await asyncio.wait_for(awaitable, _NEVER_S)
