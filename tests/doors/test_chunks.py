"""A body in chunks: how much of it is parsed at once, and when."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.server import ServerState

from promptcraft.server.chunks import ChunkTurns, some_chunks
from promptcraft.server.connection import GuardedProtocol
from tests.doors.guarded import CONFIG, Receive, Scope, Send, Wire
from tests.waiting import HANG_S

HEAD = b"POST /c HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n"


async def unheard(scope: Scope, receive: Receive, send: Send) -> None:
    """Be an application that reads until its client leaves."""
    while (await receive())["type"] != "http.disconnect":
        continue


def written(sizes: list[int]) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (size, b"a" * size) for size in sizes)


@given(st.lists(st.integers(1, 3_000), max_size=300), st.integers(0, 100))
def test_no_more_than_so_many_end_in_it(sizes: list[int], start: int) -> None:
    data = written(sizes)
    start = min(start, len(data))
    end, chunks = some_chunks(data, start, len(data), most=16)
    assert start <= end <= len(data)
    assert data.count(b"\r\n", start, end) <= 2 * 16
    assert chunks <= 16
    assert end == len(data) or end - start >= min(16, len(data) - start)


def test_large_chunks_are_taken_whole() -> None:
    data = written([4_000] * 4)
    assert some_chunks(data, 0, len(data), most=16) == (len(data), 4)


async def test_connections_of_a_network_take_turns_and_others_do_not_wait() -> None:
    turns, begun = ChunkTurns(), asyncio.Event()
    order: list[str] = []

    def again(name: str, times: int) -> None:
        def go_on() -> None:
            order.append(name)
            if times > 1:
                again(name, times - 1)
            if len(order) == 7:
                begun.set()

        turns.wait(name[0], go_on)

    for name in ("a1", "a2", "a3"):
        again(name, 2)
    again("b", 1)
    await asyncio.wait_for(begun.wait(), HANG_S)
    assert [name for name in order if name != "b"] == ["a1", "a2", "a3"] * 2
    assert order.index("b") <= 1


@pytest.mark.parametrize("size_bytes", [1, 126, 900])
async def test_small_chunks_of_all_connections_take_turns(size_bytes: int) -> None:
    """However many connections a network has, in a turn of the loop it has a few chunks."""
    loop = asyncio.get_running_loop()
    protocols: list[Any] = [GuardedProtocol(CONFIG, ServerState(), {}, loop) for _ in range(20)]
    for protocol in protocols:
        protocol.app = unheard
        protocol.connection_made(Wire())
        protocol.data_received(HEAD + written([size_bytes] * 100))
    try:
        async with asyncio.timeout(HANG_S):
            while any(protocol._body_bytes < 48 * size_bytes for protocol in protocols):
                before = sum(protocol._body_bytes for protocol in protocols)
                await asyncio.sleep(0)
                assert sum(protocol._body_bytes for protocol in protocols) - before <= 16 * size_bytes
    finally:
        for protocol in protocols:
            protocol.connection_lost(None)
