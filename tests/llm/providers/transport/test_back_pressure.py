"""Whoever is slower than the provider costs bounded memory, and the provider waits."""

from __future__ import annotations

import asyncio
import ssl

from apps.llm.providers.push_stream import MOST_QUEUED_BYTES, PushStream
from tests.each import each
from tests.llm.providers.transport.certificates import Authority
from tests.llm.providers.transport.faces import PUSHED, Face, opened, whole
from tests.llm.providers.transport.peer import Peer, Server

PIECE = bytes(range(256)) * 256
PIECES = 240  # 15 MiB: of a connection that nobody reads, the kernel holds about 5


class Flow:
    """A connection that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pause(self) -> None:
        self.told.append("pause")

    def resume(self) -> None:
        self.told.append("resume")

    def leave(self) -> None:
        self.told.append("leave")


async def test_reading_pauses_at_the_bound_and_goes_on_below_it() -> None:
    flow = Flow()
    stream = PushStream(flow, None)
    for _ in range(MOST_QUEUED_BYTES // len(PIECE) + 1):
        assert not flow.told
        stream.take(PIECE)
    assert flow.told == ["pause"]
    taken = await anext(stream)
    assert MOST_QUEUED_BYTES < len(taken) <= MOST_QUEUED_BYTES + len(PIECE)
    assert flow.told == ["pause", "resume"]
    await stream.aclose()
    await stream.aclose()
    assert flow.told[2:] == ["leave"]


async def test_a_sink_is_never_made_to_wait() -> None:
    flow = Flow()
    taken: list[bytes] = []
    stream = PushStream(flow, None)
    pushing = asyncio.ensure_future(stream.push(taken.append))
    await asyncio.sleep(0)
    for _ in range(20):
        stream.take(PIECE)
    stream.end(None)
    await pushing
    assert "pause" not in flow.told
    assert taken == [PIECE] * 20


@each("secure", [False, True], ids=["TCP", "TLS"])
async def test_provider_waits_for_a_slow_reader(
    face: Face, authority: Authority, trusting: ssl.SSLContext, secure: bool
) -> None:
    sent = 0

    async def script(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (PIECES * len(PIECE)))
        for _ in range(PIECES):
            await peer.send(PIECE)
            sent += 1

    tls = authority.server_context() if secure else None
    async with Server(script, tls=tls) as server, face.transport(trusting) as transport:
        async with opened(transport, server.url()) as response:
            quiet = before = 0
            while quiet < 100:
                # No progress in a hundred turns of the loop that carries both ends.
                await asyncio.sleep(0)
                quiet, before = (quiet + 1 if sent == before else 0), sent
            assert sent < PIECES
            body = await face.body(response)
        assert body == PIECE * PIECES


async def test_connection_that_waits_to_be_read_is_not_kept() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        if peer.number == 1:
            size = MOST_QUEUED_BYTES + len(PIECE)
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size, bytes(size))
        else:
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        await peer.gone()

    async with Server(script) as server, PUSHED.transport() as transport:
        async with opened(transport, server.url()):
            for _ in range(50):
                await asyncio.sleep(0)
        await server.peers[0].left.wait()
        assert (await whole(PUSHED, transport, server.url())).body == b"hi"
