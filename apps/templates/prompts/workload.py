"""Work of the rules, in the workbench's threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from apps.core.work_queue import SHARE
from apps.templates.rules.preloading import preload
from apps.templates.workload import WORKBENCH

__all__ = ["worked_out"]

_T = TypeVar("_T")


async def worked_out(work: Callable[[], _T]) -> _T:
    """Return what the work comes to. The first waits until the rules have read what they read once.

    However short the text: the few milliseconds that it takes would add up on the event loop.
    """
    return await WORKBENCH.run(SHARE.get(), lambda: _after_preload(work))


def _after_preload(work: Callable[[], _T]) -> _T:
    preload()
    return work()
