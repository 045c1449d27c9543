"""A PostgreSQL server of a test's own: a temporary cluster, one socket in its directory, no port, no password."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from tests.operations.programs import need_program
from tests.prepared import migrate
from tests.shared import made_once
from tests.waiting import HANG_S

__all__ = ["PostgresServer", "postgres_url"]

# It must lose nothing to a crash of the machine: it is thrown away. What it locks and shows is the same without.
_HASTY = (
    "-F",
    "-c",
    "synchronous_commit=off",
    "-c",
    "full_page_writes=off",
    "-c",
    "max_connections=200",
    "-c",
    "autovacuum=off",
)


@contextmanager
def postgres_url() -> Iterator[str]:
    """Run a fresh cluster and yield what DATABASE_URL is to be. Skips the test where PostgreSQL is not installed."""
    with PostgresServer() as server:
        yield server.url


class PostgresServer:
    """A cluster and its server: a copy of one with the service's tables, or a `fresh` one.

    Skips the test where PostgreSQL is not installed. What it holds survives `stop` and `start`. Leaving the `with`
    block ends it, paused or not, and removes it.
    """

    def __init__(self, *, fresh: bool = False) -> None:
        initdb, self._program = need_program("initdb", "postgresql"), need_program("postgres", "postgresql")
        self._directory = Path(tempfile.mkdtemp(prefix="pc-pg-"))
        self._account = _unprivileged(self._directory)
        self._data = str(self._directory / "data")
        self._process: subprocess.Popen[bytes] | None = None
        self._paused: list[int] = []
        try:
            if fresh:
                # A log in small parts is quickly copied.
                made = [initdb, "-D", self._data, "-U", "promptcraft", "-A", "trust", "-E", "UTF8", "--locale=C"]
                subprocess.run(
                    [*made, "--no-sync", "--wal-segsize=1"],
                    check=True,
                    capture_output=True,
                    timeout=60,
                    cwd=self._directory,
                    **self._account,
                )
            else:
                _copy(made_once("cluster", _make_cluster) / "data", self._data, self._account)
        except BaseException:
            shutil.rmtree(self._directory, ignore_errors=True)
            raise

    @property
    def url(self) -> str:
        """What DATABASE_URL is to be."""
        return f"postgres://promptcraft@{quote(str(self._directory), safe='')}/postgres"

    def start(self) -> Self:
        """Start it and wait until it takes connections."""
        log = self._directory / "log"
        with log.open("wb") as written:
            self._process = subprocess.Popen(
                [self._program, "-D", self._data, "-k", str(self._directory), "-h", "", *_HASTY],
                cwd=self._directory,
                stdout=written,
                stderr=subprocess.STDOUT,
                **self._account,
            )
        deadline_s = time.monotonic() + HANG_S
        pause = threading.Event()
        while "ready to accept connections" not in log.read_text(errors="replace"):
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                raise AssertionError(f"no PostgreSQL:\n{log.read_text(errors='replace')[-2000:]}")
            pause.wait(0.02)
        return self

    def stop(self) -> None:
        """End it. Sessions are cut: nobody is to be waited for."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)

    def pause(self) -> None:
        """Let it hang with all its sessions: the kernel makes connections, and nothing is answered."""
        assert self._process is not None
        # The one that makes the others first, so that there will be no more of them.
        self._signal([self._process.pid], signal.SIGSTOP)
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        self._signal([int(child) for child in children], signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        paused, self._paused = self._paused, []
        for pid in paused:
            os.kill(pid, signal.SIGCONT)

    def _signal(self, pids: list[int], number: signal.Signals) -> None:
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
            self._paused.append(pid)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.resume()
        self.stop()
        shutil.rmtree(self._directory, ignore_errors=True)


def _make_cluster(directory: Path) -> None:
    """Make one with the service's tables, and no rows."""
    server = PostgresServer(fresh=True)
    with server:
        migrate(server.url)
        server.stop()
        shutil.copytree(server._data, directory / "data")


def _copy(data: Path, target: str, account: dict[str, Any]) -> None:
    shutil.copytree(data, target)
    if account:
        for folder, _, files in os.walk(target):
            for path in (folder, *(os.path.join(folder, file) for file in files)):
                os.chown(path, account["user"], account["group"])


def _unprivileged(directory: Path) -> dict[str, Any]:
    """Return how to start a process as somebody who is not root, which PostgreSQL refuses to run as."""
    if os.geteuid() != 0:
        return {}
    somebody = pwd.getpwnam("nobody")
    os.chown(directory, somebody.pw_uid, somebody.pw_gid)
    return {"user": somebody.pw_uid, "group": somebody.pw_gid, "extra_groups": []}
