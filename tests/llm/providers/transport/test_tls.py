"""TLS: who is believed, and that an answer which anybody could have cut is not taken for a whole one."""

from __future__ import annotations

import ssl

import httpx
import pytest

from tests.each import each
from tests.llm.providers.transport.certificates import Authority
from tests.llm.providers.transport.faces import Face, whole
from tests.llm.providers.transport.peer import Peer, Server, answering

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
OPEN_ENDED = b"HTTP/1.1 200 OK\r\n\r\nhi"


async def test_private_authority(face: Face, authority: Authority, trusting: ssl.SSLContext) -> None:
    tls = authority.server_context("localhost")
    async with Server(answering(OK), tls=tls) as server, face.transport(trusting) as transport:
        for host in ("127.0.0.1", "localhost", "localhost"):
            assert (await whole(face, transport, server.url(host=host))).body == b"hi"
    assert len(server.peers) == 2


async def test_large_request_and_answer(face: Face, authority: Authority, trusting: ssl.SSLContext) -> None:
    content = b"0123456789abcdef" * (3 * 65536)

    async def echo(peer: Peer) -> None:
        while True:
            body = (await peer.request()).partition(b"\r\n\r\n")[2]
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), body)

    async with Server(echo, tls=authority.server_context()) as server, face.transport(trusting) as transport:
        for _ in range(2):
            assert (await whole(face, transport, server.url(), content)).body == content
    assert len(server.peers) == 1


@each("fault", ["name", "address", "expired", "unknown authority", "no TLS"])
async def test_servers_that_are_not_believed(
    face: Face, authority: Authority, trusting: ssl.SSLContext, fault: str
) -> None:
    issuer = Authority() if fault == "unknown authority" else authority
    tls = issuer.server_context(
        "elsewhere.example" if fault == "name" else "localhost",
        address="127.0.0.2" if fault in ("name", "address") else "127.0.0.1",
        expired=fault == "expired",
    )
    host = "localhost" if fault == "name" else "127.0.0.1"

    async def greet(peer: Peer) -> None:
        await peer.send(b"220 mail.example ESMTP\r\n")
        await peer.gone()

    async with (
        Server(greet, tls=None if fault == "no TLS" else tls) as server,
        face.transport(trusting) as transport,
    ):
        with pytest.raises(httpx.ConnectError):
            await whole(face, transport, server.url(host=host).replace("http:", "https:"))
    assert not server.requests


async def test_body_that_ends_with_a_goodbye(face: Face, authority: Authority, trusting: ssl.SSLContext) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OPEN_ENDED)
        peer.close()

    async with Server(script, tls=authority.server_context()) as server, face.transport(trusting) as transport:
        assert (await whole(face, transport, server.url())).body == b"hi"


async def test_body_that_ends_without_one(ours: Face, authority: Authority, trusting: ssl.SSLContext) -> None:
    # httpx's own transport takes it for a whole body.
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OPEN_ENDED)
        peer.cut()

    async with Server(script, tls=authority.server_context()) as server, ours.transport(trusting) as transport:
        with pytest.raises(httpx.RemoteProtocolError):
            await whole(ours, transport, server.url())


@each("end", [Peer.close, Peer.cut])
async def test_body_that_ends_too_early(
    face: Face, authority: Authority, trusting: ssl.SSLContext, end: object
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK[:-1])
        end(peer)  # type: ignore[operator]

    async with Server(script, tls=authority.server_context()) as server, face.transport(trusting) as transport:
        with pytest.raises(httpx.RemoteProtocolError):
            await whole(face, transport, server.url())


@each("end", [Peer.close, Peer.cut])
async def test_kept_connection_that_closes_on_the_request_is_replaced(
    ours: Face, authority: Authority, trusting: ssl.SSLContext, end: object
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.request()
        if peer.number == 1:
            end(peer)  # type: ignore[operator]
        await peer.send(OK)

    async with Server(script, tls=authority.server_context()) as server, ours.transport(trusting) as transport:
        for _ in range(2):
            assert (await whole(ours, transport, server.url())).body == b"hi"
    assert len(server.peers) == 2


async def test_bytes_behind_an_answer_poison_its_connection(
    ours: Face, authority: Authority, trusting: ssl.SSLContext
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK + OK.replace(b"hi", b"no") if peer.number == 1 else OK)
        await peer.gone()

    async with Server(script, tls=authority.server_context()) as server, ours.transport(trusting) as transport:
        assert (await whole(ours, transport, server.url())).body == b"hi"
        await server.peers[0].left.wait()
        assert (await whole(ours, transport, server.url())).body == b"hi"
