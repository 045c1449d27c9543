"""A strict SSE client over a bare socket: what arrived, when, and how it ended.

    with open_stream(url, json={...}, headers={...}) as stream:
        assert stream.status == 200
        for event in stream.events():
            ...

It forgives nothing that the contract forbids (CR, unknown fields, a comment followed by a blank line, an event
cut at the end), and can leave abruptly or read slowly, which libraries do not let one do.
"""

from __future__ import annotations

import json as json_module
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from tests.waiting import HANG_S

__all__ = ["Line", "ProtocolViolation", "SseEvent", "SseStream", "open_stream"]

_RECEIVE_BYTES = 65_536
_MAX_HEAD_BYTES = 65_536


class ProtocolViolation(AssertionError):
    """The server sent something that the contract forbids."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the body, its end cut off, and when its last byte came (monotonic seconds)."""

    data: bytes
    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SseEvent:
    """One dispatched event."""

    data: str
    id: str | None
    event: str | None
    at_s: float

    def json(self) -> Any:
        """Return the data as JSON."""
        return json_module.loads(self.data)


class SseStream:
    """One response being read. `timeout_s` bounds each wait for bytes; TimeoutError is raised beyond it.

    Holds what has arrived and was not read yet: at most one head, or one receive of 64 KiB and one line.
    Leave with `close()` (FIN), `reset()` (RST), or the `with` block.
    """

    def __init__(self, plain_socket: socket.socket, *, method: str) -> None:
        self._socket = plain_socket
        self._raw = bytearray()
        self._method = method
        self._chunk_left = 0
        self._length_left: int | None = None
        self._framing: Literal["chunked", "length", "close"] = "close"
        self._line = bytearray()
        self.ended: Literal["clean", "cut", "reset"] | None = None
        """`clean`: as the framing promised. `cut`: FIN before that. `reset`: RST. None: not yet."""
        self.comments: list[Line] = []
        self.sent_at_s = time.monotonic()
        self.status = 0
        self.headers: dict[str, str] = {}

    # -- head ------------------------------------------------------------------------------------------

    def read_head(self) -> None:
        """Read the status and headers; informational answers are passed over."""
        while True:
            while (end := self._raw.find(b"\r\n\r\n")) < 0:
                if len(self._raw) > _MAX_HEAD_BYTES:
                    raise ProtocolViolation("head over 64 KiB")
                if not self._receive():
                    raise ProtocolViolation(f"the connection ended ({self.ended}) before the head was whole")
            lines = bytes(self._raw[:end]).decode("latin-1").split("\r\n")
            del self._raw[: end + 4]
            self.status = int(lines[0].split(" ")[1])
            if self.status >= 200:
                break
        self.headed_at_s = time.monotonic()
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        if "chunked" in self.headers.get("transfer-encoding", "").lower():
            self._framing = "chunked"
        elif "content-length" in self.headers:
            self._framing, self._length_left = "length", int(self.headers["content-length"])
        if self._method == "HEAD" or self.status in (204, 304):
            self._framing, self._length_left = "length", 0

    # -- body ------------------------------------------------------------------------------------------

    def wait_at_most(self, timeout_s: float) -> None:
        """Bound each wait for bytes from now on."""
        self._socket.settimeout(timeout_s)

    def read_some(self, max_bytes: int = _RECEIVE_BYTES) -> bytes:
        """Return the body's next bytes as they arrive, b"" at its end; `ended` then says how it ended."""
        while self.ended is None:
            data = self._take(max_bytes)
            if data or self.ended is not None:
                return data
            self._receive(max_bytes)
        return self._take(max_bytes) if self._raw and self.ended != "clean" else b""

    def read(self) -> bytes:
        """Return the rest of the body."""
        return b"".join(iter(self.read_some, b""))

    def json(self) -> Any:
        """Return the rest of the body as JSON."""
        return json_module.loads(self.read())

    def drip(self, piece_bytes: int, pause_s: float) -> Iterator[bytes]:
        """Yield the body slowly: a piece, a real pause, the next. The kernel's buffer fills meanwhile."""
        pause = threading.Event()
        while piece := self.read_some(piece_bytes):
            yield piece
            pause.wait(pause_s)

    def lines(self) -> Iterator[Line]:
        """Yield the body's lines, which end with LF alone; an unfinished last one stays in `leftover`."""
        while True:
            while (end := self._line.find(b"\n")) >= 0:
                line = bytes(self._line[:end])
                del self._line[: end + 1]
                yield Line(line, self._arrived_at_s)
            data = self.read_some()
            if not data:
                return
            self._arrived_at_s = time.monotonic()
            self._line += data

    @property
    def leftover(self) -> bytes:
        """The bytes of a line that has not ended."""
        return bytes(self._line)

    def events(self) -> Iterator[SseEvent]:
        """Yield the events as they are dispatched. Raises ProtocolViolation."""
        data: list[str] = []
        event_id: str | None = None
        name: str | None = None
        fresh = True
        for line in self.lines():
            if b"\r" in line.data:
                raise ProtocolViolation(f"CR in {line.data!r}")
            if not line.data:
                if not data:
                    raise ProtocolViolation(f"a blank line that dispatches no data, after {self.comments[-1:]}")
                yield SseEvent(data="\n".join(data), id=event_id, event=name, at_s=line.at_s)
                data, event_id, name, fresh = [], None, None, True
                continue
            try:
                text = line.data.decode()
            except UnicodeDecodeError as error:
                raise ProtocolViolation(f"not UTF-8: {line.data!r}") from error
            if text.startswith(":"):
                if not fresh:
                    raise ProtocolViolation(f"a comment inside an event: {text!r}")
                self.comments.append(line)
                continue
            fresh = False
            key, colon, value = text.partition(": ")
            if not colon or key not in ("id", "event", "data", "retry"):
                raise ProtocolViolation(f"not a line of ours: {text!r}")
            if key == "data":
                data.append(value)
            elif key == "id":
                event_id = value
            elif key == "event":
                name = value
        if self.ended == "clean" and (data or self.leftover or not fresh):
            raise ProtocolViolation(f"the body ended inside an event: {data} {self.leftover!r}")

    # -- leaving ---------------------------------------------------------------------------------------

    def close(self) -> float:
        """Close with FIN (the kernel makes it RST if bytes were unread); return the moment before."""
        left_at_s = time.monotonic()
        self._socket.close()
        return left_at_s

    def reset(self) -> float:
        """Close with RST, as a client that is killed; return the moment before."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        left_at_s = time.monotonic()
        self._socket.close()
        return left_at_s

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    # -- bytes -----------------------------------------------------------------------------------------

    _arrived_at_s = 0.0

    def _receive(self, max_bytes: int = _RECEIVE_BYTES) -> bool:
        try:
            data = self._socket.recv(max_bytes)
        except ConnectionResetError:
            self.ended = "reset"
            return False
        if not data:
            self.ended = "clean" if self._framing == "close" and self.status else "cut"
            return False
        self._raw += data
        return True

    def _take(self, max_bytes: int) -> bytes:
        if self._framing == "chunked":
            return self._take_chunked(max_bytes)
        if self._length_left is not None:
            max_bytes = min(max_bytes, self._length_left)
        data = bytes(self._raw[:max_bytes])
        del self._raw[:max_bytes]
        if self._length_left is not None:
            self._length_left -= len(data)
            if self._length_left == 0:
                self.ended = "clean"
        return data

    def _take_chunked(self, max_bytes: int) -> bytes:
        taken = bytearray()
        while len(taken) < max_bytes:
            if self._chunk_left == 0:
                end = self._raw.find(b"\r\n")
                if end < 0:
                    break
                if end == 0:  # the end of the chunk before
                    del self._raw[:2]
                    continue
                size_bytes = int(bytes(self._raw[:end]).split(b";")[0], 16)
                if size_bytes == 0:
                    if b"\r\n\r\n" not in self._raw[end:]:
                        break
                    self.ended = "clean"
                    break
                del self._raw[: end + 2]
                self._chunk_left = size_bytes
            piece = self._raw[: min(self._chunk_left, max_bytes - len(taken))]
            if not piece:
                break
            taken += piece
            del self._raw[: len(piece)]
            self._chunk_left -= len(piece)
        return bytes(taken)


def open_stream(url: str, **request: Any) -> SseStream:
    """Send one request, as `send_request` takes it, and return the response, its head read."""
    stream = send_request(url, **request)
    try:
        stream.read_head()
    except BaseException:
        stream.close()
        raise
    return stream


def send_request(
    url: str,
    *,
    method: str | None = None,
    json: Any = None,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = HANG_S,
    receive_buffer_bytes: int | None = None,
) -> SseStream:
    """Send one request on a connection of its own and return the response, of which nothing was read yet.

    POST if there is a body, else GET. `receive_buffer_bytes` makes the kernel's buffer small before connecting,
    so that a reader that stops reading is felt by the server at once.
    """
    parts = urlsplit(url)
    if json is not None:
        body = json_module.dumps(json).encode()
    method = method or ("GET" if body is None else "POST")
    sent = {"Host": parts.netloc, "Connection": "close"}
    if json is not None:
        sent["Content-Type"] = "application/json"
    if body is not None:
        sent["Content-Length"] = str(len(body))
    sent |= headers or {}
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    head = "\r\n".join([f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items()), "", ""])
    plain_socket = socket.socket()
    try:
        if receive_buffer_bytes is not None:
            plain_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        plain_socket.settimeout(timeout_s)
        plain_socket.connect((parts.hostname, parts.port))
        plain_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream = SseStream(plain_socket, method=method)
        plain_socket.sendall(head.encode() + (body or b""))
    except BaseException:
        plain_socket.close()
        raise
    return stream
