"""The trimmer: what lies free between blocks in use goes back, and nothing runs on after its end."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from promptcraft.heap import Trimmer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="glibc keeps what was freed, others do not")

MIB = 1024 * 1024


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def soon(happened: Callable[[], bool]) -> bool:
    until = time.monotonic() + 10
    while not happened():
        if time.monotonic() > until:
            return False
    return True


def trimmers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "heap-trimmer"]


def test_free_pages_between_blocks_go_back():
    blocks = [bytearray(20_000) for _ in range(5_000)]
    full = resident_bytes()
    kept = blocks[::8]
    del blocks
    left = resident_bytes()
    trimmer = Trimmer(every_s=0.01)
    assert soon(lambda: resident_bytes() < full - 70 * MIB), (full, left, resident_bytes())
    trimmer.close()
    assert left > full - 30 * MIB, "it would have gone back by itself"
    assert len(kept) == 625


def test_it_ends():
    others = trimmers()
    trimmer = Trimmer(every_s=0.01)
    (ours,) = [thread for thread in trimmers() if thread not in others]
    trimmer.close()
    ours.join(5)
    assert not ours.is_alive()
