"""Cancelled in whatever phase, an exchange closes its connection at once and leaves nothing behind."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable

import httpx
import pytest

from tests.each import each
from tests.llm.providers.transport.certificates import Authority
from tests.llm.providers.transport.faces import PUSHED, Face, opened, whole
from tests.llm.providers.transport.peer import Peer, Server, answering, turns
from tests.upstream.ports import unanswering_port

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


async def cancelled(exchange: Awaitable[object], when: Callable[[], Awaitable[object]], times: int = 1) -> None:
    """Start it, cancel it in the given moment, and once more in each of the loop's next turns."""
    task = asyncio.ensure_future(exchange)
    await when()
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_connecting(face: Face) -> None:
    async with face.transport(max_connections=1) as transport:
        with unanswering_port() as port:
            for _ in range(2):
                await cancelled(whole(face, transport, f"http://127.0.0.1:{port}/"), turns)


@each("count", range(8))
async def test_any_turn_of_connecting(ours: Face, count: int) -> None:
    # Among them the one in which the connection is there and its task does not know yet.
    async with Server(answering()) as server, ours.transport() as transport:
        await cancelled(whole(ours, transport, server.url()), lambda: turns(count))
        for peer in server.peers:
            await peer.left.wait()


@each("count", [*range(0, 40, 3)])
async def test_any_turn_of_a_tls_exchange(
    ours: Face, authority: Authority, trusting: ssl.SSLContext, count: int
) -> None:
    async with Server(answering(), tls=authority.server_context()) as server, ours.transport(trusting) as transport:
        await cancelled(whole(ours, transport, server.url()), lambda: turns(count))


async def test_tls_handshake(ours: Face) -> None:
    # httpx's own transport leaves the connection open.
    async def hello(peer: Peer) -> None:
        await peer.reader.readexactly(5)
        greeted.set()
        await peer.gone()

    greeted = asyncio.Event()
    async with Server(hello) as server, ours.transport() as transport:
        await cancelled(whole(ours, transport, server.url().replace("http:", "https:")), greeted.wait)
        await server.peers[0].left.wait()


