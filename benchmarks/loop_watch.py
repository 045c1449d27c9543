"""How late an event loop comes to what is due, and whose fault that is.

A callback is due every few milliseconds. What it is late by, less the time that the loop's thread stood in the kernel's
queue for a processor, is what the process itself kept the loop from turning: by computing, by a lock, by a read of a
file. The queue is other people's doing, on a machine that is shared.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time

__all__ = ["LoopWatch"]


class LoopWatch:
    """Watches the running loop from its own thread until `stop`. Linux only; it keeps one file open."""

    def __init__(self, every_s: float = 0.005) -> None:
        self.worst_held_s = 0.0
        """The longest time for which the process itself held the loop."""
        self.worst_late_s = 0.0
        """The longest lateness, whoever is to blame."""
        self.worst_computed_s = 0.0
        """The most processor time that the loop's thread used between two turns."""
        self.turns = 0
        self._every_s = every_s
        self._loop = asyncio.get_running_loop()
        self._schedule = os.open(f"/proc/self/task/{threading.get_native_id()}/schedstat", os.O_RDONLY)
        self._plan()

    def reset(self) -> None:
        """Forget what was seen."""
        self.worst_held_s = self.worst_late_s = self.worst_computed_s = 0.0
        self.turns = 0

    def stop(self) -> None:
        """End the watch and close its file."""
        self._timer.cancel()
        os.close(self._schedule)

    def as_json(self) -> dict[str, float]:
        """Return what was seen."""
        return {
            "worst_held_ms": round(self.worst_held_s * 1000, 1),
            "worst_late_ms": round(self.worst_late_s * 1000, 1),
            "worst_computed_ms": round(self.worst_computed_s * 1000, 1),
            "turns": self.turns,
        }

    def _plan(self) -> None:
        self._queued_s = self._in_queue_s()
        self._computed_s = time.thread_time()
        # The loop's own clock may stand still within a turn.
        self._due_s = time.monotonic() + self._every_s
        self._timer = self._loop.call_later(self._every_s, self._turn)

    def _turn(self) -> None:
        late_s = time.monotonic() - self._due_s
        computed_s = time.thread_time() - self._computed_s
        held_s = late_s - (self._in_queue_s() - self._queued_s)
        self.turns += 1
        self.worst_late_s = max(self.worst_late_s, late_s)
        self.worst_held_s = max(self.worst_held_s, held_s)
        self.worst_computed_s = max(self.worst_computed_s, computed_s)
        self._plan()

    def _in_queue_s(self) -> float:
        # Nanoseconds on a processor, nanoseconds waiting for one, and how many times.
        return int(os.pread(self._schedule, 128, 0).split()[1]) / 1e9
