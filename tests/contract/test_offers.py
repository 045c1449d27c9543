"""Offers of another protocol: they are ignored, and each request is answered, whatever comes before and behind it."""

from __future__ import annotations

import json

from tests.contract.limit_fixtures import COMPLETIONS, LIVE, PROMPT, send_raw
from tests.contract.stream_fixtures import Relay
from tests.each import each

BODY = json.dumps({"messages": PROMPT}).encode()
REQUEST = b"GET /nowhere/ HTTP/1.1\r\nHost: here\r\n\r\n"
"""As the body of another it is a body, and no JSON."""
OFFERS = {
    "h2c": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n",
    "TLS": b"Connection: upgrade\r\nUpgrade: TLS/1.2\r\n",
    "websocket": b"Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    "a bare websocket": b"Upgrade: websocket\r\nConnection: Upgrade\r\n",
    "a websocket without Connection": b"Upgrade: websocket\r\n",
    "a list": b"Connection: Upgrade\r\nUpgrade: foo, websocket\r\n",
    "two": b"Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n",
}


def head(relay: Relay, *lines: bytes, method: bytes = b"POST", path: str = COMPLETIONS) -> bytes:
    authorization = f"Authorization: {relay.headers()['Authorization']}\r\n".encode()
    fixed = b"%b %b HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n" % (method, path.encode())
    return b"".join([fixed, authorization, *lines, b"\r\n"])


def statuses(relay: Relay, *pieces: bytes, delayed: bytes = b"") -> list[int]:
    """Send pieces, a health check behind them that ends the connection, and return the status of every answer.

    What is `delayed` is sent when the server has had time to take what came before for the whole.
    """
    last = f"GET {LIVE} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n".encode()
    received = b""
    with send_raw(relay.server, *pieces) as connection:
        if delayed:
            relay.let_it_notice()
            connection.sendall(delayed)
        connection.sendall(last)
        while data := connection.recv(65_536):
            received += data
    return [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]]


class TestBodies:
    @each("offer", OFFERS)
    def test_with_its_head(self, relay: Relay, offer: str):
        length = b"Content-Length: %d\r\n" % len(BODY)
        assert statuses(relay, head(relay, OFFERS[offer], length) + BODY) == [200, 200]

    @each("offer", OFFERS)
    def test_later(self, relay: Relay, offer: str):
        length = b"Content-Length: %d\r\n" % len(BODY)
        assert statuses(relay, head(relay, length, OFFERS[offer]), delayed=BODY) == [200, 200]

    @each("offer", OFFERS)
    def test_one_that_looks_like_a_request_is_none(self, relay: Relay, offer: str):
        relay.upstream.reset()
        length = b"Content-Length: %d\r\n" % len(REQUEST)
        assert statuses(relay, head(relay, OFFERS[offer], length), delayed=REQUEST) == [400, 200]
        assert not relay.upstream.journal

    @each("offer", OFFERS)
    def test_in_chunks(self, relay: Relay, offer: str):
        chunks = b"%x\r\n%b\r\n1\r\n \r\n0\r\n\r\n" % (len(BODY), BODY)
        chunked = head(relay, OFFERS[offer], b"Transfer-Encoding: chunked\r\n")
        assert statuses(relay, chunked, delayed=chunks) == [200, 200]
        assert statuses(relay, chunked + chunks) == [200, 200]


@each("offer", OFFERS)
def test_without_a_body(relay: Relay, offer: str):
    asked = head(relay, OFFERS[offer], method=b"GET", path=LIVE)
    assert statuses(relay, asked + asked) == [200, 200, 200]
    assert statuses(relay, asked, delayed=asked) == [200, 200, 200]


@each(("method", "status"), [("HEAD", 200), ("OPTIONS", 204), ("PUT", 405), ("PATCH", 405), ("DELETE", 405)])
def test_every_method(relay: Relay, method: str, status: int):
    length = b"Content-Length: %d\r\n" % len(REQUEST)
    asked = head(relay, OFFERS["h2c"], length, method=method.encode(), path=LIVE)
    assert statuses(relay, asked, delayed=REQUEST) == [status, 200]


def test_requests_behind_it_have_their_answers(relay: Relay):
    length = b"Content-Length: %d\r\n" % len(BODY)
    offering = head(relay, OFFERS["h2c"], length) + BODY
    missing = head(relay, method=b"GET", path="/nowhere/")
    assert statuses(relay, offering + missing + offering + missing) == [200, 404, 200, 404, 200]


def test_an_offer_of_http_1_0_is_ignored_as_well(relay: Relay):
    length = b"Content-Length: %d\r\n" % len(BODY)
    asked = head(relay, OFFERS["h2c"], length).replace(b"HTTP/1.1", b"HTTP/1.0") + BODY
    with send_raw(relay.server, asked) as connection:
        answer = b""
        while data := connection.recv(65_536):
            answer += data
    assert answer.split(b" ")[1] == b"200"


def test_a_websocket_where_none_is_served_is_404(relay: Relay):
    assert statuses(relay, head(relay, OFFERS["websocket"], method=b"GET", path="/ws/prompt-chat/")) == [404, 200]
