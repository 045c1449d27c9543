"""The one door from async code to the ORM.

Not `sync_to_async`: its thread-sensitive mode, which the ORM needs, runs all calls of a process one after the
other in a single thread, so that one slow query holds up every request. Here a few threads of our own work side by
side, each with its own connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

from django.db import close_old_connections

from apps.core.store_bounds import CALL_S
from apps.core.work_queue import SHARE, WorkQueue
from apps.llm.errors import Code, ServiceUnavailable

__all__ = ["DATABASE", "run_in_database", "with_fresh_connections"]

# A stream holds no connection while it streams, so a few threads serve thousands of them.
DATABASE = WorkQueue(
    "database", threads=4, most_running=1, most_running_of_owner=1, most_waiting_of_share=500, most_waiting=2_000
)
"""Short calls: what completions and accounts ask. Nothing that takes longer comes here."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


async def run_in_database(function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Run a synchronous function that uses the ORM in a database thread and return what it returns.

    On the account of `SHARE`. Connections past their age are closed before and after the call. The caller waits for
    CALL_S at the most. A cancelled or late caller does not stop a function that has begun: it keeps its thread until
    its own waits are over.

    Raises:
        RateLimited: as `WorkQueue.run` does.
        ServiceUnavailable: as `WorkQueue.run` does, or the time is over.

    """
    work = partial(with_fresh_connections, partial(function, *args, **kwargs))
    try:
        async with asyncio.timeout(CALL_S):
            return await DATABASE.run(SHARE.get(), work)
    except TimeoutError:
        raise ServiceUnavailable("The database is busy. Try again in a moment.", code=Code.OVERLOADED) from None


def with_fresh_connections(call: Callable[[], _T]) -> _T:
    """Call it, and close connections past their age before and after."""
    close_old_connections()
    try:
        return call()
    finally:
        close_old_connections()
