"""A client of the legacy WebSockets, and a bare socket after its handshake for what no library sends."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.server import USERNAME, ServerProcess
from tests.waiting import HANG_S

__all__ = ["CHAT", "PROCESSING", "SEARCH", "Answer", "Client", "bare", "frame", "reset", "short_token"]

CHAT, PROCESSING, SEARCH = "/ws/prompt-chat/", "/ws/ai-processing/", "/ws/search/"


@dataclass
class Answer:
    """All that was said to one request."""

    started: bool = False
    pieces: list[str] = field(default_factory=list)
    last: dict[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The type of the message that ended it."""
        return str(self.last["type"])

    @property
    def error(self) -> dict[str, Any]:
        """What went wrong."""
        assert self.kind == "error", self.last
        error: dict[str, Any] = self.last["error"]
        return error

    def result(self) -> dict[str, Any]:
        """Return the members of the message that ended it."""
        return {name: value for name, value in self.last.items() if name not in ("type", "request_id")}


class Client:
    """A connection, its token offered as a subprotocol unless `token` is None. Closes with the `with` block."""

    def __init__(
        self,
        server: ServerProcess,
        path: str = CHAT,
        *,
        user: str = USERNAME,
        token: str | None = "",
        subprotocols: Sequence[str] | None = None,
        origin: str | None = None,
        headers: Mapping[str, str] | None = None,
        greeted: bool = True,
    ) -> None:
        if subprotocols is None:
            chosen = server.token(user) if token == "" else token
            subprotocols = ["promptcraft.v1", *([] if chosen is None else [f"bearer.{chosen}"])]
        self._context = connect(
            f"ws://127.0.0.1:{server.port}{path}",
            subprotocols=list(subprotocols) or None,  # type: ignore[arg-type]
            origin=origin,  # type: ignore[arg-type]
            additional_headers=dict(headers or {}),
            compression=None,
            max_size=None,
            open_timeout=HANG_S,
            close_timeout=1,
            ping_interval=None,
            proxy=None,
        )
        self._server = server
        self.connection: ClientConnection = self._context.__enter__()
        self.greeting = self.next() if greeted and token is not None else {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._context.__exit__(kind, error, trace)

    def say(self, kind: str, request_id: str | int | None = None, **members: Any) -> None:
        """Send a message."""
        named = {} if request_id is None else {"request_id": request_id}
        message = {"type": kind, **named, **members}
        self._server.canaries.hear(message)
        self.connection.send(json.dumps(message))

    def next(self, timeout_s: float = HANG_S) -> dict[str, Any]:
        """Return the next message."""
        message: dict[str, Any] = json.loads(self.connection.recv(timeout_s))
        self._server.canaries.hear(message)
        return message

    def until(self, kind: str) -> dict[str, Any]:
        """Return the next message of that type, those before it passed over."""
        while (message := self.next())["type"] != kind:
            continue
        return message

    def answer(self) -> Answer:
        """Read to the end of the one request that is being answered."""
        return self.answers(1)[0]

    def answers(self, count: int) -> list[Answer]:
        """Read to the end of so many requests, and return what was said to them, in the order of their ends."""
        by_id: dict[str | int | None, Answer] = {}
        ended: list[Answer] = []
        while len(ended) < count:
            message = self.next()
            answer = by_id.setdefault(message.get("request_id"), Answer())
            match message["type"]:
                case "processing_started":
                    assert not answer.started
                    answer.started = True
                case "content_chunk":
                    answer.pieces.append(message["content"])
                    # What came before `processing_started` was seen here, if it was, is not counted.
                    assert message["seq"] == len(answer.pieces) or not answer.started
                case _:
                    answer.last = message
                    ended.append(by_id.pop(message.get("request_id")))
        return ended

    def ask(self, kind: str, request_id: str | int | None = "r-1", **members: Any) -> Answer:
        """Send a request and read to its end."""
        self.say(kind, request_id, **members)
        return self.answer()

    def is_served(self) -> bool:
        """Ask whether the connection lives."""
        self.say("ping", "still-there")
        return self.until("pong") == {"type": "pong", "request_id": "still-there"}

    def close_code(self, timeout_s: float = HANG_S) -> int:
        """Read until the server closes the connection and return its code, 0 if it gave none."""
        try:
            while True:
                self.connection.recv(timeout_s)
        except ConnectionClosed as closed:
            return 0 if closed.rcvd is None else closed.rcvd.code


def bare(
    server: ServerProcess, path: str = CHAT, *, token: str | None = None, receive_buffer_bytes: int = 0
) -> socket.socket:
    """Return a socket on which the handshake is done and the greeting is read."""
    plain = socket.socket()
    if receive_buffer_bytes:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
    plain.settimeout(HANG_S)
    plain.connect(("127.0.0.1", server.port))
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: 127.0.0.1:{server.port}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        f"Sec-WebSocket-Protocol: promptcraft.v1, bearer.{token or server.token()}",
    ]
    plain.sendall("\r\n".join([*lines, "", ""]).encode())
    head = b""
    while b"connection_established" not in head:
        received = plain.recv(4096)
        assert received, head
        head += received
    assert head.startswith(b"HTTP/1.1 101"), head
    return plain


def frame(payload: bytes, *, opcode: int = 1, fin: bool = True) -> bytes:
    """Return a client's frame, masked with zeros."""
    first = bytes([(0x80 if fin else 0) | opcode])
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 65_536:
        length = bytes([0x80 | 126]) + struct.pack(">H", size)
    else:
        length = bytes([0x80 | 127]) + struct.pack(">Q", size)
    return first + length + b"\0\0\0\0" + payload


def reset(plain: socket.socket) -> None:
    """Leave with a reset."""
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    plain.close()


def short_token(server: ServerProcess, user: str, lifetime_s: int) -> str:
    """Return a user's token again, with another end."""
    head, payload, _ = server.token(user).split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    claims["exp"] = int(time.time()) + lifetime_s
    signed = f"{head}.{base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b'=').decode()}"
    key = (server.env.get("JWT_SIGNING_KEY") or server.env["SECRET_KEY"]).encode()
    digest = hmac.new(key, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"
