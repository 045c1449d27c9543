"""However much comes at once, one turn of the loop works on a bounded share of it, and reading waits for the rest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx
import pytest

from apps.llm.providers.base import TransportKind
from apps.llm.providers.push_connection import MOST_TURN_BYTES, Connection
from apps.llm.providers.push_stream import PushResponse
from tests.llm.providers.asking import Kept
from tests.llm.providers.connecting import EVENT, call, provider_of
from tests.llm.providers.scripted import chunked, response
from tests.llm.providers.transport.peer import Server, answering, turns

SHARES = 20
_PATIENCE_S = 10.0
BLANK = b"\n" * (MOST_TURN_BYTES * SHARES)


class Turns(Kept):
    """A sink that notes how much it is fed in each turn of the loop."""

    def __init__(self, error: Exception | None = None, after: int = 1) -> None:
        super().__init__(error, after)
        self.fed_bytes: dict[int, int] = {}
        self._turn = 0
        self._ticking: asyncio.Handle | None = None

    def feed(self, data: bytes) -> None:
        self.fed_bytes[self._turn] = self.fed_bytes.get(self._turn, 0) + len(data)
        super().feed(data)

    def tick(self) -> None:
        self._turn += 1
        self._ticking = asyncio.get_running_loop().call_soon(self.tick)

    def stop(self) -> None:
        assert self._ticking is not None
        self._ticking.cancel()


class Wire:
    """The transport of a connection; it notes what it is told."""

    def __init__(self) -> None:
        self.reading = True
        self.aborted = False

    def write(self, data: bytes) -> None:
        assert data

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def abort(self) -> None:
        self.aborted = True

    def get_write_buffer_size(self) -> int:
        return 0


class Keeper:
    def __init__(self) -> None:
        self.kept = 0

    def keep(self, connection: Connection) -> None:
        self.kept += 1

    def forget(self, connection: Connection) -> None:
        return


@asynccontextmanager
async def pushed(
    sink: Turns, keeper: Keeper, head: bytes
) -> AsyncIterator[tuple[Connection, Wire, asyncio.Task[None]]]:
    """An exchange whose answer has begun, and the task that its body is pushed by."""
    connection, wire = Connection(keeper, (b"http", "nowhere", 80)), Wire()
    connection.connection_made(cast(Any, wire))
    asking = asyncio.ensure_future(connection.exchange(b"GET", write_timeout_s=None, read_timeout_s=None))
    await asyncio.sleep(0)
    connection.data_received(head)
    answered: PushResponse = await asking
    pushing = asyncio.ensure_future(answered.stream.push(sink.feed))
    await asyncio.sleep(0)
    sink.tick()
    try:
        async with asyncio.timeout(_PATIENCE_S):
            yield connection, wire, pushing
    finally:
        sink.stop()
        pushing.cancel()
        await asyncio.wait((pushing,))
        await answered.stream.aclose()


@pytest.mark.parametrize("kind", ["push", "httpx"])
@pytest.mark.parametrize(
    "answer", [response(200, EVENT + BLANK), response(200, EVENT + BLANK, None), chunked(EVENT, *[b"\n" * 8] * 5_100)]
)
async def test_large_reads_are_taken_in_shares(kind: TransportKind, answer: bytes) -> None:
    async with Server(answering(answer)) as server, provider_of("openai", server.url(), kind=kind) as provider:
        sink = Turns()
        sink.tick()
        await provider.run(call(provider), sink)
        sink.stop()
    assert len(sink.data) > 40_000
    # A turn of uvloop's may end one read and begin the next.
    assert max(sink.fed_bytes.values()) <= 2 * MOST_TURN_BYTES


async def test_nothing_is_read_before_the_rest_is_taken() -> None:
    sink, keeper = Turns(), Keeper()
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (2 * len(BLANK))
    async with pushed(sink, keeper, head) as (connection, wire, pushing):
        connection.data_received(BLANK)
        assert not wire.reading
        assert len(sink.data) == MOST_TURN_BYTES
        for share in range(2, SHARES + 1):
            await asyncio.sleep(0)
            assert len(sink.data) == share * MOST_TURN_BYTES
            assert wire.reading is (share == SHARES)
        assert set(sink.fed_bytes.values()) == {MOST_TURN_BYTES}
        connection.data_received(BLANK)
        await pushing
    assert sink.data == BLANK * 2
    assert (keeper.kept, wire.aborted) == (1, False)


@pytest.mark.parametrize("behind", [b"\n", BLANK], ids=["a byte", "many"])
async def test_what_comes_behind_an_answer_of_many_shares_is_nobodys(behind: bytes) -> None:
    sink, keeper = Turns(), Keeper()
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BLANK)
    async with pushed(sink, keeper, head) as (connection, wire, pushing):
        connection.data_received(BLANK + behind)
        await pushing
        await turns()
    assert sink.data == BLANK
    assert (keeper.kept, wire.aborted) == (0, True)


async def test_what_came_before_a_break_is_taken_first() -> None:
    sink = Turns()
    async with pushed(sink, Keeper(), b"HTTP/1.1 200 OK\r\n\r\n") as (connection, _, pushing):
        connection.data_received(BLANK)
        connection.connection_lost(ConnectionResetError())
        with pytest.raises(httpx.ReadError):
            await pushing
    assert sink.data == BLANK


async def test_an_end_waits_for_what_came_before_it() -> None:
    sink = Turns()
    async with pushed(sink, Keeper(), b"HTTP/1.0 200 OK\r\n\r\n") as (connection, wire, pushing):
        connection.data_received(BLANK)
        assert connection.eof_received()
        wire.get_extra_info = lambda name: None  # type: ignore[attr-defined]
        await pushing
        assert wire.aborted
    assert sink.data == BLANK


async def test_closing_drops_what_is_not_taken() -> None:
    sink = Turns(ValueError("enough"), after=2)
    async with pushed(sink, Keeper(), b"HTTP/1.1 200 OK\r\n\r\n") as (connection, wire, pushing):
        connection.data_received(BLANK)
        with pytest.raises(ValueError, match="enough"):
            await pushing
        connection.connection_lost(None)
        await turns()
        assert wire.aborted
    assert len(sink.data) == 2 * MOST_TURN_BYTES
