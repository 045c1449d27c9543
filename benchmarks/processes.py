"""Processes of the bench: pinned to cores, measured from outside, ended with it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Literal

__all__ = ["ENVIRONMENT", "ROOT", "CpuClock", "Process", "free_port", "pause", "pss_bytes", "wait_until"]

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT: Mapping[str, str] = {"PATH": os.defpath, "LANG": "C.UTF-8"}
"""All that a measured process inherits."""


class Process:
    """A child that leads a process group of its own; `stop` ends the whole group."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        cores: Iterable[int],
        environment: Mapping[str, str] = ENVIRONMENT,
        directory: Path = ROOT,
        log: Path | None = None,
        piped: bool = False,
    ) -> None:
        self.log = log
        ours = os.sched_getaffinity(0)
        output: IO[Any] | int = subprocess.PIPE if piped else subprocess.DEVNULL
        errors: IO[Any] | int | None = None if piped else subprocess.DEVNULL
        if log is not None:
            output = errors = log.open("ab")
        # A child starts where its parent is: pinned from its first instruction on.
        os.sched_setaffinity(0, set(cores))
        try:
            self.popen: subprocess.Popen[str] = subprocess.Popen(
                [str(part) for part in command],
                env=dict(environment),
                cwd=directory,
                stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                start_new_session=True,
                text=True,
            )
        finally:
            os.sched_setaffinity(0, ours)
            if log is not None and not isinstance(output, int):
                output.close()

    @property
    def pid(self) -> int:
        """Its id."""
        return self.popen.pid

    def is_running(self) -> bool:
        """Whether it has not left yet."""
        return self.popen.poll() is None

    def log_end(self) -> str:
        """Return the last lines of its log."""
        text = self.log.read_text(errors="replace") if self.log is not None and self.log.exists() else ""
        return text[-2000:]

    def stop(self, timeout_s: float = 10.0) -> None:
        """End it: by closing its input, by SIGTERM, by SIGKILL. Safe to call again."""
        if self.popen.stdin is not None:
            try:
                self.popen.stdin.close()
            except BrokenPipeError:
                pass  # it has left already
        elif self.is_running():
            self.popen.send_signal(signal.SIGTERM)
        try:
            self.popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
            self.popen.wait(timeout_s)
        if self.popen.stdout is not None:
            self.popen.stdout.close()


class CpuClock:
    """The CPU time of a process and its children, threads that came and went included."""

    def __init__(self, pid: int | None) -> None:
        self._clocks = [] if pid is None else [_clock(child) for child in _tree(pid)]

    def read_s(self) -> float:
        """Return the seconds used so far."""
        return sum(_read_ns(clock) for clock in self._clocks) / 1e9


def pss_bytes(pid: int, kind: Literal["Pss", "Pss_Anon"] = "Pss") -> int:
    """Return the memory of a process and its children, pages that several hold counted once; all, or no file's."""
    total = 0
    for child in _tree(pid):
        try:
            lines = Path(f"/proc/{child}/smaps_rollup").read_text().split("\n")
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{kind}:"))
    return total


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def pause(seconds: float) -> None:
    """Let time pass."""
    threading.Event().wait(seconds)


def wait_until(holds: Callable[[], bool], *, timeout_s: float, every_s: float = 0.02) -> bool:
    """Ask until the answer is yes; False if it is not in time."""
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline_s:
            return False
        pause(every_s)
    return True


def _clock(pid: int) -> int:
    # clock_getcpuclockid(3) of glibc: the process's id, inverted, over the bits of CPUCLOCK_SCHED.
    return (~pid << 3) | 2


def _read_ns(clock: int) -> int:
    try:
        return time.clock_gettime_ns(clock)
    except OSError:
        return 0


def _tree(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name before it is in brackets and may hold anything.
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
        children.setdefault(parent, []).append(int(stat.parent.name))
    tree = [pid]
    for known in tree:
        tree += children.get(known, [])
    return tree
