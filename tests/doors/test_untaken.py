"""Answers that their peers do not take."""

from __future__ import annotations

import pytest
from uvicorn.protocols.http import httptools_impl

from promptcraft.server.cycle import SwiftCycle
from promptcraft.server.writing import UNTAKEN
from tests.doors.guarded import Receive, Scope, Send, serving

KIB = 1024
SIZE_BYTES = 4096 * KIB


@pytest.fixture(autouse=True)
def _our_cycle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer as the server does that has imported the application."""
    monkeypatch.setattr(httptools_impl, "RequestResponseCycle", SwiftCycle)


async def large(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer as many bytes as the path says, at once; their length is told, unless the query is not empty."""
    size_bytes = int(scope["path"].strip("/"))
    head = [] if scope["query_string"] else [(b"content-length", b"%d" % size_bytes)]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": b"z" * size_bytes})


def asked(size_bytes: int, version: bytes = b"1.1", query: bytes = b"") -> bytes:
    return b"GET /%d%b HTTP/%b\r\nHost: here\r\nConnection: close\r\n\r\n" % (size_bytes, query, version)


@pytest.mark.parametrize(("version", "query"), [(b"1.1", b""), (b"1.1", b"?chunks"), (b"1.0", b""), (b"1.0", b"?end")])
async def test_a_large_one_is_counted_whole_and_written_in_pieces(version: bytes, query: bytes) -> None:
    async with serving(large) as served:
        async with served.client() as client:
            await client.send(asked(SIZE_BYTES, version, query))
            await served.wait_untaken(SIZE_BYTES)
            await served.wait_paused()
            # What a transport is given it keeps until all of it is taken.
            assert served.accepted[0].transport.get_write_buffer_size() < 256 * KIB
            received = await client.rest()
        await served.wait_gone()
    assert received.partition(b"\r\n\r\n")[2].count(b"z") == SIZE_BYTES
    assert UNTAKEN.held_bytes == 0


@pytest.mark.parametrize("query", [b"", b"?chunks"])
async def test_of_one_whose_peer_leaves_nothing_is_counted(query: bytes) -> None:
    async with serving(large) as served:
        async with served.client() as client:
            await client.send(asked(SIZE_BYTES, query=query))
            await served.wait_untaken(SIZE_BYTES)
        await served.wait_gone()
    assert UNTAKEN.held_bytes == 0


async def test_next_request_waits_for_the_answer_before_it_to_be_taken() -> None:
    began = 0

    async def counted(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal began
        began += 1
        await large(scope, receive, send)

    request = asked(600_000).replace(b"Connection: close\r\n", b"")
    async with serving(counted, timeout_keep_alive_s=0.05) as served, served.client() as client:
        await client.send(request * 3)
        await served.wait_untaken(600_000)
        await served.wait_kept(2 * len(request))
        assert began == 1
        await client.take(3 * 600_000, pause_s=0.1)
        assert began == 3
        await served.wait_gone()


@pytest.mark.parametrize(("size_bytes", "cut"), [(300 * KIB, True), (100 * KIB, False)])
async def test_all_connections_share_a_bound(
    size_bytes: int, cut: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(UNTAKEN, "most_bytes", 560 * KIB)
    async with serving(large) as served:
        async with served.client() as first, served.client() as second:
            for number, client in enumerate((first, second), 1):
                await client.send(asked(size_bytes))
                await (served.wait_gone(1) if cut and number == 2 else served.wait_paused(number))
            assert UNTAKEN.held_bytes > size_bytes // 2
            received = [len(await client.rest()) for client in (first, second)]
            assert [one < size_bytes for one in received] == [False, cut]
        await served.wait_gone()
    assert UNTAKEN.held_bytes == 0
    assert caplog.records == []
