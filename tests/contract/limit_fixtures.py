"""What the tests of limits and operations share: servers side by side, users at no cost, answers taken apart."""

from __future__ import annotations

import socket
import sqlite3
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from tests.server import USERNAME, ServerProcess
from tests.sse_client import SseStream
from tests.upstream import UpstreamServer
from tests.waiting import HANG_S, eventually

__all__ = [
    "COMPLETIONS",
    "HEALTH",
    "KEY",
    "LIVE",
    "PROMPT",
    "READY",
    "Door",
    "add_user",
    "error_of",
    "eventually",
    "rows_of",
    "send_raw",
    "started",
    "talkative",
]

COMPLETIONS = "/api/v2/chat/completions/"
HEALTH = "/api/v2/chat/health/"
LIVE = f"{HEALTH}live/"
READY = f"{HEALTH}ready/"
KEY = "sk-canary-key-kqzw"
"""The provider's key that the talkative server has."""
PROMPT = [{"role": "user", "content": "When does the tide turn?"}]
# Breakers out of the way, and no deadline that could do what the code under test is to do at once.
CALM = {
    "BREAKER_FAILURES": "100000",
    "FIRST_TOKEN_TIMEOUT": "300",
    "GAP_TIMEOUT": "300",
    "HEADER_HOLD": "20",
}
_ENVELOPE = {"message", "type", "code", "param", "request_id", "retryable", "retry_after"}

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Door:
    """A server in front of a simulator, asked by users of whom there are as many as a test needs."""

    server: ServerProcess
    upstream: UpstreamServer

    def user(self) -> str:
        """Return the name of a user who has asked for nothing yet."""
        return add_user(self.server, f"user-{uuid.uuid4().hex[:12]}")

    def call(self, path: str, user: str | None = USERNAME, **request: Any) -> tuple[int, dict[str, str], Any]:
        """Send a request and return status, headers and JSON body."""
        return self.server.call(path, user=user, **request)

    def whole(
        self, user: str = USERNAME, *, headers: Mapping[str, str] | None = None, **fields: Any
    ) -> tuple[int, dict[str, str], Any]:
        """Ask for one JSON object; `fields` are the body's."""
        return self.server.call(COMPLETIONS, user=user, headers=headers, json={"messages": PROMPT} | fields)

    def begin(
        self,
        user: str = USERNAME,
        *,
        headers: Mapping[str, str] | None = None,
        receive_buffer_bytes: int | None = None,
        **fields: Any,
    ) -> SseStream:
        """Ask for a stream; `fields` are the body's. The caller closes it."""
        return self.server.open(
            COMPLETIONS,
            user=user,
            headers=headers,
            receive_buffer_bytes=receive_buffer_bytes,
            json={"messages": PROMPT, "stream": True} | fields,
        )

    def health(self) -> dict[str, Any]:
        """Return the body of health, whatever its status."""
        body: dict[str, Any] = self.server.call(HEALTH, user=None)[2]
        return body

    def wait_active(self, count: int) -> None:
        """Ask health until so many streams run."""
        eventually(lambda: self.health()["streams"]["active"] == count, f"{count} active streams")


def add_user(server: ServerProcess, name: str) -> str:
    """Make a user with a log-in and return the name."""
    return server.add_user(name)


@contextmanager
def started(*servers: ServerProcess) -> Iterator[None]:
    """Start servers side by side, with a token for the user that each has; kill and remove them at the end."""
    try:
        with ThreadPoolExecutor(len(servers)) as pool:
            list(pool.map(ServerProcess.start, servers))
        for server in servers:
            if server.has_own_database():
                server.add_user(USERNAME)
        yield
    finally:
        for server in servers:
            server.kill()
            server.remove()


def error_of(body: Any) -> dict[str, Any]:
    """Return what an error answer says, having checked its shape."""
    assert set(body) == {"error"}
    error: dict[str, Any] = body["error"]
    assert set(error) - {"attempts"} == _ENVELOPE
    assert error["message"]
    assert error["request_id"]
    return error


@pytest.fixture(scope="package")
def talkative() -> Iterator[Door]:
    """A server that says all it has to say, with a known key: what it printed is searched for secrets."""
    with UpstreamServer() as upstream:
        keys = {f"{vendor}_API_KEY": KEY for vendor in ("DEEPSEEK", "ZAI", "OPENAI")}
        server = ServerProcess(CALM | keys | {"LOG_LEVEL": "DEBUG", "LOG_FORMAT": "json"}, upstream=upstream)
        with started(server):
            yield Door(server, upstream)


def rows_of(server: ServerProcess, query: str, *values: Any) -> list[tuple[Any, ...]]:
    """Return the rows of a query on a server's database."""
    with closing(sqlite3.connect(server.database, timeout=5)) as database:
        return database.execute(query, values).fetchall()


def send_raw(server: ServerProcess, *pieces: bytes, timeout_s: float = HANG_S) -> socket.socket:
    """Connect, send bytes as they are, and return the socket; the caller closes it."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout_s)
    for piece in pieces:
        connection.sendall(piece)
    return connection
