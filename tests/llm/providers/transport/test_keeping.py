"""Which connections carry a second request, and which never do."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable

import httpx
import pytest

from tests.each import each
from tests.llm.providers.transport.faces import PUSHED, Face, opened, whole
from tests.llm.providers.transport.peer import Peer, Script, Server, answering, turns

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
End = Callable[[Peer], None]


def ending(number_of_answers: int, end: Script) -> Script:
    """Answer so many requests on the first connection and then end it; answer everything on the others."""

    async def script(peer: Peer) -> None:
        if peer.number == 1:
            for _ in range(number_of_answers):
                await peer.request()
                await peer.send(OK)
            await end(peer)
            # What still comes on it is no request: the rest of a body may.
            await peer.gone()
        await answering(OK)(peer)

    return script


async def test_one_connection_carries_many_exchanges(face: Face) -> None:
    async with Server(answering(OK)) as server, face.transport() as transport:
        for number in range(20):
            assert (await whole(face, transport, server.url(), b"%d" % number)).body == b"hi"
    assert len(server.peers) == 1
    assert len(server.requests) == 20


async def test_origins_have_connections_of_their_own(face: Face) -> None:
    async with Server(answering(OK)) as one, Server(answering(EVIL)) as other, face.transport() as transport:
        for _ in range(2):
            assert (await whole(face, transport, one.url())).body == b"hi"
            assert (await whole(face, transport, other.url())).body == b"evil"
    assert len(one.peers) == len(other.peers) == 1


async def test_newest_connection_is_used_first(ours: Face) -> None:
    async with Server(answering(OK)) as server, ours.transport() as transport:
        async with opened(transport, server.url()) as first, opened(transport, server.url()) as second:
            await ours.body(first)
            await ours.body(second)
        # The inner one was left first, so the outer one is the newest.
        await whole(ours, transport, server.url())
    assert [len(peer.requests) for peer in server.peers] == [2, 1]


@each("sent", [OK[:-1], OK[:-2]], ids=["cut in the body", "cut before it"])
async def test_answer_that_is_left_early_closes_its_connection(face: Face, sent: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(sent)
        await peer.gone()

    async with Server(script) as server, face.transport() as transport:
        async with opened(transport, server.url()) as response:
            assert response.status_code == 200
        await (await server.accepted()).left.wait()
        async with opened(transport, server.url()):
            pass
    assert len(server.peers) == 2


async def test_whole_answer_that_nobody_took_may_keep_its_connection(ours: Face) -> None:
    async with Server(answering(OK)) as server, ours.transport() as transport:
        async with opened(transport, server.url()) as response:
            assert response.status_code == 200
        assert (await whole(ours, transport, server.url())).body == b"hi"
    assert len(server.peers) == 1


@each("answer", [OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), OK + b"H"], ids=["close", "H"])
async def test_connection_that_is_not_kept_is_closed_with_its_answer(ours: Face, answer: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer)
        await peer.gone()

    async with (
        Server(script) as server,
        ours.transport() as transport,
        opened(transport, server.url()) as response,
    ):
        await server.peers[0].left.wait()
        assert await ours.body(response) == b"hi"


# --- bytes that nobody asked for


@each(
    "behind",
    [EVIL, EVIL[:20], b"H", b"garbage\r\n\r\n", EVIL + EVIL, b"HTTP/1.1 100 Continue\r\n\r\n"],
    ids=["an answer", "half an answer", "a byte", "garbage", "two answers", "a 100"],
)
@each(
    "answer",
    [OK, OK.replace(b"Content-Length: 2\r\n\r\nhi", b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")],
    ids=["length", "chunks"],
)
async def test_bytes_behind_an_answer_poison_its_connection(ours: Face, answer: bytes, behind: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        if peer.number == 1:
            await peer.send(answer + behind)
            await peer.gone()
        await peer.send(OK)
        await peer.gone()

    async with Server(script) as server, ours.transport() as transport:
        assert (await whole(ours, transport, server.url())).body == b"hi"
        await server.peers[0].left.wait()
        assert (await whole(ours, transport, server.url())).body == b"hi"
    assert len(server.peers) == 2


async def test_bytes_before_the_answer_is_left_poison_its_connection(ours: Face) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await taken.wait()
        await peer.send(EVIL)
        await peer.gone()

    taken = asyncio.Event()
    async with Server(script) as server, ours.transport() as transport:
        async with opened(transport, server.url()) as response:
            assert await ours.body(response) == b"hi"
            taken.set()
            await server.peers[0].left.wait()
        assert (await whole(ours, transport, server.url())).body == b"hi"
    assert len(server.peers) == 2


async def test_bytes_on_an_idle_connection_poison_it(ours: Face) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await idle.wait()
        await peer.send(EVIL)
        await peer.gone()

    idle = asyncio.Event()
    async with Server(script) as server, ours.transport() as transport:
        await whole(ours, transport, server.url())
        idle.set()
        await server.peers[0].left.wait()
        assert (await whole(ours, transport, server.url())).body == b"hi"
    assert len(server.peers) == 2


async def test_bytes_that_the_loop_has_yet_to_read_poison_an_idle_connection(ours: Face) -> None:
    async with Server(answering(OK)) as server, ours.transport() as transport:
        await whole(ours, transport, server.url())
        # In the kernel's buffer before the next request is made, with no turn of the loop between.
        os.write(server.peers[0].writer.get_extra_info("socket").fileno(), EVIL)
        assert (await whole(ours, transport, server.url())).body == b"hi"
        await server.peers[0].left.wait()
    assert len(server.peers) == 2
    assert len(server.requests) == 2


# --- stale connections


async def fin(peer: Peer) -> None:
    peer.close()


async def rst(peer: Peer) -> None:
    peer.reset()


@each("end", [fin, rst])
async def test_server_closes_an_idle_connection(face: Face, end: Script) -> None:
    async with Server(ending(1, end)) as server, face.transport() as transport:
        await whole(face, transport, server.url())
        await server.ended(server.peers[0])
        assert (await whole(face, transport, server.url())).body == b"hi"
    assert len(server.requests) == 2


@each("end", [fin, rst])
async def test_server_closes_an_idle_connection_that_the_loop_has_yet_to_read(face: Face, end: Script) -> None:
    async with Server(answering(OK)) as server, face.transport() as transport:
        await whole(face, transport, server.url())
        descriptor = server.peers[0].writer.get_extra_info("socket").fileno()
        with socket.socket(fileno=os.dup(descriptor)) as accepted:
            accepted.shutdown(socket.SHUT_RDWR)
        assert (await whole(face, transport, server.url())).body == b"hi"
    assert len(server.requests) == 2


@each("content", [b"question", b"x" * (8 << 20)], ids=["small", "large"])
@each("end", [fin, rst])
async def test_kept_connection_that_closes_on_the_request_is_replaced(ours: Face, end: Script, content: bytes) -> None:
    async def read_and_end(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await end(peer)

    async with Server(ending(2, read_and_end)) as server, ours.transport() as transport:
        for _ in range(2):
            await whole(ours, transport, server.url())
        assert (await whole(ours, transport, server.url(), content)).body == b"hi"
    assert len(server.peers) == 2
    assert server.peers[1].requests[0].endswith(b"\r\n\r\n" + content)


@each("end", [fin, rst])
async def test_kept_connection_is_replaced_once(ours: Face, end: Script) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        if peer.number == 1:
            await peer.send(OK)
            await peer.request()
        await end(peer)

    async with Server(script) as server, ours.transport() as transport:
        await whole(ours, transport, server.url())
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await whole(ours, transport, server.url())
    assert len(server.requests) == 3
    assert len(server.peers) == 2


@each("end", [fin, rst])
async def test_new_connection_is_not_replaced(face: Face, end: Script) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await end(peer)

    async with Server(script) as server, face.transport() as transport:
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)) as caught:
            await whole(face, transport, server.url())
    assert len(server.requests) == 1
    # A peer that leaves without a word breaks the protocol, one that resets breaks the connection.
    assert isinstance(caught.value, httpx.ReadError if end is rst else httpx.RemoteProtocolError)


@each("begun", [OK[:1], OK[:20], OK[:-1], b"HTTP/1.1 100 Continue\r\n\r\n"], ids=len)
@each("end", [fin, rst])
async def test_connection_that_has_begun_to_answer_is_not_replaced(face: Face, end: Script, begun: bytes) -> None:
    async def begin_and_end(peer: Peer) -> None:
        await peer.request()
        await peer.send(begun)
        # A reset overtakes what has not been read.
        await turns()
        await end(peer)

    async with Server(ending(1, begin_and_end)) as server, face.transport() as transport:
        await whole(face, transport, server.url())
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await whole(face, transport, server.url())
    assert len(server.requests) == 2
    assert len(server.peers) == 1


async def test_connection_that_closes_late_is_not_stale(ours: Face) -> None:
    # Whoever held a request that long may have worked on it: sending it again could bill twice.
    async def read_and_end(peer: Peer) -> None:
        await peer.request()
        peer.close()

    async with Server(ending(1, read_and_end)) as server, ours.transport(stale_s=-1) as transport:
        await whole(ours, transport, server.url())
        with pytest.raises(httpx.RemoteProtocolError):
            await whole(ours, transport, server.url())
    assert len(server.requests) == 2


# --- bounds


async def test_idle_connections_are_closed_after_a_while(ours: Face) -> None:
    async with Server(answering(OK)) as server, ours.transport(kept_s=0.02) as transport:
        async with opened(transport, server.url()), opened(transport, server.url()):
            await server.accepted(2)
        await whole(ours, transport, server.url())
        for peer in server.peers:
            await peer.left.wait()
        await whole(ours, transport, server.url())
        await (await server.accepted(3)).left.wait()
    assert len(server.peers) == 3


async def test_idle_connections_are_bounded() -> None:
    async with Server(answering(OK)) as server, PUSHED.transport() as transport:
        responses = [opened(transport, server.url()) for _ in range(140)]
        for response in responses:
            await PUSHED.body(await response.__aenter__())
        for response in responses:
            await response.__aexit__(None, None, None)
        for peer in server.peers[128:]:
            await peer.left.wait()
        assert not any(peer.left.is_set() for peer in server.peers[:128])


async def test_connections_are_capped(face: Face) -> None:
    none = {"pool": 0.01}
    async with Server(answering(OK[:-1])) as server, face.transport(max_connections=2) as transport:
        async with opened(transport, server.url()), opened(transport, server.url()):
            with pytest.raises(httpx.PoolTimeout):
                await whole(face, transport, server.url(), timeouts=none)
        async with opened(transport, server.url(), timeouts=none), opened(transport, server.url(), timeouts=none):
            assert len(server.requests) == 4


async def test_slots_come_back_from_what_fails(ours: Face) -> None:
    async def script(peer: Peer) -> None:
        await (answering(OK)(peer) if peer.number > 2 else peer.request())

    async with Server(script) as server, ours.transport(max_connections=1) as transport:
        for _ in range(2):
            with pytest.raises(httpx.RemoteProtocolError):
                await whole(ours, transport, server.url())
            with pytest.raises(httpx.ConnectError):
                await whole(ours, transport, "http://127.0.0.1:9/")
            with pytest.raises(httpx.LocalProtocolError):
                await whole(ours, transport, server.url(), headers={"X": "\n"})
        await whole(ours, transport, server.url())


async def test_hundreds_at_once_without_a_cap() -> None:
    async with Server(answering(OK[:-1])) as server, PUSHED.transport() as transport:
        responses = [opened(transport, server.url()) for _ in range(400)]
        await asyncio.gather(*(response.__aenter__() for response in responses))
        for response in responses:
            await response.__aexit__(None, None, None)
        for peer in server.peers:
            await peer.left.wait()
    assert len(server.peers) == 400
