"""What goes out and what comes back, the same over our transport and httpx's own."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from tests.each import each
from tests.llm.providers.transport.faces import Face, opened, over_faces, whole
from tests.llm.providers.transport.peer import Peer, Server, answering

EVENTS = tuple(b'data: {"n":%d}\n\n' % number for number in range(50))
BODY = b"".join(EVENTS)
PLAIN = b"HTTP/1.1 200 OK\r\n"
LENGTH = PLAIN + b"Content-Length: %d\r\n\r\n" % len(BODY)
CHUNKED = PLAIN + b"Transfer-Encoding: chunked\r\n\r\n"


def chunks(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


def one_by_one(data: bytes) -> tuple[bytes, ...]:
    return tuple(bytes((byte,)) for byte in data)


WHOLE = {
    "length": (LENGTH, BODY),
    "length, a byte at a time": one_by_one(LENGTH + BODY),
    "length, with its head": (LENGTH + BODY,),
    "length, in lower case": (b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(BODY), BODY),
    "chunks": (CHUNKED, *(chunks(event) for event in EVENTS), b"0\r\n\r\n"),
    "chunks, a byte at a time": one_by_one(CHUNKED + chunks(*EVENTS[:5]) + chunks(b"".join(EVENTS[5:])) + b"0\r\n\r\n"),
    "chunks, all in one write": (CHUNKED + chunks(*EVENTS) + b"0\r\n\r\n",),
    "chunks of one byte": (CHUNKED, chunks(*one_by_one(BODY)) + b"0\r\n\r\n"),
    "chunks with extensions": (CHUNKED, chunks(BODY).replace(b"\r\n", b";name=value\r\n", 1) + b"0\r\n\r\n"),
    "chunks with trailers": (CHUNKED, chunks(BODY) + b"0\r\nChecksum: 7\r\nServer-Timing: 1\r\n\r\n"),
    "after 100": (b"HTTP/1.1 100 Continue\r\n\r\n", LENGTH, BODY),
    "after 100 and 103, in one write": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n" + LENGTH + BODY,
    ),
    "after 103 that is cut": (b"HTTP/1.1 103 Early", b" Hints\r\nLink: x\r\n", b"\r\n" + LENGTH, BODY),
    "no reason": (LENGTH.replace(b" OK", b" "), BODY),
}


@each("writes", WHOLE.values(), ids=WHOLE)
async def test_bodies(face: Face, writes: tuple[bytes, ...]) -> None:
    async with Server(answering(*writes)) as server, face.transport() as transport:
        first = await whole(face, transport, server.url())
        second = await whole(face, transport, server.url())
    assert first.body == second.body == BODY
    assert first.status == 200
    assert "link" not in first.headers
    assert "checksum" not in first.headers
    assert len(server.peers) == 1


CLOSED = {
    "no length": (PLAIN + b"\r\n", BODY),
    "no length, HTTP/1.0": (b"HTTP/1.0 200 OK\r\n\r\n", *EVENTS),
    "no length, all in one write": (PLAIN + b"\r\n" + BODY,),
    "length and close": (PLAIN + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(BODY), BODY),
    "length, HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY), BODY),
    "chunks and close": (
        PLAIN + b"Connection: Close\r\nTransfer-Encoding: chunked\r\n\r\n",
        chunks(BODY) + b"0\r\n\r\n",
    ),
    "length, and something behind": (PLAIN + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY + b"HTTP/1.1 200",),
}


# httpx's own transport keeps a connection that had more than the answer on it.
@each(("face", "writes"), over_faces(CLOSED, ours_alone={"length, and something behind"}))
async def test_bodies_that_end_their_connection(face: Face, writes: tuple[bytes, ...]) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(*writes)
        if b"Content-Length" in writes[0] or b"chunked" in writes[0]:
            # It is the client that closes.
            await peer.gone()

    async with Server(script) as server, face.transport() as transport:
        for _ in range(2):
            assert (await whole(face, transport, server.url())).body == BODY
    assert len(server.peers) == 2


@each(
    "writes",
    [
        (PLAIN + b"Content-Length: 0\r\n\r\n",),
        (CHUNKED, b"0\r\n\r\n"),
        (b"HTTP/1.1 204 No Content\r\n\r\n",),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 20\r\n\r\n",),
    ],
    ids=["length 0", "no chunks", "204", "304 with the length it would have"],
)
async def test_empty_bodies(face: Face, writes: tuple[bytes, ...]) -> None:
    async with Server(answering(*writes)) as server, face.transport() as transport:
        assert (await whole(face, transport, server.url())).body == b""
        assert (await whole(face, transport, server.url())).body == b""
    assert len(server.peers) == 1


@each("status", [200, 201, 206, 301, 307, 400, 401, 402, 404, 429, 500, 503, 529, 599, 999])
async def test_statuses(face: Face, status: int) -> None:
    answer = b"HTTP/1.1 %d Whatever\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 2\r\n\r\nhi" % status
    async with Server(answering(answer)) as server, face.transport() as transport:
        got = await whole(face, transport, server.url())
    assert (got.status, got.body) == (status, b"hi")
    assert len(server.requests) == 1


async def test_headers(face: Face) -> None:
    answer = (
        PLAIN + b"Content-Type:text/event-stream; charset=utf-8\r\nX-Many: a\r\nx-many:   b \t\r\nX-Empty:\r\n"
        b"X-High: caf\xe9\r\nContent-Length: 0\r\n\r\n"
    )
    async with Server(answering(answer)) as server, face.transport() as transport:
        got = await whole(face, transport, server.url())
    assert got.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert got.headers.get_list("x-many") == ["a", "b"]
    assert got.headers["x-empty"] == ""
    assert got.headers["x-high"] == "café"


async def test_headers_in_many_reads(face: Face) -> None:
    head = PLAIN + b"".join(b"X-%d: %b\r\n" % (number, b"v" * number) for number in range(100))
    writes = [head[at : at + 700] for at in range(0, len(head), 700)]
    async with Server(answering(*writes, b"Content-Length: 2\r\n\r\nhi")) as server, face.transport() as transport:
        got = await whole(face, transport, server.url())
    assert got.headers["x-99"] == "v" * 99
    assert got.body == b"hi"


async def test_request_as_it_is_sent(face: Face) -> None:
    content = "ein Füllhorn".encode()
    async with Server(answering(PLAIN + b"Content-Length: 0\r\n\r\n")) as server, face.transport() as transport:
        url = server.url("/v1/chat completions/ü?a=b c&d")
        await whole(face, transport, url, content, headers={"X-One": "1", "Authorization": "Bearer k"})
    (request,) = server.requests
    head, _, body = request.partition(b"\r\n\r\n")
    line, *fields = head.split(b"\r\n")
    assert line == b"POST /v1/chat%20completions/%C3%BC?a=b%20c&d HTTP/1.1"
    assert sorted(field.lower() for field in fields) == sorted(
        [
            b"host: 127.0.0.1:%d" % server.port,
            b"x-one: 1",
            b"authorization: bearer k",
            b"content-length: %d" % len(content),
        ]
    )
    assert body == content


async def test_request_without_a_body(face: Face) -> None:
    async with Server(answering(PLAIN + b"Content-Length: 2\r\n\r\nhi")) as server, face.transport() as transport:
        assert (await whole(face, transport, server.url("/models"), method="GET")).body == b"hi"
    assert server.requests[0].startswith(b"GET /models HTTP/1.1\r\n")
    assert b"content-length" not in server.requests[0].lower()


async def test_large_request(face: Face) -> None:
    content = b"0123456789abcdef" * (12 * 65536)
    async with Server(answering(PLAIN + b"Content-Length: 2\r\n\r\nhi")) as server, face.transport() as transport:
        assert (await whole(face, transport, server.url(), content)).body == b"hi"
        assert (await whole(face, transport, server.url(), b"small")).body == b"hi"
    assert server.requests[0].endswith(b"\r\n\r\n" + content)
    assert len(server.peers) == 1


async def test_answer_before_the_request_is_read(ours: Face) -> None:
    # A gateway that refuses a body by its length does not read it.
    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await answered.wait()
        await peer.gone()

    answered = asyncio.Event()
    async with Server(script) as server, ours.transport() as transport:
        got = await whole(ours, transport, server.url(), b"x" * (12 << 20), timeouts={"write": None})
        answered.set()
        # The rest of the request is on the connection: nothing may follow it.
        await server.peers[0].left.wait()
    assert (got.status, got.body) == (413, b"no")


async def test_ipv6_literal(face: Face) -> None:
    answer = PLAIN + b"Content-Length: 2\r\n\r\nhi"
    async with Server(answering(answer), host="::1") as server, face.transport() as transport:
        assert (await whole(face, transport, server.url())).body == b"hi"
    assert b"host: [::1]:%d" % server.port in server.requests[0].lower()


async def test_host_by_name(face: Face) -> None:
    async with Server(answering(PLAIN + b"Content-Length: 2\r\n\r\nhi")) as server, face.transport() as transport:
        assert (await whole(face, transport, server.url(host="localhost"))).body == b"hi"


async def test_many_exchanges_at_once(face: Face) -> None:
    async def script(peer: Peer) -> None:
        while True:
            request = await peer.request()
            if len(server.requests) >= 150:
                everybody.set()
            await everybody.wait()
            echo = request.partition(b"\r\n\r\n")[2]
            await peer.send(CHUNKED, chunks(echo[:5]), chunks(echo[5:]) + b"0\r\n\r\n")

    everybody = asyncio.Event()
    async with Server(script) as server, face.transport() as transport:
        asked = [b"exchange number %d" % number for number in range(150)]
        got = await asyncio.gather(*(whole(face, transport, server.url(), content) for content in asked))
        assert [one.body for one in got] == asked
        assert len(server.peers) == 150
        again = await asyncio.gather(*(whole(face, transport, server.url(), content) for content in asked[:10]))
        assert [one.body for one in again] == asked[:10]
    assert len(server.peers) == 150


GARBAGE = {
    "not HTTP": b"\x00\x01 hello\r\n\r\n",
    "a request": b"GET / HTTP/1.1\r\n\r\n",
    "status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "header without a colon": PLAIN + b"nothing\r\n\r\n",
    "space in a header's name": PLAIN + b"X One: 1\r\n\r\n",
    "NUL in a header": PLAIN + b"X-One: a\0b\r\n\r\n",
    "length below 0": PLAIN + b"Content-Length: -2\r\n\r\nhi",
    "length in words": PLAIN + b"Content-Length: two\r\n\r\nhi",
    "two lengths": PLAIN + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi!",
    "a transfer coding that was not asked for": PLAIN + b"Transfer-Encoding: gzip\r\n\r\nhi",
    "an upgrade": b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "HTTP/2": b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "an HTTP/2 frame": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00",
    "chunk size that is none": CHUNKED + b"zz\r\n",
    "chunk size over all bounds": CHUNKED + b"fffffffffffffffffff\r\n",
    "chunk longer than it says": CHUNKED + b"2\r\nhi!\r\n0\r\n\r\n",
}


@each(("face", "answer"), over_faces(GARBAGE, ours_alone={"HTTP/2", "chunk size over all bounds"}))
async def test_garbage(face: Face, answer: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer)
        await peer.gone()

    async with Server(script) as server, face.transport() as transport:
        with pytest.raises(httpx.RemoteProtocolError):
            await whole(face, transport, server.url())
        await server.peers[0].left.wait()


LONG_HEADS = {
    "field that does not end": (PLAIN + b"X-Long: " + b"v" * 70_000,),
    "many fields": (PLAIN, *(b"X-%d: %b\r\n" % (number, b"v" * 1000) for number in range(110))),
    "all at once": (PLAIN + b"X-Long: " + b"v" * 70_000 + b"\r\nContent-Length: 0\r\n\r\n",),
    "reason that does not end": (b"HTTP/1.1 200 " + b"v" * 70_000,),
}


# httpx's own transport bounds what it has not parsed yet, at 100 KiB.
@each(("face", "writes"), over_faces(LONG_HEADS, ours_alone=set(LONG_HEADS) - {"many fields"}))
async def test_headers_over_their_bound(face: Face, writes: tuple[bytes, ...]) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(*writes)
        await peer.gone()

    async with Server(script) as server, face.transport() as transport:
        with pytest.raises(httpx.RemoteProtocolError):
            await whole(face, transport, server.url())
        await server.peers[0].left.wait()


@each(
    "endless",
    [
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" * 100, id="1xx"),
        pytest.param(CHUNKED + b"0\r\nX-Trailer: " + b"v" * 3000, id="a trailer"),
        pytest.param(CHUNKED + b"2;" + b"e" * 3000, id="a chunk extension"),
    ],
)
async def test_what_never_ends_is_cut(ours: Face, endless: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(endless)
        while True:
            await peer.send(endless if b"100" in endless else endless[-3000:])

    async with Server(script) as server, ours.transport() as transport:
        with pytest.raises(httpx.RemoteProtocolError):
            await whole(ours, transport, server.url())
        await server.peers[0].left.wait()


@each(
    "headers",
    [{"X-One": "1\r\nX-Two: 2"}, {"X-One": "1\n"}, {"X-One": "a\0b"}, {"X One": "1"}, {"": "1"}, {"X-One:": "1"}],
    ids=repr,
)
async def test_header_injection_is_refused(face: Face, headers: dict[str, str]) -> None:
    async with Server(answering()) as server, face.transport() as transport:
        with pytest.raises(httpx.LocalProtocolError):
            await whole(face, transport, server.url(), headers=headers)
    assert not server.requests


@each(
    "request_",
    [
        {"method": "HEAD"},
        {"method": "CONNECT"},
        {"method": "PO ST"},
        {"headers": {"Upgrade": "websocket"}},
        {"headers": {"Transfer-Encoding": "chunked"}},
        {"headers": {"Content-Length": "5"}},
    ],
    ids=repr,
)
async def test_requests_that_are_not_sent(ours: Face, request_: dict[str, object]) -> None:
    async with Server(answering()) as server, ours.transport() as transport:
        with pytest.raises(httpx.LocalProtocolError):
            await whole(ours, transport, server.url(), b"body", **request_)
    assert not server.peers


async def test_only_http_and_https(face: Face) -> None:
    async with face.transport() as transport:
        with pytest.raises(httpx.UnsupportedProtocol):
            await whole(face, transport, "ftp://127.0.0.1/")


async def test_closing_a_response_twice(face: Face) -> None:
    async with Server(answering(LENGTH, BODY)) as server, face.transport() as transport:
        async with opened(transport, server.url()) as response:
            await face.body(response)
            await response.stream.aclose()  # type: ignore[union-attr]
        await whole(face, transport, server.url())
    assert len(server.peers) == 1