@each("secure", [False, True], ids=["TCP", "TLS"])
async def test_writing(face: Face, authority: Authority, trusting: ssl.SSLContext, secure: bool) -> None:
    async def reluctant(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        begun.set()
        await over.wait()
        await peer.gone()

    begun, over = asyncio.Event(), asyncio.Event()
    tls = authority.server_context() if secure else None
    async with Server(reluctant, tls=tls) as server, face.transport(trusting) as transport:
        await cancelled(whole(face, transport, server.url(), b"x" * (12 << 20)), begun.wait)
        over.set()
        await server.peers[0].left.wait()


PHASES = {
    "waiting for headers": b"",
    "in the headers": OK[:25],
    "in a 1xx": b"HTTP/1.1 100 Continue\r\n\r\n",
    "before the body": OK[:-2],
    "in the body": OK[:-1],
    "in a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhi",
    "in a body without a length": b"HTTP/1.1 200 OK\r\n\r\nhi",
}


@each("times", [1, 4], ids=["once", "again and again"])
@each("secure", [False, True], ids=["TCP", "TLS"])
@each("sent", PHASES.values(), ids=PHASES)
async def test_answer(
    ours: Face, authority: Authority, trusting: ssl.SSLContext, sent: bytes, secure: bool, times: int
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(sent)
        reached.set()
        await peer.gone()

    reached = asyncio.Event()
    tls = authority.server_context() if secure else None

    async def in_phase() -> None:
        await reached.wait()
        await turns(10)

    async with Server(script, tls=tls) as server, ours.transport(trusting, max_connections=1) as transport:
        await cancelled(whole(ours, transport, server.url()), in_phase, times)
        # Its slot is back without another turn of the loop.
        second = asyncio.ensure_future(whole(ours, transport, server.url()))
        await server.accepted(2)
        await server.peers[0].left.wait()
        await cancelled(second, turns)


async def test_kept_connection_is_not_left_half_used(ours: Face) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.request()
        asked.set()
        if peer.number == 1:
            await peer.gone()
        await peer.send(OK)

    asked = asyncio.Event()
    async with Server(script) as server, ours.transport() as transport:
        await whole(ours, transport, server.url())
        await cancelled(whole(ours, transport, server.url()), asked.wait)
        await server.peers[0].left.wait()
        assert (await whole(ours, transport, server.url())).body == b"hi"
    assert len(server.peers) == 2


# --- what the sink raises


@each("sent", [OK, OK[:-1]], ids=["with the whole answer", "in the body"])
async def test_sink_that_raises_later(sent: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK[:-2])
        await pushing.wait()
        await peer.send(sent[len(OK) - 2 :])
        await peer.gone()

    fault, fed = KeyError("a fault of ours"), []

    def sink(data: bytes) -> None:
        fed.append(data)
        raise fault

    pushing = asyncio.Event()
    async with (
        Server(script) as server,
        PUSHED.transport() as transport,
        opened(transport, server.url()) as response,
    ):
        pushing.set()
        with pytest.raises(KeyError) as caught:
            await response.stream.push(sink)  # type: ignore[union-attr]
        assert caught.value is fault
        await server.peers[0].left.wait()
    assert len(fed) == 1


async def test_sink_that_raises_on_what_has_come_before() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK[:-1])
        await peer.gone()

    def sink(data: bytes) -> None:
        raise KeyError(data)

    async with Server(script) as server, PUSHED.transport() as transport:
        async with opened(transport, server.url()) as response:
            await turns()
            with pytest.raises(KeyError):
                await response.stream.push(sink)  # type: ignore[union-attr]
        await server.peers[0].left.wait()


async def test_sink_is_called_inside_the_read_callback() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n")
        for byte in (b"1", b"2", b"3"):
            await pushing.wait()
            pushing.clear()
            await peer.send(byte)
        await peer.gone()

    pushing, tasks, fed = asyncio.Event(), [], []

    def sink(data: bytes) -> None:
        fed.append(data)
        tasks.append(asyncio.current_task())
        pushing.set()

    async with (
        Server(script) as server,
        PUSHED.transport() as transport,
        opened(transport, server.url()) as response,
    ):
        before = len(asyncio.all_tasks())
        pushing.set()
        await response.stream.push(sink)  # type: ignore[union-attr]
        assert len(asyncio.all_tasks()) == before
    assert fed == [b"1", b"2", b"3"]
    # No task runs in a callback of the loop.
    assert tasks == [None, None, None]


# --- closing the transport


async def test_closing_a_response_ends_who_waits_for_its_body(ours: Face) -> None:
    async with Server(answering(OK[:-1])) as server, ours.transport() as transport:
        async with opened(transport, server.url()) as response:
            waiting = asyncio.ensure_future(ours.body(response))
            await turns()
        with pytest.raises(httpx.RemoteProtocolError):
            await waiting


async def test_closing_with_exchanges_under_way(ours: Face) -> None:
    async def script(peer: Peer) -> None:
        if peer.number > 1:
            await peer.request()
            await peer.send(OK[: -1 if peer.number == 2 else 0] if peer.number < 4 else OK)
        await peer.gone()

    async with Server(script) as server, ours.transport() as transport:
        exchanges = []
        for number in range(1, 5):
            exchanges.append(asyncio.ensure_future(whole(ours, transport, server.url())))
            await server.accepted(number)
        await asyncio.wait(exchanges[3:])
        await turns()
        await transport.aclose()
        for exchange in exchanges[:3]:
            with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
                await exchange
        for peer in server.peers:
            await peer.left.wait()
        with pytest.raises(httpx.ConnectError):
            await whole(ours, transport, server.url())
    assert len(server.peers) == 4


@each("secure", [False, True], ids=["TCP", "TLS"])
@each("count", range(1, 30, 2))
async def test_closing_while_connecting(
    ours: Face, authority: Authority, trusting: ssl.SSLContext, secure: bool, count: int
) -> None:
    tls = authority.server_context() if secure else None
    async with Server(answering(), tls=tls) as server, ours.transport(trusting) as transport:
        exchange = asyncio.ensure_future(whole(ours, transport, server.url()))
        await turns(count)
        await transport.aclose()
        with pytest.raises(httpx.TransportError):
            await exchange
        await turns()
        for peer in server.peers:
            await peer.left.wait()
