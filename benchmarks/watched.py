"""The service with a window into its process, for a soak and for tests of load; never for production.

uvicorn benchmarks.watched:application

`GET /__process` answers, before the service sees the request, how many of each thing the process has and how late its
loop has been; `?reset` forgets the lateness, `?objects` counts Python's objects by type, which stops the loop for a
while. Between `?lines=begin` and `?lines=end` the lines of Python are counted that the loop's thread runs.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from types import FrameType
from typing import Any

from promptcraft.asgi import application as _service  # first: it sets Django up

# isort: split

from apps.chat.runtime import get_supervisor
from benchmarks.loop_watch import LoopWatch

__all__ = ["PATH", "application"]

PATH = "/__process"

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

_MOST_TYPES = 40
_LOOP_WATCH = LoopWatch.as_json.__code__.co_filename


class Watched:
    """An ASGI application around the service's own."""

    def __init__(self) -> None:
        self._watch: LoopWatch | None = None
        self._worst_collection_s = 0.0
        self._lines = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Start watching with the first call, which is the lifespan's where there is one."""
        if self._watch is None:
            self._watch = LoopWatch()
            gc.callbacks.append(self._time_collection)
        if scope["type"] != "http" or scope["path"] != PATH:
            await _service(scope, receive, send)
            return
        query = scope["query_string"]
        if b"lines=end" in query:
            sys.settrace(None)
        seen: dict[str, Any] = {"lines": self._lines, "loop": self._watch.as_json(), "counts": _counts()}
        seen["loop"]["worst_collection_ms"] = round(self._worst_collection_s * 1000, 1)
        if b"objects" in query:
            seen["objects"] = _objects()
        body = json.dumps(seen).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        if b"reset" in query or b"objects" in query:
            self._watch.reset()
            self._worst_collection_s = 0.0
        if b"lines=begin" in query:
            self._lines = 0
            sys.settrace(self._count_line)

    def _count_line(self, frame: FrameType, event: str, argument: object) -> Callable[..., Any] | None:
        if frame.f_code.co_filename == _LOOP_WATCH:
            # It looks as often as time passes.
            return None
        self._lines += 1
        return self._count_line

    def _time_collection(self, phase: str, _: Mapping[str, int]) -> None:
        """Time Python's own collector, which stops every thread of the process while it looks for cycles."""
        if phase == "start":
            self._collection_began_s = time.perf_counter()
        else:
            self._worst_collection_s = max(self._worst_collection_s, time.perf_counter() - self._collection_began_s)


def _counts() -> dict[str, int]:
    """Count what has to be back where it was once the load is off."""
    supervisor = get_supervisor()
    transports = [getattr(provider, "_transport", None) for provider in supervisor.chain.providers]
    # A limiter that is shared with other processes keeps its windows elsewhere.
    windows = getattr(getattr(supervisor.limiter, "_windows", None), "_taken", {})
    return {
        # Less the one that asks.
        "tasks": len(asyncio.all_tasks()) - 1,
        "threads": threading.active_count(),
        "running": len(supervisor._running),
        "leases": supervisor.slots.active,
        "readers": len(supervisor._services.readers),
        "busy_connections": sum(len(getattr(transport, "_busy", ())) for transport in transports),
        "idle_connections": sum(
            len(kept) for transport in transports for kept in getattr(transport, "_idle", {}).values()
        ),
        "python_blocks": sys.getallocatedblocks(),
        "kept": len(supervisor._kept),
        "kept_bytes": supervisor._kept.size_bytes,
        "keys": len(supervisor._by_key),
        "rate_users": len(windows),
        "rate_times": sum(len(taken) for taken in windows.values()),
    }


def _objects() -> dict[str, int]:
    gc.collect()
    # What the C library keeps of freed memory is no leak: let it go before it is looked at from outside.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    types = Counter(type(one).__qualname__ for one in gc.get_objects())
    return {"all": sum(types.values()), **dict(types.most_common(_MOST_TYPES))}


application = Watched()
