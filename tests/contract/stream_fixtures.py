"""Servers and a simulator for the stream's contract, shared by the package, and what its tests say often."""

from __future__ import annotations

import json
import socket
import sqlite3
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import pytest

from tests.contract.limit_fixtures import add_user, started
from tests.server import USERNAME, ServerName, ServerProcess
from tests.sse_client import SseEvent, SseStream
from tests.upstream import UpstreamServer
from tests.waiting import HANG_S

__all__ = [
    "COMPLETIONS",
    "OTHER",
    "PROMPT",
    "Manner",
    "Relay",
    "Relays",
    "events_of",
    "hasty",
    "relay",
    "relays",
    "simulator",
    "strict",
    "upstream",
]

COMPLETIONS = "/api/v2/chat/completions/"
PROMPT = [{"role": "user", "content": "When does the tide turn?"}]
OTHER = "another-tester"
"""A second user, to whom the first one's completions are to be as nothing."""

# No deadline does what the code under test is to do at once.
_PATIENT = {
    "FIRST_TOKEN_TIMEOUT": "300",
    "GAP_TIMEOUT": "300",
    "HEADER_HOLD": "20",
    # One test's faults are not to be felt by the next.
    "BREAKER_FAILURES": "100000",
    "BREAKER_COOLDOWN": "0.000001",
}
_HASTY = _PATIENT | {
    "KEEPALIVE_INTERVAL": "0.5",
    "HEADER_HOLD": "0.1",
    "DISCONNECT_GRACE": "0.4",
    "STREAM_RETENTION": "0.3",
    "CHAT_RATE_LIMIT": "60/m",
}
_STRICT = _PATIENT | {"CHAT_RATE_LIMIT": "3/m", "MAX_STREAMS_PER_USER": "2", "HEADER_HOLD": "0.1"}

Manner = Literal["patient", "hasty", "strict"]
_MANNERS: Mapping[Manner, Mapping[str, str]] = {"patient": _PATIENT, "hasty": _HASTY, "strict": _STRICT}


