"""What a request costs a server process: processor time and memory, from Linux's /proc."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.server import ServerProcess

__all__ = ["Cost", "measured", "needs_proc", "spent_s", "wait_until_idle"]

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="costs are read from /proc")
_RESET_PEAK = "5"
_IDLE_S = 0.02
_IDLE_WITHIN_S = 20.0


@dataclass(slots=True)
class Cost:
    """`cpu_s` of all threads; `memory_bytes` from before to the peak."""

    cpu_s: float = 0.0
    memory_bytes: int = 0


@contextmanager
def measured(server: ServerProcess) -> Iterator[Cost]:
    """Measure what happens inside the block; the figures are there behind it."""
    process = Path(f"/proc/{server.pid}")
    wait_until_idle(process)
    (process / "clear_refs").write_text(_RESET_PEAK)
    cost = Cost()
    memory_bytes, cpu_s = server.resident_bytes(), spent_s(process)
    yield cost
    cost.cpu_s = spent_s(process) - cpu_s
    cost.memory_bytes = server.peak_resident_bytes() - memory_bytes


def wait_until_idle(process: Path) -> None:
    """Let a server that has just started read what it reads ahead: that is not what is measured."""
    until_s = time.monotonic() + _IDLE_WITHIN_S
    pause = threading.Event()
    idle = False
    while not idle and time.monotonic() < until_s:
        before_s = sum(_running_and_queued_s(process))
        pause.wait(_IDLE_S)
        idle = sum(_running_and_queued_s(process)) - before_s < _IDLE_S / 10


def spent_s(process: Path) -> float:
    """Return the processor time of all its threads, not in the ticks of /proc/<pid>/stat, which are long."""
    return _running_and_queued_s(process)[0]


def _running_and_queued_s(process: Path) -> tuple[float, float]:
    """Return how long its threads were on a processor, and how long they waited for one."""
    running_ns = queued_ns = 0
    for thread in (process / "task").iterdir():
        try:
            running, queued, _ = (thread / "schedstat").read_text().split()
        except OSError:
            # A thread that has just ended.
            continue
        running_ns += int(running)
        queued_ns += int(queued)
    return running_ns / 1e9, queued_ns / 1e9
