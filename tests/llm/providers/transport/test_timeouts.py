"""A timeout for each phase; whatever it ends is closed."""

from __future__ import annotations

import asyncio
import ssl

import httpx
import pytest

from tests.llm.providers.transport.faces import Face, opened, whole
from tests.llm.providers.transport.peer import Peer, Server, answering
from tests.upstream.ports import refusing_port, unanswering_port

SOON_S = 0.05


async def silent(peer: Peer) -> None:
    await peer.gone()


async def test_connecting_to_nobody(face: Face) -> None:
    async with face.transport() as transport:
        with unanswering_port() as port, pytest.raises(httpx.ConnectTimeout):
            await whole(face, transport, f"http://127.0.0.1:{port}/", timeouts={"connect": SOON_S})


async def test_refused(face: Face) -> None:
    async with face.transport() as transport:
        with refusing_port() as port, pytest.raises(httpx.ConnectError):
            await whole(face, transport, f"http://127.0.0.1:{port}/")


async def test_host_that_cannot_be_a_name(ours: Face) -> None:
    # It is too long to be asked for, so that no network is needed.
    async with ours.transport() as transport:
        with pytest.raises(httpx.ConnectError):
            await whole(ours, transport, f"http://{'a' * 64}/")


async def test_tls_handshake_with_nobody(face: Face) -> None:
    # Accepts, and never says a word of TLS.
    async with Server(silent) as server, face.transport() as transport:
        with pytest.raises(httpx.ConnectTimeout):
            await whole(face, transport, server.url().replace("http:", "https:"), timeouts={"connect": SOON_S})
        await (await server.accepted()).left.wait()


async def test_writing_to_a_peer_that_does_not_read(face: Face) -> None:
    async def deaf(peer: Peer) -> None:
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await over.wait()
        peer.writer.transport.resume_reading()  # type: ignore[attr-defined]
        await peer.gone()

    over = asyncio.Event()
    async with Server(deaf) as server, face.transport() as transport:
        with pytest.raises(httpx.WriteTimeout):
            await whole(face, transport, server.url(), b"x" * (12 << 20), timeouts={"write": SOON_S})
        over.set()
        await server.peers[0].left.wait()


async def test_waiting_for_headers(face: Face) -> None:
    async with Server(silent) as server, face.transport() as transport:
        with pytest.raises(httpx.ReadTimeout):
            await whole(face, transport, server.url(), timeouts={"read": SOON_S})
        await server.peers[0].left.wait()


async def test_waiting_for_more_of_a_body() -> None:
    async def stalling(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhi")
        await peer.gone()

    for face in (Face(name="pull"), Face(name="httpx")):
        async with Server(stalling) as server, face.transport() as transport:
            async with opened(transport, server.url(), timeouts={"read": SOON_S}) as response:
                with pytest.raises(httpx.ReadTimeout):
                    await face.body(response)
            await server.peers[0].left.wait()


async def test_timeouts_do_not_end_what_is_in_time(face: Face, trusting: ssl.SSLContext) -> None:
    answer = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhi", b"!", b"!")
    async with Server(answer) as server, face.transport(trusting) as transport:
        for seconds in (5.0, None):
            timeouts = dict.fromkeys(("connect", "write", "read", "pool"), seconds)
            assert (await whole(face, transport, server.url(), timeouts=timeouts)).body == b"hi!!"
