"""A vendor's provider pointed at a scripted upstream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from apps.llm.errors import ProviderError
from apps.llm.providers import DIALECTS, ProviderConfig
from apps.llm.providers.base import Call, Provider, TransportKind
from apps.llm.providers.openai_compatible import OpenAICompatibleProvider
from apps.llm.providers.plain import Plain
from tests.llm.providers.asking import Kept, call_of
from tests.llm.providers.scripted import ScriptedUpstream, Then
from tests.waiting import HANG_S

__all__ = ["EVENT", "KEY", "SPOKEN", "call", "failure_of", "provider_of"]

KEY = "sk-secret-a1b2c3"
SPOKEN = {**DIALECTS, "my-llm": Plain("my-llm", "http://127.0.0.1:9/v1", "owl/owl-1:8b")}
"""The vendors' dialects, and a configured provider's."""
default_kind: TransportKind = "push"
"""The transport of a test that does not say which; the fixture `each_transport` sets it."""
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}\n\n'


@asynccontextmanager
async def provider_of(
    vendor: str,
    base_url: str = "http://127.0.0.1:9/v1",
    transport: httpx.AsyncBaseTransport | None = None,
    connect_timeout_s: float = HANG_S,
    kind: TransportKind | None = None,
    **options: Any,
) -> AsyncIterator[OpenAICompatibleProvider]:
    config = ProviderConfig(
        api_key=KEY, base_url=base_url, connect_timeout_s=connect_timeout_s, transport=kind or default_kind
    )
    provider = OpenAICompatibleProvider(SPOKEN[vendor], config, transport, **options)
    try:
        async with asyncio.timeout(HANG_S):
            yield provider
    finally:
        await provider.aclose()


def call(provider: Provider, **fields: Any) -> Call:
    target = provider.resolve(None)
    assert target is not None
    return call_of(target, **fields)


async def failure_of(vendor: str, *writes: bytes, then: Then = "hold", **options: Any) -> ProviderError:
    async with (
        ScriptedUpstream(*writes, then=then) as upstream,
        provider_of(vendor, upstream.base_url, **options) as provider,
    ):
        with pytest.raises(ProviderError) as caught:
            await provider.run(call(provider), Kept())
        return caught.value
