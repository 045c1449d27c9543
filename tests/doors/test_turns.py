"""Requests behind one another on a connection: each in its turn, however they are cut, and the rest is bounded."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest
from uvicorn.server import ServerState

from promptcraft.server import connection
from promptcraft.server.connection import GuardedProtocol
from tests.doors.guarded import CONFIG, Receive, Scope, Send, Wire, serving

KIB = 1024
GET = b"GET /get HTTP/1.1\r\nHost: here\r\n\r\n"
LONG = GET.replace(b"Host", b"X: %b\r\nHost" % (b"a" * 1000))
OFFER = b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
BODY = b"\r\n\r\nGET /never HTTP/1.1\r\nHost: here\r\n\r\n"


def posted(path: bytes, body: bytes, *lines: bytes) -> bytes:
    head = b"POST %b HTTP/1.1\r\nHost: here\r\n%bContent-Length: %d\r\n\r\n" % (path, b"".join(lines), len(body))
    return head + body


def chunked(path: bytes, body: bytes, *lines: bytes) -> bytes:
    head = b"POST %b HTTP/1.1\r\nHost: here\r\n%bTransfer-Encoding: chunked\r\n\r\n" % (path, b"".join(lines))
    return b"%b%x\r\n%b\r\n3\r\nend\r\n0\r\nX: trailer\r\n\r\n" % (head, len(body), body)


SENT = b"".join(
    [GET, posted(b"/a", b"plain"), posted(b"/b", b"", OFFER), chunked(b"/c", BODY), posted(b"/d", BODY, OFFER), GET]
    + [chunked(b"/e", BODY, OFFER), b"\r\n", GET.replace(b"Host", b"Upgrade: x\r\nConnection: upgrade\r\nHost")]
)
RECEIVED = [
    ("GET", "/get", b""),
    ("POST", "/a", b"plain"),
    ("POST", "/b", b""),
    ("POST", "/c", BODY + b"end"),
    ("POST", "/d", BODY),
    ("GET", "/get", b""),
    ("POST", "/e", BODY + b"end"),
    ("GET", "/get", b""),
]


class Heard:
    """An application that answers two bytes and keeps what it was asked."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, bytes]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        assert [name for name, _ in scope["headers"] if name in (b"upgrade", b"x")] == []
        self.requests.append((scope["method"], scope["path"], body))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


async def parsed(*pieces: bytes) -> tuple[list[tuple[str, str, bytes]], bytes]:
    """Return what an application was asked when these pieces came, and what was answered."""
    heard, state, wire = Heard(), ServerState(), Wire()
    protocol: Any = GuardedProtocol(CONFIG, state, {}, asyncio.get_running_loop())
    protocol.app = heard
    protocol.connection_made(wire)
    for piece in pieces:
        protocol.data_received(piece)
        assert not protocol.pipeline, "two were parsed at once"
        while protocol._waits_for_turn or (state.tasks and protocol._in_head):
            await (asyncio.sleep(0) if protocol._waits_for_turn else asyncio.wait(tuple(state.tasks)))
    protocol.connection_lost(None)
    return heard.requests, wire.written


class TestCuts:
    async def test_whole(self) -> None:
        requests, answers = await parsed(SENT)
        assert requests == RECEIVED
        assert answers.count(b"HTTP/1.1 200 OK\r\n") == len(RECEIVED)

    async def test_anywhere(self) -> None:
        for cut in range(1, len(SENT)):
            requests, _ = await parsed(SENT[:cut], SENT[cut:])
            assert requests == RECEIVED, SENT[:cut][-30:]

    @pytest.mark.parametrize("size_bytes", [1, 2, 3, 5, 7, 64])
    async def test_everywhere(self, size_bytes: int) -> None:
        pieces = [SENT[start : start + size_bytes] for start in range(0, len(SENT), size_bytes)]
        assert (await parsed(*pieces))[0] == RECEIVED


LINES = b"\r\n\r\n" * 4_000
PIECES = b"POST /c HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 10_000 + b"0\r\n\r\n"
HEADERS = b"a:\r\n" * 20_000


