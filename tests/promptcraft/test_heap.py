"""One heap for all threads; what lies free between blocks in use goes back, and nothing runs on after its end."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from promptcraft.heap import Trimmer
from tests.server import ROOT

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


@pytest.mark.parametrize(("first", "heaps"), [("", 4), ("share_heap()", 0)])
def test_threads_share_one_heap(first: str, heaps: int):
    # A heap of a thread's own begins where 64 MiB do.
    code = f"""
import re, threading
from promptcraft.heap import share_heap
{first}
def allocate():
    kept.append(bytearray(20_000))
    made.release()
    over.wait()
kept, made, over = [], threading.Semaphore(0), threading.Event()
threads = [threading.Thread(target=allocate) for _ in range(4)]
for thread in threads: thread.start()
for _ in threads: made.acquire()
print(len(re.findall("(?m)^[0-9a-f]+[048c]000000-[0-9a-f]+ rw", open("/proc/self/maps").read())))
over.set()
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=ROOT, text=True)
    assert int(found.stdout) == heaps, found
