"""Health: for load balancers, orchestrators and people. No authentication, no token spent."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse

from apps.chat.responses import json_response
from apps.chat.runtime import PROCESS_STARTED, get_supervisor
from apps.core.work_queue import Share, WorkQueue
from promptcraft.database import with_fresh_connections
from promptcraft.version import VERSION

__all__ = ["health", "live", "ready"]

_CHECK_S = 0.04
"""A store that takes longer is reported as not ok: health answers within 50 ms."""
_FIRST_CHECK_S = 0.25
_ANSWERED_S = 5.0
_NO_STORE = {"Cache-Control": "no-store"}
_LOOKS = WorkQueue("health", threads=3, most_running=3, most_waiting_of_share=3, most_waiting=6)
"""One thread for each kind of look: health says how the stores are, and not how many ask them."""
_SHARE = Share("health")
_looking: dict[Callable[[], Any], asyncio.Task[Any]] = {}
_T = TypeVar("_T")
_migrated = False
_database_answered_at: float | None = None


async def health(request: HttpRequest) -> HttpResponse:
    """Answer `GET chat/health/`: providers from real traffic, stores from a look."""
    del request
    supervisor = get_supervisor()
    database = await _timed(_look_at_database)
    cache_latency_s = supervisor.limiter.latency_s
    serving = supervisor.chain.serving
    status = _status(serving, bool(database["ok"]), cache_latency_s is None or cache_latency_s < math.inf)
    body = {
        "status": status,
        "version": VERSION,
        "uptime_s": round(time.monotonic() - PROCESS_STARTED, 1),
        "draining": supervisor.draining,
        "serving": serving,
        "providers": _providers(),
        "database": database,
        **({} if cache_latency_s is None else {"cache": _cache(cache_latency_s)}),
        "streams": {"active": supervisor.slots.active, "capacity": supervisor.slots.capacity},
    }
    return json_response(body, status=503 if status == "down" else 200, headers=_NO_STORE)


async def live(request: HttpRequest) -> HttpResponse:
    """Answer `GET chat/health/live/`: the process turns its loop."""
    del request
    return json_response({"status": "ok"}, headers=_NO_STORE)


async def ready(request: HttpRequest) -> HttpResponse:
    """Answer `GET chat/health/ready/`: database, migrations, not draining."""
    del request
    checks = {"draining": get_supervisor().draining, "database": True, "migrations": True}
    try:
        async with asyncio.timeout(2):
            checks["migrations"] = await _looked(_look_at_migrations)
    except Exception:
        # Whatever is wrong with the database, the answer is the same.
        checks["database"] = checks["migrations"] = False
    ok = not checks["draining"] and checks["database"] and checks["migrations"]
    return json_response(
        {"status": "ok" if ok else "unavailable", **checks}, status=200 if ok else 503, headers=_NO_STORE
    )


def _status(serving: str | None, database_ok: bool, cache_ok: bool) -> str:
    """A database that was slow once still serves: one that has not answered for a while takes the service down."""
    supervisor = get_supervisor()
    answered = _database_answered_at is not None and time.monotonic() - _database_answered_at < _ANSWERED_S
    if serving is None or not answered or supervisor.draining:
        return "down"
    first = supervisor.chain.providers[0].name
    full = supervisor.slots.active >= supervisor.slots.capacity
    return "ok" if serving == first and database_ok and cache_ok and not full else "degraded"


def _providers() -> list[dict[str, Any]]:
    chain = get_supervisor().chain
    configured = {provider.name for provider in chain.providers}
    listed = []
    for name in settings.PROVIDER_CHAIN:
        breaker = chain.breakers.get(name)
        figures = breaker.health() if breaker is not None else None
        listed.append(
            {
                "name": name,
                "configured": name in configured,
                "state": figures.state.value if figures else "unknown",
                "last_success_s": figures.last_success_s if figures else None,
                "success_ratio_5m": figures.success_ratio_5m if figures else None,
                "ttft_ms": {
                    "p50": figures.ttft_p50_ms if figures else None,
                    "p95": figures.ttft_p95_ms if figures else None,
                },
                "last_error_code": figures.last_error_code if figures else None,
            }
        )
    return listed


def _cache(latency_s: float) -> dict[str, Any]:
    """Return what health says of Redis: what its last calls have shown, as none is made for this."""
    if latency_s == math.inf:
        return {"ok": False, "latency_ms": None}
    return {"ok": True, "latency_ms": round(latency_s * 1000, 2)}


async def _timed(look: Callable[[], None]) -> dict[str, Any]:
    """Return what health says of a store. The look goes on in its thread when its time is over."""
    started = time.perf_counter()
    try:
        # A first look makes the connection.
        async with asyncio.timeout(_CHECK_S if _database_answered_at is not None else _FIRST_CHECK_S):
            await _looked(look)
        ok = True
    except Exception:
        # A health check reports trouble, of whatever kind; it has none of its own.
        ok = False
    return {"ok": ok, "latency_ms": round((time.perf_counter() - started) * 1000, 2)}


async def _looked(look: Callable[[], _T]) -> _T:
    """Look at a store. All who ask while a look is under way are answered by that one."""
    looking: asyncio.Task[_T] | None = _looking.get(look)
    if looking is None:
        looking = asyncio.create_task(_LOOKS.run(_SHARE, partial(with_fresh_connections, look)))
        _looking[look] = looking
        looking.add_done_callback(partial(_has_looked, look))
    return await asyncio.shield(looking)


def _has_looked(look: Callable[[], Any], looking: asyncio.Task[Any]) -> None:
    del _looking[look]
    if not looking.cancelled():
        # Whoever asked may have left.
        looking.exception()


def _look_at_database() -> None:
    global _database_answered_at
    with connection.cursor() as cursor:
        # A table of ours: a file that is gone is opened anew, and empty.
        cursor.execute("SELECT 1 FROM django_migrations LIMIT 1")
        cursor.fetchone()
    _database_answered_at = time.monotonic()


def _look_at_migrations() -> bool:
    """Whether every migration is applied; a yes is remembered, for it stays true."""
    global _migrated
    if not _migrated:
        executor = MigrationExecutor(connection)
        _migrated = not executor.migration_plan(executor.loader.graph.leaf_nodes())
    else:
        _look_at_database()
    return _migrated
