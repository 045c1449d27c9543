"""Work of the rules, kept off the event loop where it would hold up the streams on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from apps.templates.rules.preloading import preload, preloaded

__all__ = ["QUICK_CHARACTERS", "worked_out"]

QUICK_CHARACTERS = 300
"""The rules need a few milliseconds for a text up to this; for the longest prompt they need some hundred."""

_T = TypeVar("_T")


async def worked_out(work: Callable[[], _T], *, characters: int) -> _T:
    """Return what the work on a text of that length comes to: done at once if it is short, else in a thread.

    The first ones are done in a thread whatever their length, after the rules have read what they read once.
    """
    if characters <= QUICK_CHARACTERS and preloaded():
        return work()
    return await asyncio.to_thread(_after_preload, work)


def _after_preload(work: Callable[[], _T]) -> _T:
    preload()
    return work()
