"""The provider over our transport: what is fed, when connections are kept and closed, how many tasks it takes."""

from __future__ import annotations

import asyncio
import tracemalloc
from contextlib import suppress

import httpx
import pytest

from apps.llm.errors import Failure, ProviderError
from apps.llm.providers import DIALECTS, ProviderConfig
from apps.llm.providers.openai_compatible import OpenAICompatibleProvider
from tests.fixtures import WHOLE_JSON
from tests.llm.providers.asking import Kept
from tests.llm.providers.connecting import EVENT, KEY, call, provider_of
from tests.llm.providers.scripted import chunked, response
from tests.llm.providers.transport.faces import PUSHED
from tests.llm.providers.transport.peer import Peer, Server, answering, turns

DONE = b"data: [DONE]\n\n"
ANSWER = chunked(EVENT, DONE)


class Noting(Kept):
    """A sink that notes in which task it is fed, and asks for the next piece."""

    def __init__(self, step: asyncio.Event) -> None:
        super().__init__()
        self.tasks: list[asyncio.Task[object] | None] = []
        self._step = step

    def feed(self, data: bytes) -> None:
        super().feed(data)
        self.tasks.append(asyncio.current_task())
        self._step.set()


async def test_a_stream_costs_no_task_but_its_callers() -> None:
    whole, step = chunked(*[EVENT] * 3, DONE), asyncio.Event()
    head, first = whole.index(b"\r\n\r\n") + 4, len(chunked(EVENT, end=False))

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(whole[:head])
        await turns()
        for data in (whole[head:first], whole[first : first + 50], whole[first + 50 :]):
            await peer.send(data)
            await step.wait()
            step.clear()
        await peer.gone()

    async with Server(script) as server, provider_of("openai", server.url()) as provider:
        sink = Noting(step)
        before = len(asyncio.all_tasks())
        run = asyncio.create_task(provider.run(call(provider), sink))
        peer = await server.accepted()
        await sink.fed.wait()
        # The caller's, and the server's for the connection.
        assert len(asyncio.all_tasks()) == before + 2
        await run
        await turns()
        assert not peer.left.is_set()
    # Fed in the read callback, where no task runs, and with nothing in between.
    assert sink.tasks == [None] * 3
    assert sink.data == EVENT * 3 + DONE


async def test_cancelling_closes_the_connection_in_the_same_turn() -> None:
    async with (
        Server(answering(chunked(EVENT, end=False))) as server,
        PUSHED.transport(max_connections=1) as transport,
        provider_of("openai", server.url(), transport) as provider,
    ):
        sink = Kept()
        run = asyncio.create_task(provider.run(call(provider), sink))
        await sink.fed.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        # The one slot is free again, although the loop has not turned since.
        second = asyncio.create_task(provider.run(call(provider), Kept()))
        await server.accepted(2)
        second.cancel()
        await asyncio.wait((second,))
        for peer in server.peers:
            await peer.left.wait()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(ANSWER, id="a stream"),
        pytest.param(response(200, WHOLE_JSON, "application/json"), id="JSON"),
        pytest.param(response(429, b'{"error":{"code":"rate_limit_exceeded"}}', "application/json"), id="a refusal"),
    ],
)
async def test_connection_is_kept_after_a_whole_answer(answer: bytes) -> None:
    async with Server(answering(answer)) as server, provider_of("openai", server.url()) as provider:
        for _ in range(3):
            with suppress(ProviderError):
                await provider.run(call(provider), Kept())
    assert len(server.peers) == 1
    assert len(server.requests) == 3


async def test_nobody_gets_an_answer_that_was_not_asked_for() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(ANSWER + (chunked(b"data: for another user\n\n") if peer.number == 1 else b""))
        await peer.gone()

    async with Server(script) as server, provider_of("openai", server.url()) as provider:
        for _ in range(2):
            sink = Kept()
            await provider.run(call(provider), sink)
            assert sink.data == EVENT + DONE
    assert len(server.peers) == 2


async def test_stale_connection_is_replaced_and_the_request_is_the_same() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(ANSWER)
        await peer.request()
        if peer.number == 1:
            peer.reset()
        else:
            await peer.send(ANSWER)

    async with Server(script) as server, provider_of("openai", server.url()) as provider:
        for _ in range(2):
            await provider.run(call(provider), Kept())
    assert len(server.peers) == 2
    assert len({*server.requests}) == 1


async def test_what_came_before_a_fault_is_fed() -> None:
    broken = chunked(EVENT, EVENT, end=False) + b"zz\r\n"
    async with Server(answering(broken)) as server, provider_of("openai", server.url()) as provider:
        sink = Kept()
        with pytest.raises(ProviderError) as caught:
            await provider.run(call(provider), sink)
    assert sink.data == EVENT * 2
    assert caught.value.failure is Failure.STREAM_CUT
    assert caught.value.__context__ is None


async def test_request_head_written_once_is_the_same_as_httpxs() -> None:
    async with Server(answering(ANSWER)) as server:
        for kind in ("push", "httpx"):
            async with provider_of("deepseek", server.url("/v1/"), kind=kind) as provider:
                for text in ("short", "longer than that" * 9):
                    await provider.run(call(provider, messages=[{"role": "user", "content": text}]), Kept())
    ours, theirs = server.requests[:2], server.requests[2:]
    for own, other in zip(ours, theirs, strict=True):
        (own_head, own_body), (other_head, other_body) = own.split(b"\r\n\r\n"), other.split(b"\r\n\r\n")
        assert own_body == other_body
        assert sorted(own_head.split(b"\r\n")) == sorted(other_head.split(b"\r\n"))


def test_transport_is_what_the_configuration_says() -> None:
    for kind, transport in (("push", "PushTransport"), ("httpx", "AsyncHTTPTransport")):
        provider = OpenAICompatibleProvider(DIALECTS["openai"], ProviderConfig(api_key=KEY, transport=kind))  # type: ignore[arg-type]
        assert type(provider._transport).__name__ == transport
        assert isinstance(provider._transport, httpx.AsyncBaseTransport)


async def test_nothing_shows_the_key() -> None:
    async with provider_of("openai") as provider:
        shown = [repr(value) for value in vars(provider._endpoint).values() if not isinstance(value, bytes)]
        assert KEY not in repr(provider) + repr(provider._endpoint) + repr(provider._transport) + "".join(shown)


async def test_of_a_request_that_waits_for_its_answer_one_copy_is_kept() -> None:
    size_bytes = 4 * 1024 * 1024
    taken = asyncio.Event()

    async def take(peer: Peer) -> None:
        left_bytes = size_bytes
        while left_bytes > 0:
            left_bytes -= len(await peer.reader.read(65_536))
        taken.set()
        await peer.gone()

    async with Server(take) as server, provider_of("openai", server.url()) as provider:
        asked = call(provider, messages=[{"role": "user", "content": "x" * size_bytes}])
        tracemalloc.start()
        try:
            run = asyncio.create_task(provider.run(asked, Kept()))
            await taken.wait()
            await turns()
            kept_bytes = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        run.cancel()
        await asyncio.wait((run,))
    assert size_bytes <= kept_bytes < 1.5 * size_bytes
