"""The service as an operator runs it: the Procfile's command, DEBUG=0, everything on."""

from __future__ import annotations

import http.client
import json
import secrets
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.database import PASSWORD, USERNAME, Databases
from benchmarks.native import LoadFailed, Plan
from benchmarks.processes import ENVIRONMENT, ROOT, Process, free_port, wait_until
from benchmarks.targets import http_request

__all__ = ["Server", "is_live", "settings_of"]

_REFRESH_AFTER_S = 600.0
"""Access tokens live 15 minutes."""
_SETTINGS: Mapping[str, str] = {
    "DEBUG": "0",
    "ALLOWED_HOSTS": "127.0.0.1",
    "PROVIDER_CHAIN": "deepseek",
    "DEEPSEEK_API_KEY": "bench",
    # Counted all the same; only never reached.
    "CHAT_RATE_LIMIT": "999999/m",
    "WORKBENCH_RATE_LIMIT": "999999/m",
    "MAX_STREAMS_PER_USER": "100000",
    "MAX_STREAMS": "100000",
    # Streams are held silent on purpose, and a server that is too slow shall be seen to be.
    "FIRST_TOKEN_TIMEOUT": "300",
    "GAP_TIMEOUT": "3600",
    "TOTAL_TIMEOUT": "3600",
}


class Server:
    """One server process on a database of its own, a copy of one of `databases`.

    `root` is the working tree it is started from, so that two versions can stand side by side in one run.
    """

    def __init__(
        self,
        *,
        name: str,
        directory: Path,
        databases: Databases,
        upstream_port: int,
        cores: set[int],
        root: Path = ROOT,
    ) -> None:
        self.name = name
        self.port = 0
        self.root = root
        self._directory = directory
        self._databases = databases
        self._cores = cores
        self._process: Process | None = None
        self._prepared = False
        self._tokens: dict[str, str] = {}
        self._tokens_at_s = 0.0
        self.environment = {
            **ENVIRONMENT,
            **settings_of(directory / f"{name}.sqlite3"),
            "DEEPSEEK_BASE_URL": f"http://127.0.0.1:{upstream_port}/v1",
        }

    @property
    def pid(self) -> int | None:
        """The server's process."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start and wait until it is live. Raises LoadFailed."""
        if not self._prepared:
            shutil.copyfile(self._databases.of(self.root), self._directory / f"{self.name}.sqlite3")
            self._prepared = True
        self.port = free_port()
        self._tokens = {}
        log = self._directory / f"{self.name}.log"
        environment = self.environment | {"PORT": str(self.port)}
        self._process = Process(
            self.command(), cores=self._cores, environment=environment, directory=self.root, log=log
        )
        if not wait_until(lambda: is_live(self.port), timeout_s=20):
            raise LoadFailed(f"{self.name} is not live:\n{self._process.log_end()}")

    def stop(self) -> None:
        """End it; what it still runs gets no time to finish."""
        if self._process is not None:
            self._process.stop(timeout_s=1.0)

    def request(self, plan: Plan) -> bytes:
        """Ask as a signed-in user."""
        headers = {"Authorization": f"Bearer {self.access()}"}
        return http_request("/api/v2/chat/completions/", plan, headers)

    def command(self) -> list[str]:
        """Return the Procfile's web process, on loopback."""
        lines = (self.root / "Procfile").read_text().split("\n")
        web = next(line.removeprefix("web:") for line in lines if line.startswith("web:"))
        words = [word for word in shlex.split(web) if "=" not in word]
        words = [word.replace("$PORT", str(self.port)).replace("0.0.0.0", "127.0.0.1") for word in words]
        return [sys.executable, "-m", *words]

    def version(self) -> str:
        """Say which commit it is."""
        commit = self._git("rev-parse", "--short", "HEAD")
        changed = self._git("status", "--porcelain", "--untracked-files=no", "--", "apps", "promptcraft")
        return f"commit {commit or 'unknown'}{', changed' if changed else ''}"

    def access(self) -> str:
        """Return an access token of its user, refreshed in time."""
        if not self._tokens:
            self._tokens = _post(self.port, "token/", {"username": USERNAME, "password": PASSWORD})
            self._tokens_at_s = time.monotonic()
        elif time.monotonic() - self._tokens_at_s > _REFRESH_AFTER_S:
            self._tokens = _post(self.port, "token/refresh/", {"refresh": self._tokens["refresh"]})
            self._tokens_at_s = time.monotonic()
        return self._tokens["access"]

    def _git(self, *arguments: str) -> str:
        try:
            done = subprocess.run(["git", *arguments], cwd=self.root, capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return ""
        return done.stdout.strip()


def settings_of(database: Path) -> dict[str, str]:
    """Return the variables that the service is measured with, a fresh secret among them."""
    return {**_SETTINGS, "SECRET_KEY": secrets.token_urlsafe(50), "DATABASE_URL": f"sqlite:///{database}"}


def is_live(port: int) -> bool:
    """Whether the service answers there."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2.0)
    try:
        connection.request("GET", "/api/v2/chat/health/live/")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _post(port: int, path: str, body: Mapping[str, str]) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30.0)
    try:
        connection.request(
            "POST", f"/api/v2/auth/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        response = connection.getresponse()
        answer: dict[str, Any] = json.loads(response.read())
        if response.status != 200:
            raise LoadFailed(f"{path} answered {response.status}: {answer}")
        return answer
    finally:
        connection.close()
