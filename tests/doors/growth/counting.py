"""Work, counted in two ways, neither of which depends on how busy the machine is.

A door as a whole is counted in lines and calls of Python, in every thread: that is where requests are handled, and it
is cheap. It says nothing of what happens inside `re`, a set or a comparison, where work has grown as well. So whatever
reads a text or an event is also counted by itself, in blocks of instructions that the processor executes. Valgrind
counts those whichever tool it runs, and the same every time, but takes ten times as long even with the tool that does
nothing: too long for whole requests. It is asked from inside, by the instructions that it takes for a request of the
program's (https://valgrind.org/docs/manual/manual-core-adv.html#manual-core-adv.clientreq), and answers in its log.
"""

from __future__ import annotations

import ctypes
import itertools
import mmap
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

__all__ = ["MACHINE", "BlockCounter", "Counter", "LineCounter"]

MACHINE = "x86_64"
"""The only one whose instructions are written down here."""
# mov %rdi,%rax; xor %rdx,%rdx; four rotations of %rdi that change nothing; xchg %rbx,%rbx; mov %rdx,%rax; ret
_ASK = bytes.fromhex("4889f8 4831d2 48c1c703 48c1c70d 48c1c73d 48c1c733 4887db 4889d0 c3")
_MONITOR_COMMAND = 0x1202
_COUNT = b"scheduler: "
_BEHIND_COUNT = b" event checks."


class Counter(Protocol):
    """Counts what is done between two marks."""

    least: int
    """What two counts of the same work may differ by."""
    most: int
    """What the smallest size of anything needs to take at the most; 0 if it does not matter."""

    def mark(self) -> None:
        """Note how much has been done."""

    def between_marks(self) -> int:
        """Return how much was done between the last two."""


class LineCounter:
    """Counts lines and calls of Python, of this thread and of those that are started from now on."""

    least = 300
    most = 0

    def __init__(self) -> None:
        self._marks = (0, 0)
        # One call of C, so that threads lose no step to each other.
        step = self._done = itertools.count().__next__

        def trace(frame: FrameType, event: str, argument: Any) -> Any:
            step()
            return trace

        threading.settrace(trace)
        sys.settrace(trace)

    def mark(self) -> None:
        self._marks = self._marks[1], self._done()

    def between_marks(self) -> int:
        return self._marks[1] - self._marks[0]


class BlockCounter:
    """Counts blocks, of every thread. The process has to run under valgrind, with its log in that file."""

    least = 1_200
    most = 40_000

    def __init__(self, log: Path) -> None:
        self._log = log.open("rb")
        self._code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self._code.write(_ASK)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._code))
        self._ask = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p)(address)
        self._words = (ctypes.c_uint64 * 6)()
        self._command = ctypes.create_string_buffer(b"v.info stats")
        self._words[0], self._words[1] = _MONITOR_COMMAND, ctypes.addressof(self._command)

    def mark(self) -> None:
        self._ask(ctypes.addressof(self._words))

    def between_marks(self) -> int:
        first, last = [
            int(line.partition(_COUNT)[2].removesuffix(_BEHIND_COUNT).replace(b",", b""))
            for line in self._log.read().splitlines()
            if line.endswith(_BEHIND_COUNT)
        ][-2:]
        return last - first
