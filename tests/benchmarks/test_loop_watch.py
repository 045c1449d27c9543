"""The watch over a loop: it must see what holds a loop, and not what other processes do."""

from __future__ import annotations

import asyncio
import hashlib
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from benchmarks.loop_watch import LoopWatch

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the watch reads /proc")


@pytest.fixture
async def watch() -> Iterator[LoopWatch]:  # type: ignore[misc]
    watch = LoopWatch()
    yield watch
    watch.stop()


async def turns(watch: LoopWatch, count: int = 3) -> None:
    """Wait until the watch has looked so many times more."""
    until = watch.turns + count
    # The watch tells nobody when it looks: it is to take next to no time.
    while watch.turns < until:  # noqa: ASYNC110
        await asyncio.sleep(0)


def compute(seconds: float) -> None:
    began_s = time.thread_time()
    while time.thread_time() - began_s < seconds:
        hashlib.sha256(b"x" * 1000).digest()


async def test_computing_on_the_loop_is_seen(watch: LoopWatch):
    await turns(watch)
    compute(0.15)
    await turns(watch)
    assert watch.worst_held_s > 0.1
    assert watch.worst_computed_s > 0.1
    assert watch.worst_late_s >= watch.worst_held_s


async def test_waiting_on_the_loop_is_seen(watch: LoopWatch):
    await turns(watch)
    threading.Event().wait(0.15)
    await turns(watch)
    assert watch.worst_held_s > 0.1
    assert watch.worst_computed_s < 0.1


async def test_computing_beside_it_is_not(watch: LoopWatch):
    await turns(watch)
    watch.reset()
    # It lets go of the interpreter's lock, as the hashing of passwords does.
    await asyncio.to_thread(hashlib.pbkdf2_hmac, "sha256", b"x", b"y", 300_000)
    await turns(watch)
    assert watch.worst_held_s < 0.1


async def test_reset_forgets(watch: LoopWatch):
    await turns(watch)
    compute(0.15)
    await turns(watch)
    watch.reset()
    await turns(watch)
    assert watch.worst_held_s < 0.1
