from __future__ import annotations

import asyncio
import contextvars
import threading

import pytest
from django.db import connection

from apps.llm.errors import ServiceUnavailable
from promptcraft import database
from promptcraft.database import run_in_database

# Its threads look after connections around every call, whatever the call does.
pytestmark = pytest.mark.django_db(transaction=True)


async def test_returns_and_raises_as_the_function_does():
    assert await run_in_database(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await run_in_database(divmod, 7, 0)


async def test_calls_run_side_by_side_and_off_the_loop():
    together = threading.Barrier(4)

    def meet():
        together.wait(10)
        return threading.current_thread()

    threads = await asyncio.gather(*(run_in_database(meet) for _ in range(4)))
    assert len(set(threads)) == 4
    assert threading.current_thread() not in threads


async def test_context_comes_along():
    variable = contextvars.ContextVar("variable", default="")
    variable.set("here")
    assert await run_in_database(variable.get) == "here"


async def test_connections_past_their_age_are_closed(settings):
    def age():
        connection.ensure_connection()
        connection.close_at = 0
        return connection

    used = await run_in_database(age)
    assert used.connection is None


async def test_is_bounded(monkeypatch):
    monkeypatch.setattr(database, "_MOST_PENDING", 6)
    release = threading.Event()
    waiting = [asyncio.ensure_future(run_in_database(release.wait, 10)) for _ in range(6)]
    await asyncio.sleep(0)
    try:
        with pytest.raises(ServiceUnavailable):
            await run_in_database(int)
        # Not begun yet: gives its place back.
        waiting[-1].cancel()
        await asyncio.gather(waiting[-1], return_exceptions=True)
        last = asyncio.ensure_future(run_in_database(int))
        await asyncio.sleep(0)
    finally:
        release.set()
    assert await asyncio.gather(*waiting[:-1]) == [True] * 5
    assert await last == 0
    assert await run_in_database(lambda: database._pending) == 1
