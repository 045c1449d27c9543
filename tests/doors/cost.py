"""What a request costs a server process: processor time and memory, from Linux's /proc."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.server import ServerProcess

__all__ = ["Cost", "measured", "needs_proc"]

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="costs are read from /proc")
_RESET_PEAK = "5"
_IDLE_S = 0.02
_IDLE_WITHIN_S = 3.0


@dataclass(slots=True)
class Cost:
    """`cpu_s` of all threads; `memory_bytes` from before to the peak."""

    cpu_s: float = 0.0
    memory_bytes: int = 0


@contextmanager
def measured(server: ServerProcess) -> Iterator[Cost]:
    """Measure what happens inside the block; the figures are there behind it."""
    process = Path(f"/proc/{server.pid}")
    _wait_until_idle(process)
    (process / "clear_refs").write_text(_RESET_PEAK)
    cost = Cost()
    memory_bytes, cpu_s = server.resident_bytes(), _cpu_s(process)
    yield cost
    cost.cpu_s = _cpu_s(process) - cpu_s
    cost.memory_bytes = server.peak_resident_bytes() - memory_bytes


def _wait_until_idle(process: Path) -> None:
    """Let a server that has just started read what it reads ahead: that is not what is measured."""
    until_s = time.monotonic() + _IDLE_WITHIN_S
    idle = False
    while not idle and time.monotonic() < until_s:
        since_s, cpu_s = time.monotonic(), _cpu_s(process)
        while time.monotonic() < since_s + _IDLE_S:
            os.sched_yield()
        idle = _cpu_s(process) - cpu_s < _IDLE_S / 10


def _cpu_s(process: Path) -> float:
    """Return nanoseconds on a processor, not the ticks of /proc/<pid>/stat, which are ten milliseconds long."""
    total_ns = 0
    for thread in (process / "task").iterdir():
        try:
            total_ns += int((thread / "schedstat").read_text().split()[0])
        except OSError:
            # A thread that has just ended.
            continue
    return total_ns / 1e9