class TestShares:
    """Of a turn of the event loop, whatever one connection sends at once."""

    @pytest.mark.parametrize(
        ("sent", "most_bytes", "requests"),
        [
            (chunked(b"/c", LINES), 128 * 4, [("POST", "/c", LINES + b"end")]),
            (PIECES, 16 * KIB, [("POST", "/c", b" " * 10_000)]),
            (b"\n" * 3_000 + GET, 128 * 2, [("GET", "/get", b"")]),
        ],
        ids=["lines in a chunk", "chunks of a byte", "lines before a head"],
    )
    async def test_others_have_theirs(
        self, sent: bytes, most_bytes: int, requests: list[tuple[str, str, bytes]]
    ) -> None:
        heard, state, wire = Heard(), ServerState(), Wire()
        protocol: Any = GuardedProtocol(CONFIG, state, {}, asyncio.get_running_loop())
        protocol.app = heard
        protocol.connection_made(wire)
        protocol.data_received(sent)
        turns, left = 1, len(sent)
        while protocol._unparsed:
            assert 0 <= left - len(protocol._unparsed) <= most_bytes + KIB
            left = len(protocol._unparsed)
            await asyncio.sleep(0)
            turns += 1
        assert turns >= len(sent) // (most_bytes + KIB)
        while state.tasks:
            await asyncio.wait(tuple(state.tasks))
        protocol.connection_lost(None)
        assert connection.HEADS.held_bytes == 0
        assert heard.requests == requests

    async def test_headers_beyond_their_number_are_refused_at_once(self) -> None:
        heard, wire = Heard(), Wire()
        protocol: Any = GuardedProtocol(CONFIG, ServerState(), {}, asyncio.get_running_loop())
        protocol.app = heard
        protocol.connection_made(wire)
        protocol.data_received(b"GET /get HTTP/1.1\r\n" + HEADERS)
        assert wire.written.startswith(b"HTTP/1.1 431 ")
        assert wire.closed
        assert len(protocol.headers) <= 16 * KIB // 4
        protocol.connection_lost(None)
        assert connection.HEADS.held_bytes == 0

    async def test_what_comes_meanwhile_waits_behind(self) -> None:
        requests, answers = await parsed(chunked(b"/c", LINES), GET, b"\r\n" * 500 + GET)
        assert requests == [("POST", "/c", LINES + b"end"), ("GET", "/get", b""), ("GET", "/get", b"")]
        assert answers.count(b"HTTP/1.1 200") == 3


class Streaming:
    """An application whose answers go on until they are told to end."""

    def __init__(self) -> None:
        self.scopes: weakref.WeakSet[Any] = weakref.WeakSet()
        self.begun = 0
        self.end = asyncio.Event()
        self.left = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.begun += 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        await receive()
        listening = asyncio.ensure_future(receive())
        ending = asyncio.ensure_future(self.end.wait())
        await asyncio.wait({listening, ending}, return_when=asyncio.FIRST_COMPLETED)
        for task in (listening, ending):
            task.cancel()
        if listening.done() and not listening.cancelled():
            assert listening.result()["type"] == "http.disconnect"
            self.left.set()
        await send({"type": "http.response.body", "body": b"ended"})


