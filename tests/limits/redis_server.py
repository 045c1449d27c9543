"""A Redis server of a test's own: nothing on disk but its socket, a port that the kernel chose, and a password."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from tests.llm.providers.transport.certificates import Authority
from tests.operations.programs import need_program
from tests.upstream.ports import free_port
from tests.waiting import HANG_S

__all__ = ["PASSWORD", "RedisServer"]

PASSWORD = "canary-of-redis-4417"


class RedisServer:
    """One server process. Skips the test where Redis is not installed. Leaving the `with` block kills it.

    The port stays the same over `kill` and `start`; what it held is gone then.
    """

    def __init__(self) -> None:
        self._program = need_program("redis-server", "redis-server")
        self._directory = Path(tempfile.mkdtemp(prefix="pc-redis-"))
        self.socket_path = self._directory / "socket"
        self.port = free_port()
        self._tls_port = free_port()
        authority = Authority()
        (self._directory / "server.pem").write_bytes(authority.server_pem())
        (self._directory / "authority.pem").write_bytes(authority.pem())
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """What REDIS_URL is to be."""
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"

    @property
    def unix_url(self) -> str:
        """The same over its socket."""
        return f"unix://:{PASSWORD}@{self.socket_path}?db=0"

    @property
    def tls_url(self) -> str:
        """The same over TLS, its certificate checked against its authority's."""
        return self._tls_url("authority.pem")

    @property
    def distrusted_url(self) -> str:
        """The same, checked against another authority's."""
        (self._directory / "another.pem").write_bytes(Authority().pem())
        return self._tls_url("another.pem")

    def start(self) -> Self:
        """Start it and wait until it answers."""
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self._program,
                    *("--bind", "127.0.0.1", "--port", str(self.port), "--unixsocket", str(self.socket_path)),
                    *("--tls-port", str(self._tls_port), "--tls-auth-clients", "no"),
                    *("--tls-cert-file", str(self._directory / "server.pem")),
                    *("--tls-key-file", str(self._directory / "server.pem")),
                    *("--tls-ca-cert-file", str(self._directory / "authority.pem")),
                    *("--save", "", "--appendonly", "no", "--dir", str(self._directory), "--requirepass", PASSWORD),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline_s = time.monotonic() + HANG_S
        pause = threading.Event()
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                raise AssertionError(f"no Redis:\n{(self._directory / 'log').read_text(errors='replace')[-2000:]}")
            pause.wait(0.01)
        return self

    def kill(self) -> None:
        """Kill it, stopped or not."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(10)

    def pause(self) -> None:
        """Let it hang: connections are made, and nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def do(self, *words: str | int | float) -> Any:
        """Have a command done and return its reply."""
        with redis.Redis(port=self.port, password=PASSWORD, socket_timeout=5, decode_responses=True) as client:
            return client.execute_command(*words)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _tls_url(self, trusted: str) -> str:
        path = self._directory / trusted
        return f"rediss://:{PASSWORD}@127.0.0.1:{self._tls_port}/0?ssl_ca_certs={path}"

    def _answers(self) -> bool:
        try:
            return bool(self.do("PING"))
        except redis.RedisError:
            return False
