"""A configuration for tests of the engine, and a completion of the mock's under it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from apps.chat.conf import ChatConfig
from apps.chat.engine.generation import Generation
from apps.chat.engine.order import Order, Question, Services, Writer
from apps.limits.limiter import Limits
from apps.limits.process import ProcessLimiter
from apps.limits.streams import StreamSlots
from apps.llm.breaker import Breaker, BreakerPolicy, ProcessBreaker
from apps.llm.chain import Candidate
from apps.llm.price_rows import PRICES
from apps.llm.providers.base import Provider
from apps.llm.providers.mock import MockProvider
from apps.llm.wire.openai import parse_request

_PATIENT = ChatConfig(
    rate_limit=5,
    rate_window_s=60.0,
    max_streams_per_user=5,
    max_streams=100,
    first_token_timeout_s=60.0,
    gap_timeout_s=1_000.0,
    total_timeout_s=10_000.0,
    header_hold_s=8.0,
    keepalive_interval_s=15.0,
    disconnect_grace_s=30.0,
    stream_retention_s=600.0,
    breaker_failures=5,
    breaker_cooldown_s=30.0,
    drain_timeout_s=25.0,
    user_hash_key="key",
)


def config(**changes: Any) -> ChatConfig:
    """Return it with changes."""
    return replace(_PATIENT, **changes)


class Kept:
    """A writer that commits everything at once."""

    def submit(self, record: Any) -> asyncio.Future[bool]:
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        done.set_result(True)
        return done


async def mock_generation(scenario: str | None, breaker: Breaker | None = None) -> Generation:
    """Return a completion that the mock will answer by a scenario without a pause, not yet started."""
    return await generation_by(MockProvider(first_token_s=0, token_gap_s=0, long_gap_s=0), scenario, breaker=breaker)


async def generation_by(
    provider: Provider,
    scenario: str | None = None,
    writer: Writer | None = None,
    breaker: Breaker | None = None,
    body: bytes = b'{"messages":[{"role":"user","content":"hi"}],"stream":true}',
) -> Generation:
    """Return a completion that a provider alone will be asked for, not yet started."""
    target = provider.resolve(None)
    assert target is not None
    services = Services(
        config=config(),
        prices=PRICES,
        writer=writer or Kept(),
        clock=asyncio.get_running_loop().time,
        readers=set(),
        linger=lambda source: None,
    )
    limits = Limits(rate=1, window_s=60, streams=1)
    lease = (await ProcessLimiter(limits, StreamSlots(1), services.clock).admit(1)).lease
    assert lease is not None
    order = Order(
        id="chatcmpl-1",
        user_id=1,
        request_id="req",
        stream=True,
        include_usage=True,
        survives_disconnect=False,
        idempotency_key="",
        body_sha256="",
    )
    question = Question(
        request=parse_request(body),
        candidates=(Candidate(provider=provider, target=target, breaker=breaker or ProcessBreaker(BreakerPolicy())),),
        scenario=scenario,
    )
    return Generation(order, question, services, lease, lambda _: None)
