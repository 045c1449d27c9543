"""However an upstream ends, its connection, its task and the completion are freed without Python's collector."""

from __future__ import annotations

import asyncio
import gc

import pytest

from apps.chat.engine.attempts import Attempts
from apps.chat.engine.exchange import Exchange
from apps.chat.engine.generation import Generation, Stop
from apps.chat.engine.order import Question
from apps.llm.providers.base import Call
from apps.llm.providers.push_answer import Answer
from apps.llm.providers.push_connection import Connection
from apps.llm.providers.push_stream import PushStream
from tests.chat.engine.configured import generation_by
from tests.each import each
from tests.llm.providers.connecting import EVENT, provider_of
from tests.llm.providers.scripted import ScriptedUpstream, Then, chunked, response

KINDS = (Answer, Attempts, Call, Connection, Exchange, Generation, PushStream, Question)
FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"
WHOLE = chunked(EVENT, FINISH, DONE)
BEGUN = chunked(EVENT, end=False)
REFUSAL = b'{"error":{"message":"no","type":"invalid_request_error","code":"bad"}}'
BROKEN = b'data: {"error":{"message":"it broke","type":"server_error","code":"server_error"}}\n\n'


async def swallow(message: object) -> None:
    return


async def run(upstream: ScriptedUpstream, base_url: str, stop: Stop | None) -> str:
    """Run a completion to its end, let go of it and of its provider, and return what became of it."""
    async with provider_of("deepseek", base_url) as provider:
        generation = await generation_by(provider)
        reader = generation.attach()
        driving = asyncio.ensure_future(reader.drive(swallow))
        running = generation.start()
        if stop is not None:
            await upstream.requested.wait()
            if upstream.writes:
                await generation.ready.wait()
            generation.stop(stop)
        await generation.done.wait()
        await running
        await driving
        return generation.status.value


@pytest.fixture
def without_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def check(upstream: ScriptedUpstream, base_url: str, stop: Stop | None, status: str) -> None:
    # Another test may have left something that its own end keeps.
    others = [one for one in gc.get_objects() if type(one) in KINDS]
    known = {id(one) for one in others}
    assert await run(upstream, base_url, stop) == status
    for _ in range(10):
        await asyncio.sleep(0)
    # Not isinstance, which wakes objects that are lazy. Names, so that a failure keeps nothing for the next test.
    left = [type(one).__name__ for one in gc.get_objects() if type(one) in KINDS and id(one) not in known]
    assert left == []
    # Alive until here, so that no new object has the place of one of them.
    del others


@pytest.mark.usefixtures("without_collector")
@each(
    ("answer", "then", "status"),
    [
        pytest.param(WHOLE, "hold", "completed", id="whole"),
        pytest.param(WHOLE, "close", "completed", id="whole, then closed"),
        pytest.param(chunked(EVENT, FINISH, end=False), "close", "completed", id="cut behind the finish"),
        pytest.param(BEGUN, "close", "failed", id="cut"),
        pytest.param(BEGUN, "reset", "failed", id="reset"),
        pytest.param(response(200, EVENT, length=False), "close", "failed", id="ended without a finish"),
        pytest.param(chunked(EVENT, BROKEN), "hold", "failed", id="an error in the stream"),
        pytest.param(chunked(EVENT, b"data: {\n\n"), "hold", "failed", id="no JSON in the stream"),
        pytest.param(b"", "close", "failed", id="closed before the head"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Ty", "close", "failed", id="cut in the head"),
        pytest.param(b"no HTTP\r\n\r\n", "hold", "failed", id="no HTTP"),
        pytest.param(response(400, REFUSAL, "application/json"), "hold", "failed", id="400"),
        pytest.param(response(503, b"busy", "text/plain"), "close", "failed", id="503"),
        pytest.param(response(200, b"{", "application/json"), "hold", "failed", id="broken JSON"),
    ],
)
async def test_an_upstream_that_ends(answer: bytes, then: Then, status: str):
    async with ScriptedUpstream(answer, then=then) as upstream:
        await check(upstream, upstream.base_url, None, status)


@pytest.mark.usefixtures("without_collector")
@each("stop", [Stop.CANCELLED, Stop.CLIENT_GONE])
@each(
    "writes",
    [
        pytest.param((), id="before the head"),
        pytest.param((BEGUN,), id="in the stream"),
    ],
)
async def test_an_upstream_that_is_left(writes: tuple[bytes, ...], stop: Stop):
    async with ScriptedUpstream(*writes) as upstream:
        await check(upstream, upstream.base_url, stop, "cancelled")


@pytest.mark.usefixtures("without_collector")
async def test_an_upstream_that_is_not_there():
    async with ScriptedUpstream() as upstream:
        base_url = upstream.base_url
    await check(upstream, base_url, None, "failed")
