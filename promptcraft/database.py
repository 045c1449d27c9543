"""The one door from async code to the ORM.

Not `sync_to_async`: its thread-sensitive mode, which the ORM needs, runs all calls of a process one after the
other in a single thread, so that one slow query holds up every request. Here a few threads of our own work side by
side, each with its own connection.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar

from django.db import close_old_connections

from apps.llm.errors import Code, ServiceUnavailable

__all__ = ["run_in_database"]

# A stream holds no connection while it streams, so a few threads serve thousands of them.
_THREADS = 4
_MOST_PENDING = 1_000

_executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="database")
_pending_lock = threading.Lock()
_pending = 0

_P = ParamSpec("_P")
_T = TypeVar("_T")


async def run_in_database(function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Run a synchronous function that uses the ORM in a database thread and return what it returns.

    Connections past their age are closed before and after the call. A cancelled caller does not stop a function that
    has begun. At 1,000 calls begun or waiting further ones are refused.

    Raises:
        ServiceUnavailable: the bound is reached.

    """
    _take_place()
    try:
        call = partial(contextvars.copy_context().run, _with_fresh_connections, partial(function, *args, **kwargs))
        future = _executor.submit(call)
    except BaseException:
        _leave_place()
        raise
    future.add_done_callback(_leave_place)
    return await asyncio.wrap_future(future)


def _with_fresh_connections(call: Callable[[], _T]) -> _T:
    close_old_connections()
    try:
        return call()
    finally:
        close_old_connections()


def _take_place() -> None:
    global _pending
    with _pending_lock:
        if _pending >= _MOST_PENDING:
            raise ServiceUnavailable("The server is busy. Try again in a moment.", code=Code.OVERLOADED)
        _pending += 1


def _leave_place(_: Future[Any] | None = None) -> None:
    global _pending
    with _pending_lock:
        _pending -= 1
