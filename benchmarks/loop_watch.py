"""How late an event loop comes to what is due, and whose fault that is.

A callback is due every few milliseconds. What it is late by, less the time that the threads of the process stood in
the kernel's queue for a processor, is what the process itself kept the loop from turning: by computing, by a lock, by a
read of a file. The queue is other people's doing, on a machine that is shared. All threads count there, since the one
in the queue may have the interpreter's lock.
"""

from __future__ import annotations

import asyncio
import os
import time

__all__ = ["LoopWatch"]


class LoopWatch:
    """Watches the running loop until `stop`. Linux only; a look takes some ten microseconds for each thread."""

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
        self._plan()

    def reset(self) -> None:
        """Forget what was seen."""
        self.worst_held_s = self.worst_late_s = self.worst_computed_s = 0.0
        self.turns = 0

    def stop(self) -> None:
        """End the watch."""
        self._timer.cancel()

    def as_json(self) -> dict[str, float]:
        """Return what was seen."""
        return {
            "worst_held_ms": round(self.worst_held_s * 1000, 1),
            "worst_late_ms": round(self.worst_late_s * 1000, 1),
            "worst_computed_ms": round(self.worst_computed_s * 1000, 1),
            "turns": self.turns,
        }

    def _plan(self) -> None:
        self._queued_s = _in_queue_s()
        self._computed_s = time.thread_time()
        # The loop's own clock may stand still within a turn.
        self._due_s = time.monotonic() + self._every_s
        self._timer = self._loop.call_later(self._every_s, self._turn)

    def _turn(self) -> None:
        late_s = time.monotonic() - self._due_s
        computed_s = time.thread_time() - self._computed_s
        # What a thread that has ended has waited counts no more.
        held_s = late_s - max(0.0, _in_queue_s() - self._queued_s)
        self.turns += 1
        self.worst_late_s = max(self.worst_late_s, late_s)
        self.worst_held_s = max(self.worst_held_s, held_s)
        self.worst_computed_s = max(self.worst_computed_s, computed_s)
        self._plan()


def _in_queue_s() -> float:
    queued_ns = 0
    for thread in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{thread}/schedstat", "rb") as file:
                # Nanoseconds on a processor, nanoseconds waiting for one, and how many times.
                queued_ns += int(file.read().split()[1])
        except OSError:
            # It has just ended.
            continue
    return queued_ns / 1e9
