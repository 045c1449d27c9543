"""nginx and HAProxy as the document configures them, on ports and in directories of a test's own.

The blocks are taken out of `docs/operations.md`. What cannot be on a tester's machine is replaced: addresses, the
certificate, and waits that are long on purpose. Whatever is to be replaced must be there, so that the document cannot
change unseen.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.operations.programs import need_program
from tests.upstream.ports import free_port
from tests.waiting import HANG_S

__all__ = ["DOCUMENT", "HAProxy", "Nginx", "Proxy", "block", "blocks"]

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "operations.md"
HEADER_TIMEOUT_S = 0.5
"""What the ten seconds for a request's headers are replaced by."""
_HEADER_TIMEOUT = f"{round(HEADER_TIMEOUT_S * 1000)}ms"


def blocks(language: str) -> list[str]:
    """Return the document's fenced blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT.read_text(), re.M | re.S)


def block(language: str) -> str:
    """Return the document's only block of a language."""
    (only,) = blocks(language)
    return only


def replaced(text: str, replacements: Mapping[str, str]) -> str:
    """Replace each text, which must be there."""
    for old, new in replacements.items():
        assert old in text, f"docs/operations.md no longer has {old!r}"
        text = text.replace(old, new)
    return text


class Proxy:
    """One proxy process in front of `upstream_port`; leave the `with` block to end it.

    `point(port)` loads the configuration anew, as a deploy does: new requests go there, running ones stay.
    """

    name: str
    package: str

    def __init__(self, upstream_port: int, more: Mapping[str, str] | None = None) -> None:
        self.program = need_program(self.name, self.package)
        self.port = free_port()
        self.directory = Path(tempfile.mkdtemp(prefix=f"pc-{self.name}-"))
        self._more = dict(more or {})
        self._processes: list[subprocess.Popen[bytes]] = []
        self._write(upstream_port)

    def configuration(self, upstream_port: int) -> str:
        """Return the whole configuration."""
        raise NotImplementedError

    def command(self) -> list[str]:
        """Return how the process is started in the foreground."""
        raise NotImplementedError

    def check(self) -> list[str]:
        """Return how the configuration is checked."""
        raise NotImplementedError

    def point(self, upstream_port: int) -> None:
        """Send new requests to another port."""
        raise NotImplementedError

    def url(self, path: str) -> str:
        """Return the address of a path."""
        return f"http://127.0.0.1:{self.port}{path}"

    def output(self) -> str:
        """Return all that it has said."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.directory.glob("*.log")))

    def __enter__(self) -> Self:
        try:
            self._start(self.command())
            self._wait_listening()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every process of it and remove its directory."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(2)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _write(self, upstream_port: int) -> None:
        (self.directory / "configuration").write_text(self.configuration(upstream_port))

    def _start(self, command: list[str]) -> None:
        with (self.directory / f"process-{len(self._processes)}.log").open("wb") as log:
            self._processes.append(
                subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
            )

    def _wait_listening(self) -> None:
        deadline_s = time.monotonic() + HANG_S
        pause = threading.Event()
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self._processes[-1].poll() is not None or time.monotonic() > deadline_s:
                raise AssertionError(f"{self.name} does not listen:\n{self.output()[-3000:]}")
            pause.wait(0.02)


class Nginx(Proxy):
    """nginx with the document's site, in a main context of the document's figures."""

    name = "nginx"
    package = "nginx-light"

    def configuration(self, upstream_port: int) -> str:
        main, site = blocks("nginx")
        directory = self.directory
        site = replaced(
            site,
            {
                "listen 443 ssl http2;": f"listen 127.0.0.1:{self.port};",
                "    ssl_certificate     /etc/ssl/api.example.org.pem;\n": "",
                "    ssl_certificate_key /etc/ssl/api.example.org.key;\n": "",
                "server_name api.example.org;": "server_name _;",
                "127.0.0.1:8000": f"127.0.0.1:{upstream_port}",
                "client_header_timeout 10s;": f"client_header_timeout {_HEADER_TIMEOUT};",
            }
            | self._more,
        )
        paths = "".join(
            f"    {name}_temp_path {directory}/{name};\n"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        user = "user root;\n" if os.geteuid() == 0 else ""
        return (
            f"daemon off;\npid {directory}/pid;\nerror_log {directory}/error.log;\n{user}{main}"
            f"http {{\n    access_log off;\n{paths}{site}}}\n"
        )

    def command(self) -> list[str]:
        return [self.program, "-p", str(self.directory), "-c", str(self.directory / "configuration")]

    def check(self) -> list[str]:
        return [*self.command(), "-t", "-q"]

    def point(self, upstream_port: int) -> None:
        self._write(upstream_port)
        before = self._workers()
        subprocess.run([*self.command(), "-s", "reload"], check=True, timeout=10, capture_output=True)
        deadline_s = time.monotonic() + HANG_S
        pause = threading.Event()
        # The reload is a signal: it is done when there are workers that were not there before.
        while not self._workers() - before:
            assert time.monotonic() < deadline_s, f"nginx does not reload:\n{self.output()[-3000:]}"
            pause.wait(0.01)

    def _workers(self) -> set[str]:
        children = Path(f"/proc/{self._processes[0].pid}/task/{self._processes[0].pid}/children")
        return set(children.read_text().split())


class HAProxy(Proxy):
    """HAProxy with the document's whole configuration."""

    name = "haproxy"
    package = "haproxy"

    def configuration(self, upstream_port: int) -> str:
        return replaced(
            block("haproxy"),
            {
                "bind :443 ssl crt /etc/ssl/api.example.org.pem alpn h2,http/1.1": f"bind 127.0.0.1:{self.port}",
                "127.0.0.1:8000": f"127.0.0.1:{upstream_port}",
                # The tester's own limit of descriptors may be lower than a server's.
                "maxconn 5000": "maxconn 200",
                "timeout http-request 10s": f"timeout http-request {_HEADER_TIMEOUT}",
            }
            | self._more,
        )

    def command(self) -> list[str]:
        return [self.program, "-db", "-f", str(self.directory / "configuration")]

    def check(self) -> list[str]:
        return [*self.command(), "-c", "-q"]

    def point(self, upstream_port: int) -> None:
        self._write(upstream_port)
        old = self._processes[-1]
        log = self.directory / f"process-{len(self._processes) - 1}.log"
        self._start([*self.command(), "-sf", str(old.pid)])
        deadline_s = time.monotonic() + HANG_S
        pause = threading.Event()
        # The old one says so when it takes no more connections.
        while "Proxy api stopped" not in log.read_text(errors="replace"):
            assert time.monotonic() < deadline_s, f"HAProxy does not reload:\n{self.output()[-3000:]}"
            pause.wait(0.01)
