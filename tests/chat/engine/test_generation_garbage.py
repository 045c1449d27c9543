"""A finished completion is freed when it is let go of, without Python's collector: that one may come minutes later."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from apps.chat.engine.attempts import Attempts
from apps.chat.engine.exchange import Exchange
from apps.chat.engine.generation import Generation, Stop
from apps.chat.engine.order import Order, Question, Services
from apps.chat.limits.limiter import Limits
from apps.chat.limits.process import ProcessLimiter
from apps.chat.limits.streams import StreamSlots
from apps.llm.breaker import BreakerPolicy, ProcessBreaker
from apps.llm.chain import Candidate
from apps.llm.price_rows import PRICES
from apps.llm.providers.mock import MockProvider
from apps.llm.wire.openai import parse_request
from tests.chat.engine.configured import config


class Committed:
    """A writer that commits everything at once."""

    def submit(self, record: Any) -> asyncio.Future[bool]:
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        done.set_result(True)
        return done


async def swallow(message: Any) -> None:
    return


async def run(scenario: str | None, stop: Stop | None) -> tuple[weakref.ref[Generation], str]:
    """Run a completion to its end, let go of it, and return what is left of it."""
    provider = MockProvider(first_token_s=0, token_gap_s=0, long_gap_s=0)
    target = provider.resolve(None)
    assert target is not None
    services = Services(
        config=config(),
        prices=PRICES,
        writer=Committed(),
        clock=asyncio.get_running_loop().time,
        readers=set(),
        linger=lambda source: None,
    )
    limits = Limits(rate=1, window_s=60, streams=1)
    lease = (await ProcessLimiter(limits, StreamSlots(1), services.clock).admit(1)).lease
    assert lease is not None
    generation = Generation(
        Order(
            id="chatcmpl-1",
            user_id=1,
            request_id="req",
            stream=True,
            include_usage=True,
            survives_disconnect=False,
            idempotency_key="",
            body_sha256="",
        ),
        Question(
            request=parse_request(b'{"messages":[{"role":"user","content":"hi"}],"stream":true}'),
            candidates=(Candidate(provider=provider, target=target, breaker=ProcessBreaker(BreakerPolicy())),),
            scenario=scenario,
        ),
        services,
        lease,
        lambda _: None,
    )
    reader = generation.attach()
    driving = asyncio.ensure_future(reader.drive(swallow))
    running = generation.start()
    await generation.ready.wait()
    if stop is not None:
        generation.stop(stop)
    await generation.done.wait()
    await running
    await driving
    return weakref.ref(generation), generation.status.value


@pytest.mark.parametrize(
    ("scenario", "stop", "status"),
    [
        (None, None, "completed"),
        ("reasoning", None, "completed"),
        ("tool_call", None, "completed"),
        ("no_usage", None, "completed"),
        ("error_first", None, "failed"),
        ("cut_after_n", None, "failed"),
        ("error_after_n", None, "failed"),
        ("stall", Stop.CANCELLED, "cancelled"),
        ("stall", Stop.SHUTDOWN, "failed"),
    ],
)
async def test_nothing_is_left_for_the_collector(scenario: str | None, stop: Stop | None, status: str):
    gc.collect()
    gc.disable()
    try:
        left, became = await run(scenario, stop)
        for _ in range(5):
            await asyncio.sleep(0)
        assert became == status
        assert left() is None
        kinds = (Attempts, Exchange, Question)
        # Not isinstance, which wakes objects that are lazy.
        assert [one for one in gc.get_objects() if type(one) in kinds] == []
    finally:
        gc.enable()
