"""Cancellation, and a sink that raises: the connection is closed, not drained."""

from __future__ import annotations

import asyncio

import pytest

from apps.llm.errors import Failure, ProviderError
from apps.llm.providers.openai_compatible import OpenAICompatibleProvider
from tests.each import each
from tests.llm.providers.asking import Kept
from tests.llm.providers.connecting import EVENT, call, provider_of
from tests.llm.providers.scripted import ScriptedUpstream, chunked, response

pytestmark = pytest.mark.usefixtures("each_transport")


async def cancelled(provider: OpenAICompatibleProvider, upstream: ScriptedUpstream, started: asyncio.Event) -> None:
    sink = Kept()
    run = asyncio.create_task(provider.run(call(provider), sink))
    await started.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    await upstream.wait_hung_up()


@each(
    "answer",
    [
        pytest.param(b"", id="before the status line"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Ty", id="inside the headers"),
        pytest.param(response(500, b'{"err', "application/json", length=False), id="inside an error body"),
        pytest.param(response(200, b'{"choi', "application/json", length=False), id="inside a JSON body"),
    ],
)
async def test_cancelling_closes_the_connection(vendor, answer):
    async with ScriptedUpstream(answer) as upstream, provider_of(vendor, upstream.base_url) as provider:
        await cancelled(provider, upstream, upstream.requested)


async def test_cancelling_in_the_stream_closes_the_connection(vendor):
    async with (
        ScriptedUpstream(chunked(EVENT, end=False)) as upstream,
        provider_of(vendor, upstream.base_url) as provider,
    ):
        sink = Kept()
        run = asyncio.create_task(provider.run(call(provider), sink))
        await sink.fed.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        await upstream.wait_hung_up()
        upstream.writes = [chunked(EVENT)]
        await provider.run(call(provider), Kept())
    assert upstream.connections == 2


async def test_cancelling_twice_still_closes_the_connection(vendor):
    async with (
        ScriptedUpstream(chunked(EVENT, end=False)) as upstream,
        provider_of(vendor, upstream.base_url) as provider,
    ):
        sink = Kept()
        run = asyncio.create_task(provider.run(call(provider), sink))
        await sink.fed.wait()
        run.cancel()
        for _ in range(3):
            # Between any two steps of the first clean-up.
            await asyncio.sleep(0)
            run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        await upstream.wait_hung_up()


async def test_closing_the_provider_ends_its_streams(vendor):
    async with (
        ScriptedUpstream(chunked(EVENT, end=False)) as upstream,
        provider_of(vendor, upstream.base_url) as provider,
    ):
        sink = Kept()
        run = asyncio.create_task(provider.run(call(provider), sink))
        await sink.fed.wait()
        await provider.aclose()
        await upstream.wait_hung_up()
        with pytest.raises(asyncio.CancelledError):
            await run


@each("error", [ProviderError(Failure.BAD_RESPONSE), KeyError("a fault of ours")], ids=["ours", "bug"])
async def test_what_the_sink_raises_passes_through_and_closes_the_connection(vendor, error):
    async with (
        ScriptedUpstream(chunked(EVENT, end=False)) as upstream,
        provider_of(vendor, upstream.base_url) as provider,
    ):
        with pytest.raises(type(error)) as caught:
            await provider.run(call(provider), Kept(error))
        assert caught.value is error
        await upstream.wait_hung_up()
