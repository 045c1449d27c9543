"""A request with images, which may be large, is let go of with the first content of its answer."""

from __future__ import annotations

import gc
import json

import pytest

from apps.chat.engine.generation import Generation, Status, Stop
from apps.core.memory_shares import SharedMemory
from apps.llm.errors import Code
from apps.llm.providers.base import Call
from apps.llm.wire.openai import parse_request
from apps.llm.wire.types import CompletionRequest
from tests.chat.engine.configured import generation_by
from tests.llm.providers.connecting import EVENT, provider_of
from tests.llm.providers.scripted import ScriptedUpstream, chunked

BEGUN = chunked(EVENT, end=False)
URL = "data:image/png;base64,AAAA"


def body(*parts: object) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": [{"type": "text", "text": "What?"}, *parts]}]}).encode()


WITH_IMAGE = body({"type": "image_url", "image_url": {"url": URL}})


def requests() -> list[object]:
    return [one for one in gc.get_objects() if type(one) in (Call, CompletionRequest)]


async def stopped(generation: Generation) -> None:
    generation.stop(Stop.CANCELLED)
    await generation.done.wait()


@pytest.mark.parametrize("kind", ["push", "httpx"])
async def test_nothing_of_it_is_kept_while_the_answer_comes(kind):
    known = {id(one) for one in requests()}
    async with ScriptedUpstream(BEGUN) as upstream, provider_of("openai", upstream.base_url, kind=kind) as provider:
        generation = await generation_by(provider, body=WITH_IMAGE)
        running = generation.start()
        await generation.ready.wait()
        assert [one for one in requests() if id(one) not in known] == []
        await stopped(generation)
        await running


async def test_its_tokens_are_estimated_all_the_same():
    counted = []
    for asked in (body(), WITH_IMAGE):
        async with ScriptedUpstream(BEGUN) as upstream, provider_of("openai", upstream.base_url) as provider:
            generation = await generation_by(provider, body=asked)
            running = generation.start()
            await generation.ready.wait()
            await stopped(generation)
            await running
            (attempt,) = generation.attempts
            assert attempt.usage is not None
            counted.append(attempt.usage.prompt_tokens)
    assert counted[0] < counted[1]


async def test_without_content_the_next_provider_is_asked_for_all_of_it():
    async with (
        ScriptedUpstream(chunked(b": nothing yet\n\n", end=False)) as upstream,
        provider_of("openai", upstream.base_url) as provider,
    ):
        generation = await generation_by(provider, body=WITH_IMAGE)
        running = generation.start()
        await upstream.requested.wait()
        assert any(isinstance(one, CompletionRequest) and one.has_images for one in requests())
        await stopped(generation)
        await running


@pytest.mark.parametrize("ends", ["content", "stop", "crowd"])
async def test_it_is_counted_until_then(ends):
    memory = SharedMemory(20_000)
    begun = BEGUN if ends == "content" else chunked(b": nothing yet\n\n", end=False)
    async with ScriptedUpstream(begun) as upstream, provider_of("openai", upstream.base_url) as provider:
        generation = await generation_by(provider, body=WITH_IMAGE)
        held = memory.open(1, lambda: None)
        held.hold(15_000)
        generation.hold_request(held)
        running = generation.start()
        if ends == "content":
            await generation.ready.wait()
        else:
            await upstream.requested.wait()
            # As it was read, and as it is written.
            assert memory.held_bytes == parse_request(WITH_IMAGE).memory_bytes(15_000)
        if ends == "crowd":
            memory.open(2, lambda: None).hold(5_000)
            await generation.done.wait()
            assert generation.error is not None
            assert (generation.status, generation.error.code) == (Status.FAILED, Code.OVERLOADED)
            assert (generation.error.http_status, generation.error.retryable) == (503, False)
            await upstream.wait_hung_up()
        if ends == "stop":
            await stopped(generation)
            assert generation.status is Status.CANCELLED
        assert memory.held_bytes == (5_000 if ends == "crowd" else 0)
        await stopped(generation)
        await running


async def test_one_without_room_is_refused_before_a_provider_is_asked():
    memory = SharedMemory(1000)
    async with ScriptedUpstream(BEGUN) as upstream, provider_of("openai", upstream.base_url) as provider:
        generation = await generation_by(provider, body=WITH_IMAGE)
        held = memory.open(1, lambda: None)
        held.hold(900)
        generation.hold_request(held)
        await generation.start()
        assert (upstream.received, generation.attempts, memory.held_bytes) == ([], [], 0)
        assert generation.error is not None
        assert (generation.error.http_status, generation.error.retryable) == (503, True)


async def test_a_small_one_is_not():
    memory = SharedMemory(1000)
    async with ScriptedUpstream(BEGUN) as upstream, provider_of("openai", upstream.base_url) as provider:
        generation = await generation_by(provider, body=body())
        held = memory.open(1, lambda: None)
        held.hold(900)
        generation.hold_request(held)
        assert memory.held_bytes == 0
        generation.hold_request(None)
        running = generation.start()
        await stopped(generation)
        await running
