"""What the service stands beside: its upstream without anything between, nginx, a bare relay."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Protocol

from benchmarks.native import LoadFailed, Plan, Target
from benchmarks.processes import ENVIRONMENT, Process, free_port, wait_until

__all__ = ["BareRelay", "Direct", "Nginx", "StartedTarget", "http_request", "is_listening", "nginx_path"]

_MODEL = "deepseek-flash"
# About what a short conversation weighs.
_QUESTION = "Tell me a short story about a river and the people who live beside it. " * 5


class StartedTarget(Target, Protocol):
    """A target with a life: `start` returns when it answers, `stop` ends it, and it can be started again."""

    def start(self) -> None:
        """Start. Raises LoadFailed."""

    def stop(self) -> None:
        """End it. Safe to call again."""

    def version(self) -> str:
        """Say what it is."""


class Direct:
    """The upstream itself: what the load generator sees with nothing between."""

    name = "direct"
    pid: int | None = None

    def __init__(self, upstream_port: int) -> None:
        self.port = upstream_port

    def request(self, plan: Plan) -> bytes:
        """Ask as a provider's client does."""
        return http_request("/v1/chat/completions", plan)

    def start(self) -> None:
        """Do nothing: it runs."""

    def stop(self) -> None:
        """Do nothing: the bench ends it."""

    def version(self) -> str:
        """Say what it is."""
        return "benchmarks/native/upstream.c"


class _Proxy:
    name: str

    def __init__(self, *, directory: Path, upstream_port: int, cores: set[int]) -> None:
        self.port = 0
        self._directory = directory
        self._upstream_port = upstream_port
        self._cores = cores
        self._process: Process | None = None

    @property
    def pid(self) -> int | None:
        """The process, with its workers."""
        return self._process.pid if self._process is not None else None

    def request(self, plan: Plan) -> bytes:
        """Ask as the upstream is asked."""
        return http_request("/v1/chat/completions", plan)

    def start(self) -> None:
        """Start and wait until it listens. Raises LoadFailed."""
        self.port = free_port()
        log = self._directory / f"{self.name}.log"
        self._process = Process(self._command(), cores=self._cores, environment=ENVIRONMENT, log=log)
        if not wait_until(lambda: is_listening(self.port), timeout_s=15):
            raise LoadFailed(f"{self.name} does not listen:\n{self._process.log_end()}")

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.stop()

    def _command(self) -> list[str | Path]:
        raise NotImplementedError


class Nginx(_Proxy):
    """nginx as a reverse proxy that buffers nothing, one worker, connections to the upstream kept."""

    name = "nginx"

    def version(self) -> str:
        """Say what it is."""
        said = subprocess.run([nginx_path() or "nginx", "-v"], capture_output=True, text=True, check=True).stderr
        return said.strip().removeprefix("nginx version: ")

    def _command(self) -> list[str | Path]:
        path = nginx_path()
        if path is None:
            raise LoadFailed("nginx is not installed (Debian: apt install nginx-light).")
        prefix = self._directory / "nginx"
        prefix.mkdir(exist_ok=True)
        (prefix / "nginx.conf").write_text(_NGINX % {"port": self.port, "upstream": self._upstream_port})
        return [path, "-p", prefix, "-c", prefix / "nginx.conf", "-e", "stderr"]


class BareRelay(_Proxy):
    """The least that a Python server can do for a stream; see bare_relay.py."""

    name = "relay"

    def version(self) -> str:
        """Say what it is."""
        return "benchmarks/bare_relay.py"

    def _command(self) -> list[str | Path]:
        return [sys.executable, "-m", "benchmarks.bare_relay", str(self.port), str(self._upstream_port)]


def http_request(path: str, plan: Plan, headers: dict[str, str] | None = None) -> bytes:
    """Return the bytes of a request for a stream."""
    messages = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": f"{_QUESTION}{plan}"},
    ]
    body = json.dumps({"model": _MODEL, "stream": True, "temperature": 0.7, "messages": messages}).encode()
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "User-Agent: benchmark",
        "Accept: text/event-stream",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def is_listening(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def nginx_path() -> str | None:
    """Return where nginx is, None if it is not there."""
    # It is not on the path of ordinary users.
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


_NGINX = """\
daemon off;
worker_processes 1;
worker_rlimit_nofile 65536;
pid nginx.pid;
error_log stderr error;
events { worker_connections 20000; }
http {
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  keepalive_requests 1000000;
  upstream provider {
    server 127.0.0.1:%(upstream)d;
    keepalive 4096;
    keepalive_requests 1000000;
  }
  server {
    listen 127.0.0.1:%(port)d backlog=4096;
    location / {
      proxy_pass http://provider;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_read_timeout 600s;
    }
  }
}
"""
