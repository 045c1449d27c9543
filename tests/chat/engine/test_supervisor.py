"""The end of a process that has nothing to wait for."""

from __future__ import annotations

import asyncio

from apps.chat.engine.supervisor import Supervisor
from apps.llm.chain import Chain
from apps.llm.price_rows import PRICES
from tests.chat.engine.configured import config
from tests.waiting import HANG_S


async def test_without_a_completion_there_is_nothing_to_wait_for():
    supervisor = Supervisor(config=config(), chain=Chain((), {}), prices=PRICES)
    async with asyncio.timeout(HANG_S):
        await supervisor.drain(2 * HANG_S)
        await supervisor.close()
