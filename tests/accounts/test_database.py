from __future__ import annotations

import asyncio
import contextvars
import threading

import pytest
from django.db import connection

from apps.core.work_queue import SHARE, Share, user_share
from apps.llm.errors import ServiceUnavailable
from promptcraft import database
from promptcraft.database import DATABASE, run_in_database

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

    async def meet_as(user_id):
        SHARE.set(user_share(user_id))
        return await run_in_database(meet)

    threads = await asyncio.gather(*(asyncio.create_task(meet_as(number)) for number in range(4)))
    assert len(set(threads)) == 4
    assert threading.current_thread() not in threads


async def test_log_ins_of_one_user_that_may_have_ended_have_one_thread():
    over = threading.Event()
    shares = [Share("signed for user 1", f"{number}") for number in range(4)]
    running = [asyncio.create_task(DATABASE.run(share, over.wait)) for share in shares]
    await asyncio.sleep(0)
    try:
        # There is one for the user, whose log-in is known to live, and for others.
        SHARE.set(user_share(1))
        assert await run_in_database(divmod, 7, 2) == (3, 1)
        assert DATABASE._turns.waiting_of_owner("signed for user 1") == 3
    finally:
        over.set()
    assert await asyncio.gather(*running) == [True] * 4


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


async def test_a_caller_waits_so_long_and_the_call_keeps_its_thread(monkeypatch):
    monkeypatch.setattr(database, "CALL_S", 0.05)
    release, ended = threading.Event(), threading.Event()

    def hang():
        assert release.wait(20)
        ended.set()

    with pytest.raises(ServiceUnavailable) as raised:
        await run_in_database(hang)
    assert raised.value.retry_after_s == 1
    assert not ended.is_set()
    release.set()
    assert await asyncio.to_thread(ended.wait, 20)
