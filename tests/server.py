"""The real service as a process of its own, for black-box tests.

with UpstreamServer() as upstream, ServerProcess(upstream=upstream) as server:
    with server.open("/api/v2/chat/completions/", json={"messages": [...], "stream": True}) as stream:
        answer = collect(stream)
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from tests import forked
from tests.canaries import Canaries, reports, search
from tests.prepared import EMAIL, PASSWORD, USERNAME, access_token, copy_database, migrate, tables
from tests.shared import made_once
from tests.sse_client import SseStream, open_stream, send_request
from tests.upstream import VENDOR_NAMES, Gate, UpstreamServer
from tests.upstream.ports import free_port
from tests.waiting import HANG_S

__all__ = ["EMAIL", "PASSWORD", "USERNAME", "ServerFailed", "ServerName", "ServerProcess", "other_default_server"]

ROOT = Path(__file__).resolve().parents[1]
ServerName = Literal["uvicorn", "daphne", "granian", "runserver", "serve"]
APPLICATION = "promptcraft.asgi:application"
_default_server: ServerName = "uvicorn"
_LIVE = "/api/v2/chat/health/live/"
# Nothing else of the machine's environment reaches the service.
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "COVERAGE_PROCESS_START", "COVERAGE_FILE")
# Limits that would be in the way of every test but their own.
_DEFAULTS = {
    "DEBUG": "0",
    "SECRET_KEY": "only-for-tests-" + "k7Qp2mZx" * 8,
    "ALLOWED_HOSTS": "*",
    "CHAT_RATE_LIMIT": "100000/m",
    "WORKBENCH_RATE_LIMIT": "100000/m",
    "MAX_STREAMS_PER_USER": "1000",
    "LOG_FORMAT": "json",
    **{f"{vendor.upper()}_API_KEY": "" for vendor in VENDOR_NAMES},
}


class ServerFailed(AssertionError):
    """The process did not do what was asked of it; the message ends with its output."""


class ServerProcess:
    """One server process on a port and a database of its own.

    `env` adds to and overrides the harness's variables, which lift the rate limit and the streams per user and
    leave every provider without a key; `upstream` points all three at a simulator (`vendors` only some). `library`
    gives it the starter library of templates. Without a
    `server` it is uvicorn, unless the tests were asked to run under another (`other_default_server`).
    It has its libraries from the start (`tests.forked`).
    Leaving the `with` block kills the process at once: a test of shutting down calls `stop()`. What it printed, what
    it reported and what its database holds are searched then for keys, tokens, passwords, addresses, prompts and
    answers that went through here (`tests.canaries`).
    """

    def __init__(
        self,
        env: Mapping[str, str] | None = None,
        server: ServerName | None = None,
        *,
        upstream: UpstreamServer | None = None,
        vendors: Sequence[str] = (),
        arguments: Sequence[str] = (),
        application: str = APPLICATION,
        library: bool = False,
    ) -> None:
        self.server: ServerName = server or _default_server
        self._application = application
        self.port = 0
        self.returncode: int | None = None
        self._arguments = tuple(arguments)
        self._make_database = _make_library if library else _make_database
        self._directory = Path(tempfile.mkdtemp(prefix="promptcraft-test-"))
        self.database = self._directory / "db.sqlite3"
        self.log_path = self._directory / "server.log"
        pointed = upstream.environment(*vendors) if upstream is not None else {}
        self.env = _environment(self.database) | {"SENTRY_DSN": reports().dsn} | pointed | dict(env or {})
        self._process: forked.Process | None = None
        self._tokens: dict[str, str] = {}
        keys = [value for name, value in self.env.items() if name.endswith("_KEY")]
        self.canaries = Canaries([*keys, PASSWORD])
        self.canaries.emails.add(EMAIL)

    # -- life ------------------------------------------------------------------------------------------

    def start(self, *, wait: bool = True) -> Self:
        """Start and wait until it is live, at most 60 s. A second start keeps the database and takes a new port.

        With `wait=False` it returns at once: for tests of a start that must fail. Raises ServerFailed.
        """
        if not self.database.exists() and self.env["DATABASE_URL"] == f"sqlite:///{self.database}":
            made = made_once(self._make_database.__name__, self._make_database)
            copy_database(made / self.database.name, self.database)
        # The kernel's free port may be taken by another process before ours binds it.
        for last in (False, False, True):
            self.port = free_port()
            self.returncode = None
            with self.log_path.open("ab") as log:
                environment = self.env | {"PORT": str(self.port)}
                self._process = forked.started(self._command(), environment, output=log.fileno())
            if not wait or self._wait_live():
                return self
            if last or "address already in use" not in self.output().lower():
                break
        self.kill()
        raise ServerFailed(f"{self.server} was not live within {HANG_S} s:\n{self.output()[-4000:]}")

    def stop(self, timeout_s: float = HANG_S) -> int:
        """Send SIGTERM and return the exit code. Raises ServerFailed if it does not leave in time."""
        self.terminate()
        return self.wait(timeout_s)

    def terminate(self) -> float:
        """Send SIGTERM and return when, without waiting."""
        sent_at_s = time.monotonic()
        self._running().send_signal(signal.SIGTERM)
        return sent_at_s

    def wait(self, timeout_s: float = HANG_S) -> int:
        """Wait for the process to leave by itself and return its exit code. Raises ServerFailed."""
        try:
            self.returncode = self._running().wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ServerFailed(f"still running after {timeout_s} s:\n{self.output()[-4000:]}") from None
        self._process = None
        return self.returncode

    def kill(self) -> None:
        """Kill it and its workers, as a power cut would; no-op if it has left."""
        process, self._process = self._process, None
        if process is not None:
            # The process leads a group of its own, made by `start`: nobody else's are in it.
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.returncode = process.wait(10)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.remove()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self.remove()

    # -- reading ---------------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._running().pid

    def url(self, path: str = "") -> str:
        """Return the address of a path."""
        return f"http://127.0.0.1:{self.port}{path}"

    def output(self) -> str:
        """Return all that it has printed, on either channel."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def resident_bytes(self) -> int:
        """Return the memory that the process holds now (Linux)."""
        return self._status_bytes("VmRSS:")

    def peak_resident_bytes(self) -> int:
        """Return the most it has held so far (Linux)."""
        return self._status_bytes("VmHWM:")

    # -- calling ---------------------------------------------------------------------------------------

    def open(
        self, path: str, *, user: str | None = USERNAME, headers: Mapping[str, str] | None = None, **request: Any
    ) -> SseStream:
        """Send a request as a user, anonymously if None; the rest is `open_stream`'s. The caller closes it."""
        return open_stream(self.url(path), headers=self._headers(user, headers, request), **request)

    def leave(
        self,
        path: str,
        *,
        at: Gate,
        times: int = 1,
        user: str | None = USERNAME,
        headers: Mapping[str, str] | None = None,
        **request: Any,
    ) -> None:
        """Send a request, and hang up once a provider has been asked on its behalf: its gate reached `times` in all."""
        with send_request(self.url(path), headers=self._headers(user, headers, request), **request):
            at.wait_reached(times)

    def _headers(self, user: str | None, headers: Mapping[str, str] | None, request: dict[str, Any]) -> dict[str, str]:
        self.canaries.hear(request.get("json"))
        return (self.bearer(user) if user is not None else {}) | dict(headers or {})

    def call(self, path: str, **request: Any) -> tuple[int, dict[str, str], Any]:
        """Do the same and return status, headers and the JSON body (None if it is empty)."""
        with self.open(path, **request) as stream:
            body = stream.read()
            answer = json.loads(body) if body else None
            if stream.status >= 400:
                self._check_silent(body)
            self.canaries.hear(answer)
            return stream.status, stream.headers, answer

    def create_user(self, username: str, password: str = PASSWORD) -> str:
        """Make a user who has a password (about a second: a process and a hash) and return the name."""
        self.manage("create_user", username, "--password-stdin", stdin=password + "\n")
        return username

    def add_user(self, username: str) -> str:
        """Give a user, who is made if there is none, an access token without a log-in, and return the name."""
        key = self.env.get("JWT_SIGNING_KEY") or self.env["SECRET_KEY"]
        self._tokens[username] = access_token(self.database, username, key)
        return username

    def token(self, user: str = USERNAME, password: str = PASSWORD) -> str:
        """Return an access token of a user; asked for once and kept."""
        if user == USERNAME and user not in self._tokens and self.has_own_database():
            self.add_user(user)
        if user not in self._tokens:
            status, _, body = self.call("/api/v2/auth/token/", user=None, json={"username": user, "password": password})
            if status != 200:
                raise ServerFailed(f"no token for {user}: {status} {body}")
            self._tokens[user] = body["access"]
            self.canaries.secrets |= {body["access"], body["refresh"]}
        return self._tokens[user]

    def bearer(self, user: str = USERNAME) -> dict[str, str]:
        """Return the Authorization header of a user."""
        return {"Authorization": f"Bearer {self.token(user)}"}

    def manage(self, *arguments: str, stdin: str = "") -> str:
        """Run a management command on this server's database and return its output. Raises ServerFailed."""
        return _run(["manage.py", *arguments], self.env | {"SENTRY_DSN": ""}, stdin)

    def has_own_database(self) -> bool:
        """Tell whether it is on a file of its own, which has its tables."""
        own = self.env["DATABASE_URL"] == f"sqlite:///{self.database}"
        return own and self.database.exists() and self.database.stat().st_size > 0

    # -- inside ----------------------------------------------------------------------------------------

    def _check_silent(self, error: bytes) -> None:
        secrets = self.canaries.secrets | set(self._tokens.values())
        told = [secret for secret in secrets if secret.encode() in error]
        assert not told, f"an error says {told}: {error!r}"

    def _running(self) -> forked.Process:
        if self._process is None:
            raise ServerFailed("the server is not running")
        return self._process

    def _command(self) -> list[str]:
        host, port, application = "127.0.0.1", str(self.port), self._application
        commands = {
            "uvicorn": ["-m", "uvicorn", application, "--host", host, "--port", port, "--no-access-log"],
            "daphne": ["-m", "daphne", "-b", host, "-p", port, application],
            "granian": [
                *(
                    "-m",
                    "granian",
                    "--interface",
                    "asgi",
                    "--ws" if self.env.get("LEGACY_WEBSOCKETS") == "1" else "--no-ws",
                ),
                *("--host", host, "--port", port, application),
            ],
            "runserver": ["manage.py", "runserver", "--noreload", f"{host}:{port}"],
            "serve": ["manage.py", "serve"],
        }
        return [*commands[self.server], *self._arguments]

    def _wait_live(self) -> bool:
        deadline_s = time.monotonic() + HANG_S
        process = self._running()
        while time.monotonic() < deadline_s:
            if _is_live(self.port):
                return True
            try:
                # The pause between two tries, cut short if the process leaves.
                self.returncode = process.wait(0.03)
            except subprocess.TimeoutExpired:
                continue
            self._process = None
            return False
        return False

    def _status_bytes(self, field: str) -> int:
        # Granian serves from a child.
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        lines = [
            line
            for pid in (self.pid, *children)
            for line in Path(f"/proc/{pid}/status").read_text().split("\n")
            if line.startswith(field)
        ]
        if not lines:
            raise ServerFailed(f"/proc has no {field}")
        return sum(int(line.split()[1]) * 1024 for line in lines)

    def remove(self) -> None:
        """Search and remove the database and the log; the `with` block does it."""
        self.canaries.secrets |= {*self._tokens.values()} | {
            token.rpartition(".")[2] for token in self._tokens.values() if token.count(".") == 2
        }
        search(self.canaries, name=self._directory.name, output=self.output(), database=self.database)
        shutil.rmtree(self._directory, ignore_errors=True)


@contextmanager
def other_default_server(name: ServerName) -> Iterator[None]:
    """Start every server process under this one, inside the `with` block, where a test names none."""
    global _default_server
    before, _default_server = _default_server, name
    try:
        yield
    finally:
        _default_server = before


def _environment(database: Path) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return inherited | _DEFAULTS | {"DATABASE_URL": f"sqlite:///{database}"}


def _make_database(directory: Path) -> None:
    database = directory / "db.sqlite3"
    copy_database(tables(migrate), database)
    _run(["-m", "tests.prepared", USERNAME, EMAIL], _environment(database), PASSWORD + "\n")


def _make_library(directory: Path) -> None:
    database = directory / "db.sqlite3"
    copy_database(made_once(_make_database.__name__, _make_database) / database.name, database)
    _run(["manage.py", "load_templates", "-v", "0"], _environment(database), "")


def _run(command: Sequence[str], environment: Mapping[str, str], stdin: str) -> str:
    code, output, errors = forked.run(command, environment, stdin)
    if code:
        raise ServerFailed(f"{command} left with {code}:\n{output}{errors}")
    return output


def _is_live(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5.0)
    try:
        connection.request("GET", _LIVE)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
