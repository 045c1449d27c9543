"""The server that is attacked: its users, HTTP with a bound for every wait, bare sockets, and a watch on its loop."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from tests.attack.own_server import OwnServer

__all__ = ["Account", "Answer", "Target", "Waits"]

_WAIT_S = 15.0
_MOST_ANSWER_BYTES = 32 * 1024 * 1024
_LIVE = "/api/v2/chat/health/live/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user and the password."""

    name: str
    password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back. `status` is 0 where nothing did within the wait."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    took_s: float

    def json(self) -> Any:
        """Return the body's JSON, None if it is none."""
        with suppress(ValueError):
            return json.loads(self.body)
        return None


@dataclass(slots=True, kw_only=True)
class Waits:
    """How long other callers waited meanwhile."""

    longest_s: float = 0.0
    answered: int = 0
    failures: list[str] = field(default_factory=list)


@dataclass(kw_only=True)
class Target:
    """A server at a URL. `attacker`, `other` and `staff` may be absent, and `own` where the server is not ours."""

    url: str
    attacker: Account | None = None
    other: Account | None = None
    staff: Account | None = None
    own: OwnServer | None = None
    _tokens: dict[str, str] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """The host name."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The port."""
        parts = urlsplit(self.url)
        return parts.port or (443 if parts.scheme == "https" else 80)

    def call(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        body: Any = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        wait_s: float = _WAIT_S,
    ) -> Answer:
        """Send a request on a connection of its own and return the answer."""
        sent = {"Connection": "close", **(headers or {})}
        if body is not None:
            data = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        began_s = time.monotonic()
        connection = self._connection(wait_s)
        try:
            connection.request(method, path, body=data, headers=sent)
            response = connection.getresponse()
            content = response.read(_MOST_ANSWER_BYTES)
            named: dict[str, str] = {}
            for name, value in response.getheaders():
                # Of cookies there may be several.
                named[name.lower()] = ", ".join(filter(None, (named.get(name.lower()), value)))
            return Answer(status=response.status, headers=named, body=content, took_s=time.monotonic() - began_s)
        except (OSError, http.client.HTTPException):
            return Answer(status=0, headers={}, body=b"", took_s=time.monotonic() - began_s)
        finally:
            connection.close()

    def raw(
        self, data: bytes, *, later: bytes = b"", quiet_s: float = 1.0, wait_s: float = _WAIT_S
    ) -> tuple[bytes, bool]:
        """Send bytes, and others a moment later; return what came until it was quiet, and whether it was closed."""
        received = bytearray()
        with self.socket(wait_s) as connection:
            connection.sendall(data)
            if later:
                # The moment is the attack: the server has read the first part by itself.
                threading.Event().wait(0.05)
                connection.sendall(later)
            deadline_s = time.monotonic() + wait_s
            while time.monotonic() < deadline_s and len(received) < _MOST_ANSWER_BYTES:
                connection.settimeout(quiet_s if received else wait_s)
                try:
                    piece = connection.recv(65_536)
                except TimeoutError:
                    return bytes(received), False
                except OSError:
                    return bytes(received), True
                if not piece:
                    return bytes(received), True
                received += piece
        return bytes(received), False

    @contextmanager
    def socket(self, wait_s: float = _WAIT_S) -> Iterator[socket.socket]:
        """Open a bare connection."""
        connection = socket.create_connection((self.host, self.port), timeout=wait_s)
        if urlsplit(self.url).scheme == "https":
            connection = ssl.create_default_context().wrap_socket(connection, server_hostname=self.host)
        with connection:
            yield connection

    def token(self, account: Account) -> str:
        """Return an access token. It is asked for once. Raises OSError if there is none."""
        if account.name not in self._tokens:
            answer = self.log_in(account)
            if answer.status != 200:
                raise OSError(f"{account.name} cannot log in: {answer.status}")
            self._tokens[account.name] = answer.json()["access"]
        return self._tokens[account.name]

    def log_in(self, account: Account) -> Answer:
        """Log in."""
        return self.call("POST", "/api/v2/auth/token/", body={"username": account.name, "password": account.password})

    def at_once(self, times: int, call: Callable[[int], Answer]) -> list[Answer]:
        """Make calls in as many threads."""
        with ThreadPoolExecutor(times) as threads:
            return list(threads.map(call, range(times)))

    @contextmanager
    def watched(self, call: Callable[[], Answer] | None = None) -> Iterator[Waits]:
        """Have a bystander call again and again meanwhile (the liveness check, if not told otherwise)."""
        waits, ended = Waits(), threading.Event()
        asked = call or (lambda: self.call("GET", _LIVE))

        def watch() -> None:
            while not ended.wait(0.05):
                answer = asked()
                waits.longest_s = max(waits.longest_s, answer.took_s)
                waits.answered += 1
                if answer.status == 0 or answer.status >= 500:
                    waits.failures.append(f"{answer.status or 'no answer'} after {answer.took_s:.1f} s")

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield waits
        finally:
            ended.set()
            thread.join(2 * _WAIT_S)

    def calm_s(self, call: Callable[[], Answer] | None = None, times: int = 5) -> float:
        """Return the longest of some calls while nothing else happens."""
        asked = call or (lambda: self.call("GET", _LIVE))
        return max(asked().took_s for _ in range(times))

    def _connection(self, wait_s: float) -> http.client.HTTPConnection:
        if urlsplit(self.url).scheme == "https":
            return http.client.HTTPSConnection(self.host, self.port, timeout=wait_s)
        return http.client.HTTPConnection(self.host, self.port, timeout=wait_s)