@dataclass(frozen=True)
class Relay:
    """A server process in front of the simulator; `accounts` is the one that gives tokens for it."""

    server: ServerProcess
    upstream: UpstreamServer
    accounts: ServerProcess

    def user(self) -> str:
        """Return the name of a user who has asked for nothing yet: nothing of theirs leaves a window meanwhile."""
        return add_user(self.accounts, f"user-{uuid.uuid4().hex[:12]}")

    def headers(self, user: str | None = USERNAME, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the headers of a user's request, of nobody's if None."""
        return (self.accounts.bearer(user) if user is not None else {}) | dict(more or {})

    def open(self, path: str, *, as_user: str | None = USERNAME, headers: Any = None, **request: Any) -> SseStream:
        """Send a request and return its response, the head read."""
        return self.server.open(path, user=None, headers=self.headers(as_user, headers), **request)

    def call(self, path: str, **request: Any) -> tuple[int, dict[str, str], Any]:
        """Do the same and return status, headers and JSON body."""
        with self.open(path, **request) as stream:
            body = stream.read()
            return stream.status, stream.headers, json.loads(body) if body else None

    def begin(
        self,
        *,
        as_user: str | None = USERNAME,
        headers: Mapping[str, str] | None = None,
        receive_buffer_bytes: int | None = None,
        timeout_s: float = HANG_S,
        **fields: Any,
    ) -> SseStream:
        """Ask for a stream; `fields` are the body's."""
        return self.open(
            COMPLETIONS,
            as_user=as_user,
            headers=headers,
            receive_buffer_bytes=receive_buffer_bytes,
            timeout_s=timeout_s,
            json={"messages": PROMPT, "stream": True} | fields,
        )

    def whole(
        self, *, as_user: str | None = USERNAME, headers: Mapping[str, str] | None = None, **fields: Any
    ) -> tuple[int, dict[str, str], Any]:
        """Ask for one JSON object; `fields` are the body's."""
        return self.call(COMPLETIONS, as_user=as_user, headers=headers, json={"messages": PROMPT} | fields)

    def send(self, **fields: Any) -> socket.socket:
        """Send a request and return its socket, nothing read: for clients that leave before the answer begins."""
        (plain_socket,) = self.send_at_once(1, **fields)
        return plain_socket

    def send_at_once(
        self, count: int, *, headers: Mapping[str, str] | None = None, **fields: Any
    ) -> list[socket.socket]:
        """Connect so many times, then send the same request on all, and return the sockets, nothing read."""
        body = json.dumps({"messages": PROMPT} | fields).encode()
        sent = {"Content-Type": "application/json", "Content-Length": str(len(body))} | self.headers(more=headers)
        lines = [f"POST {COMPLETIONS} HTTP/1.1", f"Host: 127.0.0.1:{self.server.port}"]
        lines += [f"{name}: {value}" for name, value in sent.items()]
        sockets = [socket.create_connection(("127.0.0.1", self.server.port), HANG_S) for _ in range(count)]
        for plain_socket in sockets:
            plain_socket.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        return sockets

    def detail(self, completion_id: str, **request: Any) -> tuple[int, dict[str, str], Any]:
        """Ask how a completion stands."""
        return self.call(f"{COMPLETIONS}{completion_id}/", **request)

    def events(self, completion_id: str, after: int | str | None = None, **request: Any) -> SseStream:
        """Open a completion's events."""
        query = "" if after is None else f"?after={after}"
        return self.open(f"{COMPLETIONS}{completion_id}/events/{query}", **request)

    def cancel(self, completion_id: str, **request: Any) -> tuple[int, dict[str, str], Any]:
        """Cancel a completion."""
        return self.call(f"{COMPLETIONS}{completion_id}/cancel/", method="POST", **request)

    def running_id(self, **request: Any) -> str:
        """Return the id of the caller's newest running completion, which need not have answered yet."""
        _, _, page = self.call(COMPLETIONS, **request)
        completion_id: str = next(one["id"] for one in page["data"] if one["status"] == "in_progress")
        return completion_id

    def soon_hung_up(self) -> None:
        """Return when the server has left its provider, a few turns of its own after now at the latest."""
        self.upstream.soon_hung_up(self.active_streams)

    def let_it_notice(self) -> None:
        """Return when the server has noticed what ended before: each health check takes several turns of its loop."""
        for _ in range(3):
            self.active_streams()

    def wait_gone(self, completion_id: str, timeout_s: float = HANG_S) -> bytes:
        """Wait until a completion's events are no longer kept and return the 410's body."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            with self.events(completion_id) as stream:
                body = stream.read()
            if stream.status == 410:
                return body
            assert stream.status == 200
            assert time.monotonic() < deadline_s, f"{completion_id} is kept after {timeout_s} s"

    def wait_stored(self, value: str, *, column: str = "id", timeout_s: float = HANG_S) -> None:
        """Wait until the database has a completion's row, which a failure does not wait for."""
        deadline_s = time.monotonic() + timeout_s
        with closing(sqlite3.connect(self.accounts.database)) as database:
            while not database.execute(f"SELECT 1 FROM chat_completion WHERE {column} = ?", [value]).fetchone():
                assert time.monotonic() < deadline_s, f"no row of {value} after {timeout_s} s"

    def new_user(self) -> str:
        """Return the name of a user who has asked for nothing yet."""
        return add_user(self.accounts, f"user-{uuid.uuid4().hex[:12]}")

    def active_streams(self) -> int:
        """Return how many completions the process runs, of all users."""
        active: int = self.call("/api/v2/chat/health/", as_user=None)[2]["streams"]["active"]
        return active

    def wait_active_streams(self, count: int, timeout_s: float = HANG_S) -> None:
        """Ask until so many run. Raises AssertionError."""
        deadline_s = time.monotonic() + timeout_s
        while (active := self.active_streams()) != count:
            assert time.monotonic() < deadline_s, f"{active} streams run after {timeout_s} s, not {count}"


def events_of(stream: SseStream, count: int) -> list[SseEvent]:
    """Read so many events and no more."""
    return list(islice(stream.events(), count))


@pytest.fixture(scope="package")
def simulator() -> Iterator[UpstreamServer]:
    """The upstreams of every server here."""
    with UpstreamServer() as server:
        yield server


class Relays:
    """The same application under every server that it promises to run under, on one database.

    Each is started when it is first asked for: as one server that was started again would be, they share the
    database and nothing else.
    """

    def __init__(self, simulator: UpstreamServer, stack: ExitStack) -> None:
        self._simulator = simulator
        self._stack = stack
        self._started: dict[tuple[ServerName, Manner], ServerProcess] = {}
        self._accounts: ServerProcess | None = None

    def relay(self, name: ServerName, manner: Manner) -> Relay:
        """Return one of them."""
        server = self._started.get((name, manner))
        if server is None:
            settings = dict(_MANNERS[manner]) | (_database_of(self._accounts) if self._accounts is not None else {})
            server = ServerProcess(settings, name, upstream=self._simulator)
            self._stack.enter_context(started(server))
            self._started[name, manner] = server
            if self._accounts is None:
                self._accounts = server
                add_user(server, OTHER)
        assert self._accounts is not None
        return Relay(server, self._simulator, self._accounts)


@pytest.fixture(scope="package")
def relays(simulator: UpstreamServer) -> Iterator[Relays]:
    """All servers of the package's tests of streams."""
    with ExitStack() as stack:
        yield Relays(simulator, stack)


@pytest.fixture
def upstream(simulator: UpstreamServer) -> UpstreamServer:
    """The simulator, its scripts and its journal empty."""
    simulator.reset()
    return simulator


@pytest.fixture
def relay(relays: Relays, server_name: ServerName, upstream: UpstreamServer) -> Relay:
    """The patient server: no deadline of its own shows itself in a test."""
    return relays.relay(server_name, "patient")


@pytest.fixture
def hasty(relays: Relays, server_name: ServerName, upstream: UpstreamServer) -> Relay:
    """The hasty one: every deadline shows itself soon."""
    # The database is the patient one's.
    relays.relay(server_name, "patient")
    return relays.relay(server_name, "hasty")


@pytest.fixture
def strict(relays: Relays, server_name: ServerName, upstream: UpstreamServer) -> Relay:
    """Three completions a minute and two streams at once for each user; heads are not held for long."""
    relays.relay(server_name, "patient")
    return relays.relay(server_name, "strict")


def _database_of(server: ServerProcess) -> dict[str, str]:
    return {"DATABASE_URL": f"sqlite:///{server.database}"}