class TestWaiting:
    async def test_one_is_served_while_the_others_are_bytes(self) -> None:
        streaming = Streaming()
        async with serving(streaming) as served, served.client() as client:
            await client.send(GET * 100)
            await client.until(b"begun")
            await served.wait_kept(99 * len(GET))
            assert (streaming.begun, len(served.state.tasks)) == (1, 1)
            streaming.end.set()
            answers = b""
            while answers.count(b"ended") < 100:
                answers += await client.until(b"ended")
            assert answers.count(b"HTTP/1.1 200") == 99
            await served.wait_held(0)

    async def test_reading_stops(self) -> None:
        streaming = Streaming()
        async with serving(streaming) as served, served.client() as client:
            await client.send(GET)
            await client.until(b"begun")
            flood = asyncio.ensure_future(client.send(LONG * 4_000))
            await served.wait_stopped()
            (held,) = served.state.connections
            assert isinstance(held, GuardedProtocol)
            # 64 KiB, and the one read that went over it.
            assert 64 * KIB < len(held._unparsed) <= (64 + 256) * KIB
            assert not held.transport.is_reading()
            assert streaming.begun == 1
            flood.cancel()

    async def test_reading_goes_on_when_they_are_served(self) -> None:
        streaming = Streaming()
        count = 400
        async with serving(streaming) as served, served.client() as client:
            await client.send(GET)
            await client.until(b"begun")
            flood = asyncio.ensure_future(client.send(LONG * count))
            await served.wait_stopped()
            streaming.end.set()
            ended = 0
            while ended < count:
                ended += (await client.until(b"ended")).count(b"ended")
            await flood
            await served.wait_held(0)

    async def test_what_waits_is_given_back_when_the_peer_leaves(self) -> None:
        streaming = Streaming()
        async with serving(streaming) as served, served.client() as client:
            await client.send(GET * 1000)
            await client.until(b"begun")
            await served.wait_kept(999 * len(GET))
            held = weakref.ref(next(iter(served.state.connections)))
            client.close()
            # The application that is being answered is told, whatever waits behind.
            async with asyncio.timeout(5):
                await streaming.left.wait()
            await served.wait_gone()
            assert connection.HEADS.held_bytes == 0
            served.accepted.clear()
            gc.collect()
            assert held() is None
            assert streaming.begun == 1

    async def test_a_large_head_is_held_until_it_is_answered(self) -> None:
        streaming = Streaming()
        large = b"GET / HTTP/1.1\r\nHost: a\r\nX-A: %b\r\n\r\n" % (b"a" * 40 * KIB)
        async with serving(streaming) as served, served.client() as client:
            await client.send(large)
            await client.until(b"begun")
            # The path, the names and the values.
            await served.wait_held(len(b"/hostax-a") + 40 * KIB)
            streaming.end.set()
            await client.until(b"ended")
            await served.wait_held(0)
            # Of one that is idle nothing is kept.
            assert not any(len(value) >= 40 * KIB for _, value in served.accepted[-1].headers)
            await client.send(GET + large)
            answers = b""
            while answers.count(b"ended") < 2:
                answers += await client.until(b"ended")
            await served.wait_held(0)

    async def test_a_large_head_is_held_until_its_body_is_here_too(self) -> None:
        async def answers_at_once(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
            await send({"type": "http.response.body", "body": b"ended"})

        head = b"POST / HTTP/1.1\r\nContent-Length: 5\r\nX-A: %b\r\n\r\n" % (b"a" * 40 * KIB)
        async with serving(answers_at_once) as served, served.client() as client:
            await client.send(head + b"of")
            await client.until(b"ended")
            await served.wait_held(len(b"/content-length5x-a") + 40 * KIB)
            await client.send(b" it" + GET)
            assert (await client.until(b"ended")).startswith(b"HTTP/1.1 200 ")
            await served.wait_held(0)

    async def test_the_large_head_of_a_socket_is_held_until_it_has_closed(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        left: asyncio.Queue[str] = asyncio.Queue()

        async def opens(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            left.put_nowait((await receive())["type"])

        monkeypatch.setattr(connection.HEADS, "most_bytes", 64 * KIB)
        shake = b"GET /ws/ HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        shake += b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b==\r\n" % (b"A" * 22)
        # A line of it may have 8 KiB.
        large = shake + (b"X-A: %b\r\n" % (b"a" * 5 * KIB)) * 8 + b"\r\n"
        async with serving(opens, socket_paths=["/ws/"]) as served:
            async with served.client() as small, served.client() as first, served.client() as second:
                await small.send(shake + b"\r\n")
                assert (await small.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
                assert connection.HEADS.held_bytes == 0
                await first.send(large)
                assert (await first.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
                assert 0 < connection.HEADS.held_bytes - 40 * KIB < 2 * KIB
                # The largest makes room, open or not.
                arriving = b"GET / HTTP/1.1\r\nX-A: " + b"a" * 30 * KIB
                await second.send(arriving)
                assert await first.rest() == b""
                assert await left.get() == "websocket.disconnect"
                await served.wait_held(len(arriving))
            assert await left.get() == "websocket.disconnect"
            await served.wait_held(0)
            async with served.client() as again:
                await again.send(large)
                await again.until(b"\r\n\r\n")
                assert connection.HEADS.held_bytes > 40 * KIB
            assert await left.get() == "websocket.disconnect"
            await served.wait_held(0)

    async def test_a_large_head_makes_room_while_its_body_is_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def reads_first(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await Streaming()(scope, receive, send)

        monkeypatch.setattr(connection.HEADS, "most_bytes", 64 * KIB)
        waiting = b"POST / HTTP/1.1\r\nContent-Length: 5\r\nX-A: %b\r\n\r\n" % (b"a" * 40 * KIB)
        async with serving(reads_first) as served, served.client() as first, served.client() as second:
            await first.send(waiting)
            await served.wait_held(len(b"/content-length5x-a") + 40 * KIB)
            await second.send(waiting)
            assert (await second.rest()).startswith(b"HTTP/1.1 503 ")
            await served.wait_held(len(b"/content-length5x-a") + 40 * KIB)
            first.close()
            await served.wait_held(0)

    async def test_all_connections_share_a_bound(self, monkeypatch: pytest.MonkeyPatch) -> None:
        streaming = Streaming()
        monkeypatch.setattr(connection.HEADS, "most_bytes", 20 * KIB)
        async with serving(streaming) as served, served.client() as first:
            await first.send(GET + b"GET /" + b"a" * 15 * KIB)
            await first.until(b"begun")
            await served.wait_held(15 * KIB + 5)
            async with served.client() as second, served.client() as small:
                await second.send(GET)
                await second.until(b"begun")
                await second.send(b"GET /" + b"a" * 15 * KIB)
                # In the middle of an answer no other can be given.
                assert await second.rest() == b""
                await small.send(GET + b"GET /" + b"a" * KIB)
                await small.until(b"begun")
                await served.wait_held(16 * KIB + 10)
        await served.wait_held(0)
