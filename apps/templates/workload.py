"""Work on texts that may be long, kept off the event loop where it would hold up the streams on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

__all__ = ["QUICK_CHARACTERS", "worked_out"]

QUICK_CHARACTERS = 1_000
"""The rules need a few milliseconds for a text up to this; for the longest prompt they need some hundred."""

_T = TypeVar("_T")


async def worked_out(work: Callable[[], _T], *, characters: int) -> _T:
    """Return what the work on a text of that length comes to: done at once if it is short, else in a thread."""
    return work() if characters <= QUICK_CHARACTERS else await asyncio.to_thread(work)
