"""A fresh copy of the project in which `make run` has been typed, and a shell to type more."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.project.tree import ROOT, project_files
from tests.waiting import HANG_S

__all__ = ["PYTHON", "Machine", "fresh_machine"]

PYTHON = Path(sys.prefix)


@dataclass(frozen=True)
class Machine:
    """A copy of the project in which `make run` runs, and what a shell there has in its environment."""

    directory: Path
    environment: dict[str, str]
    address: str
    output: Path

    def typed(self, command: str, *answers: str) -> str:
        """Type a line into a shell that has a terminal, and its answers, and return what the terminal showed."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(self.directory)
            os.execvpe("bash", ["bash", "-c", command], self.environment)
        shown = b""
        waiting = list(answers)
        try:
            while True:
                shown += os.read(terminal, 4096)
                if waiting and shown.rstrip().endswith(b":"):
                    os.write(terminal, f"{waiting.pop(0)}\n".encode())
        except OSError:
            # That is how a terminal ends.
            pass
        finally:
            os.close(terminal)
            os.waitpid(pid, 0)
        return shown.decode()

    @property
    def key(self) -> str:
        """The API key that `make run` has printed."""
        (key,) = re.findall(r"(?m)^export PROMPTCRAFT_API_KEY=(\S+)$", self.output.read_text())
        return str(key)

    def asked(self, path: str, **fields: str) -> tuple[int, dict[str, object]]:
        request = urllib.request.Request(
            f"{self.address}{path}", json.dumps(fields).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=HANG_S) as answer:
            return answer.status, json.load(answer)


@contextmanager
def fresh_machine(directory: Path) -> Iterator[Machine]:
    """Copy the project into a directory, run `make run` there, and stop it at the end."""
    for name in project_files():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, directory / name)
    # What make would install is there already: that takes a network.
    (directory / ".venv").symlink_to(PYTHON)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    output = directory.parent / "output"
    with output.open("wb") as sink:
        run = subprocess.Popen(
            ["make", "run"],
            cwd=directory,
            env=environment | {"PORT": str(port)},
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    try:
        deadline_s = time.monotonic() + HANG_S
        while "curl -N" not in output.read_text():
            assert run.poll() is None, output.read_text()[-2000:]
            assert time.monotonic() < deadline_s, output.read_text()[-2000:]
            try:
                run.wait(0.05)
            except subprocess.TimeoutExpired:
                pass
        yield Machine(directory, environment, f"http://127.0.0.1:{port}", output)
    finally:
        # As a terminal does: make and all that it started.
        with suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGINT)
        run.wait(HANG_S)
