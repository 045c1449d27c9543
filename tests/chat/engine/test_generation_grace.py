"""A reader that was let go of is not a client that left: its completion runs on for the grace period."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from apps.chat.engine.generation import Generation, Stop
from apps.chat.engine.order import Order, Question, Services
from apps.chat.engine.reader import STUCK_AFTER_S
from apps.chat.limits.limiter import Limits
from apps.chat.limits.process import ProcessLimiter
from apps.chat.limits.streams import StreamSlots
from apps.llm.breaker import BreakerPolicy, ProcessBreaker
from apps.llm.chain import Candidate
from apps.llm.price_rows import PRICES
from apps.llm.providers.mock import MockProvider
from apps.llm.wire.openai import parse_request
from tests.chat.engine.configured import config


class Kept:
    """A writer that commits everything at once."""

    def submit(self, record: Any) -> asyncio.Future[bool]:
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        done.set_result(True)
        return done


@pytest.fixture
async def generation():
    provider = MockProvider(first_token_s=0, token_gap_s=0)
    target = provider.resolve(None)
    assert target is not None
    candidate = Candidate(provider=provider, target=target, breaker=ProcessBreaker(BreakerPolicy()))
    services = Services(
        config=config(disconnect_grace_s=30.0),
        prices=PRICES,
        writer=Kept(),
        clock=asyncio.get_running_loop().time,
        readers=set(),
        linger=lambda source: None,
    )
    order = Order(
        id="chatcmpl-1",
        user_id=1,
        request_id="req",
        stream=True,
        include_usage=False,
        survives_disconnect=False,
        idempotency_key="",
        body_sha256="",
    )
    question = Question(
        request=parse_request(b'{"messages":[{"role":"user","content":"hi"}],"stream":true}'),
        candidates=(candidate,),
        scenario="stall",
    )
    limits = Limits(rate=1, window_s=60, streams=1)
    lease = (await ProcessLimiter(limits, StreamSlots(1), services.clock).admit(1)).lease
    assert lease is not None
    one = Generation(order, question, services, lease, lambda _: None)
    yield one
    one.stop(Stop.SHUTDOWN)
    await one.done.wait()


async def held(message: Any) -> None:
    await asyncio.Event().wait()


async def test_a_stuck_reader_leaves_its_completion_running_for_the_grace(generation):
    reader = generation.attach()
    driving = asyncio.ensure_future(reader.drive(held))
    running = generation.start()
    await generation.ready.wait()
    await asyncio.sleep(0)
    now = asyncio.get_running_loop().time()
    reader.beat(now + STUCK_AFTER_S + 1, keepalive_interval_s=15)
    await asyncio.wait({driving})
    assert reader.detached
    generation.beat(now + 1)
    assert generation.status.value == "in_progress"
    assert not running.done()
    generation.beat(now + 31)
    await generation.done.wait()
    assert generation.status.value == "cancelled"


async def test_a_reader_that_leaves_ends_it_at_once(generation):
    reader = generation.attach()
    generation.start()
    await generation.ready.wait()
    reader.close()
    await generation.done.wait()
    assert generation.status.value == "cancelled"
