"""Memory that was freed is used again, or given back to the system.

glibc keeps what lies between blocks in use, in a heap of its own for each thread: what one thread has freed is of no
use to the others, and the process looks as if it grew by the hour. Does nothing where the C library is another.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable

__all__ = ["Trimmer", "share_heap"]

_EVERY_S = 60.0
_M_ARENA_MAX = -8
"""From malloc.h."""


def share_heap() -> None:
    """Have all threads that are yet to start allocate from one heap; they wait for the interpreter, seldom for it."""
    mallopt = _of_glibc("mallopt")
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)


class Trimmer:
    """A thread that has the allocator give back whole free pages once a minute; `close` ends it.

    It holds the interpreter for none of it, and the allocator for a few milliseconds for each 100 MiB of heap.
    """

    def __init__(self, every_s: float = _EVERY_S) -> None:
        self._every_s = every_s
        self._closed = threading.Event()
        trim = _of_glibc("malloc_trim")
        if trim is not None:
            threading.Thread(target=self._run, args=(trim,), name="heap-trimmer", daemon=True).start()

    def close(self) -> None:
        """Trim no more."""
        self._closed.set()

    def _run(self, trim: Callable[[int], int]) -> None:
        while not self._closed.wait(self._every_s):
            trim(0)


def _of_glibc(name: str) -> Callable[..., int] | None:
    # musl has neither of the two.
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
