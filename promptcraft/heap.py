"""Memory that was freed, given back to the system.

glibc keeps what lies between blocks in use. Bursts of large answers leave much of that, and the process then looks as
if it grew by the hour.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable

__all__ = ["Trimmer"]

_EVERY_S = 60.0


class Trimmer:
    """A thread that has the allocator give back whole free pages once a minute; `close` ends it.

    It holds the interpreter for none of it, and the allocator for a few milliseconds for each 100 MiB of heap. Does
    nothing where the C library is another.
    """

    def __init__(self, every_s: float = _EVERY_S) -> None:
        self._every_s = every_s
        self._closed = threading.Event()
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
        if trim is not None:
            threading.Thread(target=self._run, args=(trim,), name="heap-trimmer", daemon=True).start()

    def close(self) -> None:
        """Trim no more."""
        self._closed.set()

    def _run(self, trim: Callable[[int], int]) -> None:
        while not self._closed.wait(self._every_s):
            trim(0)
