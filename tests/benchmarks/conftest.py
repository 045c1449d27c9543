"""The compiled programs of the bench, and a peer whose answers are written out in the test."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.native import Load, Native, Plan
from benchmarks.targets import http_request
from tests.waiting import PROGRAM_HANG_S

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler called cc")


class ScriptedPeer:
    """Accepts connections one after the other, answers each one's first request with fixed bytes and closes it."""

    name = "peer"
    pid: int | None = None

    def __init__(self, parts: Sequence[bytes]) -> None:
        self._parts = parts
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def request(self, plan: Plan) -> bytes:
        return http_request("/", plan)

    def close(self) -> None:
        # Closing alone does not wake a thread that waits in accept.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.recv(65536)
                for part in self._parts:
                    connection.sendall(part)


@pytest.fixture(scope="session")
def native(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Native]:
    native = Native(tmp_path_factory.mktemp("bench"), load_cores=_cores())
    yield native
    native.stop()


@pytest.fixture
def load_on(native: Native) -> Iterator[Callable[..., Load]]:
    """Return a function that asks a scripted peer once and says what the load generator made of its answer."""
    peers: list[ScriptedPeer] = []

    def ask(*parts: bytes, tokens: int) -> Load:
        peer = ScriptedPeer(parts)
        peers.append(peer)
        return native.run(peer, Plan(tokens=tokens), streams=1, requests=1, limit_s=10)

    yield ask
    for peer in peers:
        peer.close()


@pytest.fixture(scope="session")
def bench() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs `python -m benchmarks`."""

    def run(*arguments: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "benchmarks", *(str(argument) for argument in arguments)]
        root = Path(__file__).resolve().parents[2]
        return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=PROGRAM_HANG_S)

    return run


def _cores() -> set[int]:
    return set(os.sched_getaffinity(0))
