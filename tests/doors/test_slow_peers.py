"""A connection costs what its bounds say, whatever the peer sends, drips, or does not take."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Mapping
from typing import Any

import pytest
from uvicorn.server import ServerState

from apps.chat.envelope import envelope
from apps.llm.errors import InvalidRequest
from promptcraft.scope import MOST_HEAD_BYTES, MOST_HEADERS
from promptcraft.server import connection as guarded
from promptcraft.server.connection import GuardedProtocol
from promptcraft.server.writing import UNTAKEN
from tests.doors.guarded import CONFIG, Receive, Scope, Send, Wire, serving

KIB = 1024
HEAD = b"GET /path HTTP/1.1\r\nHost: here\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


class Full(Wire):
    """One whose buffer is full."""

    def get_write_buffer_size(self) -> int:
        return 65 * KIB


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body, answer with two bytes."""
    while (message := await receive()).get("more_body"):
        pass
    if message["type"] == "http.disconnect":
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def taken_apart(answer: bytes) -> tuple[int, dict[str, str], Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert int(headers["content-length"]) == len(body)
    return int(status.split(" ")[1]), headers, json.loads(body)


def assert_refused(answer: bytes, status: int, code: str) -> None:
    """Check that it is an envelope, and that the connection ends with it."""
    answered, headers, body = taken_apart(answer)
    assert (answered, body["error"]["code"], headers["connection"]) == (status, code, "close")
    assert body.keys() == envelope(InvalidRequest("x"), "y").keys()
    assert body["error"].keys() == envelope(InvalidRequest("x"), "y")["error"].keys()
    assert body["error"]["request_id"] == headers["x-request-id"]


class TestHeads:
    async def test_one_that_does_not_end_is_cut(self) -> None:
        async with serving(hello, head_s=0.1) as served, served.client() as client:
            await client.send(HEAD)
            assert_refused(await client.rest(), 408, "request_timeout")
            await served.wait_gone()

    async def test_bytes_that_drip_do_not_prolong_it(self) -> None:
        async with serving(hello, head_s=0.1) as served, served.client() as client:
            assert_refused(await client.drip(b"GET /" + b"a" * 1000, 0.02), 408, "request_timeout")

    async def test_whoever_says_nothing_is_cut_without_a_word(self) -> None:
        async with serving(hello, head_s=0.05) as served, served.client() as client:
            assert await client.rest() == b""
            await served.wait_gone()

    @pytest.mark.parametrize("more", [b"GET", b"\r\n", b"GET / HTTP/1.1\r\nHost:"])
    async def test_the_next_one_on_the_connection_has_the_same_time(self, more: bytes) -> None:
        async with serving(hello, head_s=0.1, timeout_keep_alive_s=60) as served, served.client() as client:
            await client.send(HEAD + b"\r\n")
            assert (await client.until(b"ok")).startswith(b"HTTP/1.1 200 ")
            await client.send(more)
            assert_refused(await client.rest(), 408, "request_timeout")

    async def test_one_in_time_is_served_for_as_long_as_it_takes(self) -> None:
        asked = asyncio.Event()
        answer = asyncio.Event()

        async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
            asked.set()
            await answer.wait()
            await hello(scope, receive, send)

        async with serving(waiting, head_s=0.05) as served, served.client() as client:
            await client.send(HEAD + b"\r\n")
            await asked.wait()
            asyncio.get_running_loop().call_later(0.2, answer.set)
            assert (await client.until(b"ok")).startswith(b"HTTP/1.1 200 ")

    @pytest.mark.parametrize(
        ("head", "status"),
        [
            (HEAD + b"a: " + b"b" * (MOST_HEAD_BYTES - 30) + b"\r\n\r\n", 200),
            (HEAD + b"a: " + b"b" * MOST_HEAD_BYTES + b"\r\n\r\n", 431),
            (b"GET /?" + b"a" * MOST_HEAD_BYTES + b" HTTP/1.1\r\nHost: here\r\n\r\n", 431),
            (HEAD + b"a: b\r\n" * (MOST_HEADERS - 1) + b"\r\n", 200),
            (HEAD + b"a: b\r\n" * MOST_HEADERS + b"\r\n", 431),
            (HEAD + b"a:\r\n" * 60_000 + b"\r\n", 431),
        ],
        ids=lambda value: value if isinstance(value, int) else f"{len(value)} bytes",
    )
    async def test_their_bounds_are_exact(self, head: bytes, status: int) -> None:
        async with serving(hello) as served, served.client() as client:
            await client.send(head)
            answer = await (client.until(b"ok") if status == 200 else client.rest())
            assert answer.startswith(b"HTTP/1.1 %d " % status)

    @pytest.mark.parametrize(
        "begin",
        [
            b"GET /",
            HEAD + b"a: ",
            HEAD + b"a",
            CHUNKED + b"1;",
            CHUNKED + b"1\r\nx\r\n0\r\na: ",
            CHUNKED + b"0\r\na: b\r\nb: ",
        ],
        ids=["path", "value", "name", "extension", "trailer", "second trailer"],
    )
    async def test_what_goes_on_and_on_is_cut_soon(self, begin: bytes) -> None:
        async with serving(hello) as served, served.client() as client:
            await client.send(begin)
            # The kernel's buffers hold the most of it.
            assert await client.flood(b"a" * 16 * KIB, 64 * KIB * KIB) < 8 * KIB * KIB
            await served.wait_gone()

    async def test_trailers_without_end_are_cut_soon(self) -> None:
        async with serving(hello) as served, served.client() as client:
            await client.send(CHUNKED + b"0\r\n")
            assert await client.flood(b"a: b\r\n" * 1000, 64 * KIB * KIB) < 8 * KIB * KIB
            await served.wait_gone()

    async def test_trailers_are_nobodys_headers(self) -> None:
        seen: list[Any] = []

        async def looking(scope: Scope, receive: Receive, send: Send) -> None:
            await hello(scope, receive, send)
            seen.extend(scope["headers"])

        async with serving(looking) as served, served.client() as client:
            await client.send(
                CHUNKED + b"1\r\nx\r\n0\r\nAuthorization: Bearer forged\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n"
            )
            await client.until(b"ok")
        assert [name for name, _ in seen] == [b"host", b"transfer-encoding"]


class TestHeadsTogether:
    """A head may have its bytes; all that do not end share fewer."""

    async def test_at_their_bound_the_largest_makes_room(self, monkeypatch: pytest.MonkeyPatch) -> None:
        large = HEAD + b"a: " + b"b" * 40 * KIB
        monkeypatch.setattr(guarded.HEADS, "most_bytes", 64 * KIB)
        async with serving(hello) as served, served.client() as first:
            await first.send(large)
            await served.wait_held(len(large))
            async with served.client() as second:
                await second.send(large)
                assert_refused(await second.rest(), 503, "overloaded")
            await served.wait_held(len(large))
            # One that comes with less passes: what is largest makes room.
            async with served.client() as less:
                await less.send(HEAD + b"a: " + b"b" * 30 * KIB)
                assert_refused(await first.rest(), 503, "overloaded")
                await less.send(b"\r\n\r\n")
                assert (await less.until(b"ok")).startswith(b"HTTP/1.1 200 ")
            await served.wait_held(0)
        async with serving(hello) as served, served.client() as first:
            await first.send(large)
            await served.wait_held(len(large))
            async with served.client() as small:
                await small.send(HEAD + b"\r\n")
                assert (await small.until(b"ok")).startswith(b"HTTP/1.1 200 ")
            await first.send(b"\r\n\r\n")
            assert (await first.until(b"ok")).startswith(b"HTTP/1.1 200 ")
            await served.wait_held(0)
            async with served.client() as third:
                await third.send(large + b"\r\n\r\n")
                assert (await third.until(b"ok")).startswith(b"HTTP/1.1 200 ")

    @pytest.mark.parametrize("end", ["leave", "late", "too large", "garbage", "body", "body cut"])
    async def test_the_room_is_given_back_on_every_way_out(self, end: str) -> None:
        async with serving(hello, head_s=0.2) as served, served.client() as client:
            begun = HEAD + b"a: b"
            if end.startswith("body"):
                await client.send(CHUNKED)
                await served.wait_begun()
                begun = b"1;" + b"a" * 100
            await client.send(begun)
            await served.wait_held(len(begun))
            match end:
                case "leave" | "body cut":
                    client.close()
                case "late":
                    await client.rest()
                case "too large":
                    await client.flood(b"a" * 16 * KIB, 64 * KIB * KIB)
                case "garbage":
                    await client.send(b"\r\n\0\r\n\r\n")
                    await client.rest()
                case "body":
                    await client.send(b"\r\nx\r\n0\r\n\r\n")
                    await client.until(b"ok")
            await served.wait_held(0)


class TestBadRequests:
    @pytest.mark.parametrize(
        "request_bytes",
        [b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n", b"BREW / HTTP/1.1\r\n\r\n", CHUNKED + b"zz\r\n"],
    )
    async def test_are_answered_with_the_envelope(self, request_bytes: bytes) -> None:
        async with serving(hello) as served, served.client() as client:
            await client.send(request_bytes)
            assert_refused(await client.rest(), 400, "invalid_value")
            await served.wait_gone()

    async def test_an_answer_under_way_is_not_broken_into(self) -> None:
        """A second answer in the middle of the first would be read as a part of it."""
        go_on = asyncio.Event()

        async def streaming(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"first", "more_body": True})
            await go_on.wait()
            await send({"type": "http.response.body", "body": b"last"})

        async with serving(streaming) as served, served.client() as client:
            await client.send(HEAD + b"\r\n")
            await client.until(b"first")
            await client.send(b"\x00 garbage\r\n\r\n")
            await served.wait_kept(13)
            go_on.set()
            first, mark, second = (await client.rest()).partition(b"0\r\n\r\n")
            assert (b"last" in first, bool(mark)) == (True, True)
            assert_refused(second, 400, "invalid_value")

    async def test_a_broken_second_request_does_not_answer_for_the_first(self) -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def slow(scope: Scope, receive: Receive, send: Send) -> None:
            begun.set()
            await go_on.wait()
            await hello(scope, receive, send)

        async with serving(slow) as served, served.client() as client:
            await client.send(HEAD + b"\r\n" + CHUNKED + b"zz\r\n")
            await begun.wait()
            go_on.set()
            first, _, second = (await client.rest()).partition(b"ok")
            assert first.startswith(b"HTTP/1.1 200 ")
            assert_refused(second, 400, "invalid_value")
            await served.wait_gone()


class TestReaders:
    async def test_one_that_takes_nothing_is_cut(self) -> None:
        sent_bytes = 0
        last: Mapping[str, Any] = {}

        async def flooding(scope: Scope, receive: Receive, send: Send) -> None:
            nonlocal sent_bytes, last
            await receive()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            leaving = asyncio.ensure_future(receive())
            while not leaving.done():
                await send({"type": "http.response.body", "body": b"a" * 16 * KIB, "more_body": True})
                sent_bytes += 16 * KIB
                await asyncio.sleep(0)
            last = leaving.result()

        async with serving(flooding, stuck_s=0.1) as served, served.client() as client:
            await client.send(HEAD + b"\r\n")
            await served.wait_gone()
            assert last["type"] == "http.disconnect"
            assert sent_bytes < KIB * KIB

    async def test_the_clock_of_one_that_takes_begins_anew(self) -> None:
        loop = asyncio.get_running_loop()
        protocol: Any = GuardedProtocol(CONFIG, ServerState(), {}, loop)
        protocol.connection_made(Full())
        protocol.pause_writing()
        first: Any = protocol._stuck_timer
        assert loop.time() < first.when() <= loop.time() + protocol.stuck_s
        protocol.resume_writing()
        assert first.cancelled()
        assert not protocol._stuck_timer
        protocol.pause_writing()
        second: Any = protocol._stuck_timer
        assert second.when() >= first.when()
        protocol.connection_lost(None)
        assert UNTAKEN.held_bytes == 0

    @pytest.mark.parametrize("connection", [b"close", b"keep-alive"])
    async def test_the_last_of_an_answer_is_not_waited_for_without_end(self, connection: bytes) -> None:
        async def whole(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            # Below the mark at which a write waits: the application has long gone.
            body = b"a" * 60 * KIB
            head = [(b"content-length", b"%d" % len(body))]
            await send({"type": "http.response.start", "status": 200, "headers": head})
            await send({"type": "http.response.body", "body": body})

        async with serving(whole, stuck_s=0.1, timeout_keep_alive_s=0.05) as served, served.client() as client:
            await client.send(HEAD + b"Connection: " + connection + b"\r\n\r\n")
            await served.wait_answered()
            (left,) = served.state.connections
            assert left.transport.get_write_buffer_size() > 0
            await served.wait_gone()

    @pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux has it")
    async def test_one_that_is_gone_without_a_word_is_noticed_by_the_kernel(self) -> None:
        async with serving(hello, stuck_s=7.5) as served, served.client() as client:
            await client.send(HEAD + b"\r\n")
            await client.until(b"ok")
            (connection,) = served.state.connections
            accepted = connection.transport.get_extra_info("socket")
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 7500
