"""The workbench's work in threads: its rules, its library and its search, each user's share of it, and their window.

Chat asks nothing of these threads, and nothing of the workbench is done on the event loop, where it would hold up the
streams.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import ParamSpec, TypeVar

from django.conf import settings
from django.core.signals import setting_changed

from apps.core.work_queue import SHARE, WorkQueue
from apps.limits.limiter import Lease, Rate, Window, parse_rate
from apps.limits.opening import current_windows
from apps.llm.errors import PromptCraftError
from promptcraft.database import with_fresh_connections

__all__ = [
    "IMPORTS",
    "MOST_BYTES_OF_A_SMALL_IMPORT",
    "WORKBENCH",
    "run_in_workbench",
    "workbench_counted",
    "workbench_rate",
    "workbench_take",
]

WORKBENCH = WorkQueue("workbench", threads=4, most_running=1, most_waiting_of_share=64, most_waiting=512, rests=True)
IMPORTS = WorkQueue("imports", threads=2, most_running=1, most_waiting_of_share=16, most_waiting=64, rests=True)
"""Of large files. Each takes seconds: as many users as there are threads would leave none to whoever only searches."""
MOST_BYTES_OF_A_SMALL_IMPORT = 4 * 1024
"""One of up to so much takes no longer than the workbench's other work; two users' large ones do not delay it."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


async def run_in_workbench(function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Run a synchronous function, which may use the ORM, in a thread of the workbench, as `run_in_database` does."""
    return await WORKBENCH.run(SHARE.get(), partial(with_fresh_connections, partial(function, *args, **kwargs)))


@functools.cache
def workbench_rate() -> Rate:
    """Return the rate that holds for each user."""
    limit, window_s = parse_rate(settings.WORKBENCH_RATE_LIMIT)
    return Rate(policy="workbench", limit=limit, window_s=window_s, what="requests to the workbench")


async def workbench_take(user_id: int, on_window: Callable[[Window], None]) -> Lease:
    """Count a request of a user's and tell how their window stands. Raises RateLimited, having counted nothing."""
    admission = await current_windows().take(workbench_rate(), user_id)
    on_window(admission.window)
    if admission.lease is None:
        assert admission.refusal is not None
        raise admission.refusal
    return admission.lease


@asynccontextmanager
async def workbench_counted(user_id: int, on_window: Callable[[Window], None]) -> AsyncIterator[None]:
    """Count a request that is served inside the block, unless we fail.

    One that another limit refuses in there, such as that of completions, has had its work done, and counts.
    """
    lease = await workbench_take(user_id, on_window)
    try:
        yield
    except PromptCraftError as error:
        if error.http_status >= 500:
            lease.fail()
        raise
    except Exception:
        lease.fail()
        raise


def _forget_rate(*, setting: str, **_: object) -> None:
    if setting == "WORKBENCH_RATE_LIMIT":
        workbench_rate.cache_clear()


setting_changed.connect(_forget_rate)
