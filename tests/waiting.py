"""Waiting for what is to come, and how soon it comes, without a judgement of the machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

__all__ = ["HANG_S", "MOST_TURNS", "PROGRAM_HANG_S", "ends_at_once", "eventually", "soon"]

HANG_S = 60.0
"""What takes longer hangs; what comes late on a busy machine comes before that."""
PROGRAM_HANG_S = 600.0
"""For a program that starts, works and ends."""
MOST_TURNS = 150
"""Round trips of some milliseconds each: half a second where nothing else runs."""

Answer = TypeVar("Answer")


def ends_at_once(work: Coroutine[Any, Any, object]) -> bool:
    """Begin a coroutine, and tell whether it ends without a wait; one that waits is given up."""
    try:
        work.send(None)
    except StopIteration:
        return True
    work.close()
    return False


def eventually(look: Callable[[], Answer], what: str, timeout_s: float = HANG_S) -> Answer:
    """Look again and again until there is something to see, and return it."""
    deadline_s = time.monotonic() + timeout_s
    # Looking without a pause would take the processor from what is looked at.
    pause = threading.Event()
    while not (seen := look()):
        assert time.monotonic() < deadline_s, f"not within {timeout_s} s: {what}"
        pause.wait(0.01)
    return seen


def soon(look: Callable[[], Answer], turn: Callable[[], object], what: str, *, most_turns: int = MOST_TURNS) -> Answer:
    """Look after each turn of the same process's until there is something to see, 150 turns at the most.

    A turn is a request that it answers at once. Where something else keeps the processor, both take longer.
    """
    for _ in range(most_turns):
        if seen := look():
            return seen
        turn()
    raise AssertionError(f"not within {most_turns} turns: {what}")
