"""What a head proves is answered at the head, and what it asks for is how the answer is sent."""

from __future__ import annotations

import json
import socket
from contextlib import suppress

import pytest

from tests.contract.limit_fixtures import COMPLETIONS, LIVE, PROMPT, error_of, send_raw
from tests.contract.stream_fixtures import Relay
from tests.each import each
from tests.sse_answer import collect

GIB = 1024**3
MIB = 1024**2
BODY = json.dumps({"messages": PROMPT}).encode()
STREAM = json.dumps({"messages": PROMPT, "stream": True}).encode()
HOST = b"Host: 127.0.0.1\r\n"
SIGN_IN = "/api/v2/auth/token/"


def head(relay: Relay, path: str, *lines: str, method: str = "POST", version: str = "1.1", host: bytes = HOST) -> bytes:
    sent = [f"Authorization: {relay.headers()['Authorization']}", "Content-Type: application/json", *lines]
    written = "".join(f"{line}\r\n" for line in sent)
    return f"{method} {path} HTTP/{version}\r\n".encode() + host + written.encode() + b"\r\n"


def exchange(relay: Relay, *pieces: bytes, leave: bool = False) -> tuple[int, dict[str, str], bytes]:
    """Send pieces and return the one answer; the server ends the connection, or we do once we have an envelope."""
    received = b""
    # A reset is an end as well.
    with send_raw(relay.server, *pieces) as connection, suppress(ConnectionError):
        while data := connection.recv(65_536):
            received += data
            if leave and received.endswith(b"}}"):
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_WR)
    top, _, body = received.partition(b"\r\n\r\n")
    status, *lines = top.decode("latin-1").split("\r\n")
    return int(status.split(" ")[1]), dict(line.lower().split(": ", 1) for line in lines), body


def refused(relay: Relay, *pieces: bytes, leave: bool = True) -> tuple[int, str]:
    """Return the status and the code of an answer that is the envelope and says that it ends its connection."""
    status, headers, body = exchange(relay, *pieces, leave=leave)
    assert (headers["content-type"], headers["connection"]) == ("application/json", "close")
    assert int(headers["content-length"]) == len(body)
    error = error_of(json.loads(body))
    assert error["request_id"] == headers["x-request-id"]
    return status, error["code"]


class TestHttp10:
    """Its clients know no chunks: a body ends where its length says, or with the connection."""

    @each("line", ["Connection: close", "Accept: */*"])
    def test_stream(self, relay: Relay, line: str):
        asked = head(relay, COMPLETIONS, line, f"Content-Length: {len(STREAM)}", version="1.0") + STREAM
        status, headers, body = exchange(relay, asked)
        assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        assert {"transfer-encoding", "content-length"} & set(headers) == set()
        assert headers.get("connection", "close") == "close"
        assert body.startswith(b"id: 1\ndata: {")
        assert body.endswith(b"\n\ndata: [DONE]\n\n")

    def test_error_in_a_stream(self, relay: Relay):
        relay.upstream.script("deepseek", "cut-by-reset")
        asked = head(relay, COMPLETIONS, f"Content-Length: {len(STREAM)}", version="1.0") + STREAM
        status, headers, body = exchange(relay, asked)
        assert (status, "transfer-encoding" in headers) == (200, False)
        assert b'data: {"error":' in body
        assert body.endswith(b"}\n\n")

    def test_whole(self, relay: Relay):
        asked = head(relay, COMPLETIONS, f"Content-Length: {len(BODY)}", version="1.0") + BODY
        status, headers, body = exchange(relay, asked)
        assert (status, "transfer-encoding" in headers) == (200, False)
        assert int(headers["content-length"]) == len(body)
        assert json.loads(body)["object"] == "chat.completion"

    @each(
        ("method", "path", "status"),
        [
            ("GET", LIVE, 200),
            ("GET", "/nowhere/", 404),
            ("GET", "/api/v2/auth/me/", 200),
            ("PUT", LIVE, 405),
            ("HEAD", LIVE, 200),
            ("HEAD", "/nowhere/", 404),
            ("OPTIONS", LIVE, 204),
            ("GET", "/static/drf_spectacular_sidecar/nothing.js", 404),
        ],
    )
    def test_others(self, relay: Relay, method: str, path: str, status: int):
        answered, headers, body = exchange(relay, head(relay, path, method=method, version="1.0"))
        assert (answered, "transfer-encoding" in headers) == (status, False)
        assert len(body) == (0 if method in ("HEAD", "OPTIONS") else int(headers["content-length"]))

    def test_without_a_host(self, relay: Relay):
        assert exchange(relay, head(relay, LIVE, method="GET", version="1.0", host=b""))[0] == 200
        asked = head(relay, COMPLETIONS, f"Content-Length: {len(BODY)}", version="1.0", host=b"")
        assert exchange(relay, asked, BODY)[0] == 200

    def test_nothing_comes_before_the_answer(self, relay: Relay):
        asked = head(relay, COMPLETIONS, "Expect: 100-continue", f"Content-Length: {len(BODY)}", version="1.0")
        assert exchange(relay, asked + BODY)[0] == 200


PATHS = {
    "completions": COMPLETIONS,
    "log-in": SIGN_IN,
    "templates": "/api/v2/templates/",
    "import": "/api/v2/templates/import/",
    "prompts": "/api/v2/prompts/intent/",
    "cancel": f"{COMPLETIONS}nothing/cancel/",
    "admin": "/admin/login/",
    "static": "/static/nothing.js",
    "nowhere": "/nowhere/",
    "nowhere in chat": "/api/v2/chat/nowhere/",
}


class TestDeclaredLengths:
    """A length over the bound is refused before a byte of the body has come."""

    @each("name", PATHS)
    def test_over_the_bound(self, relay: Relay, name: str):
        assert refused(relay, head(relay, PATHS[name], f"Content-Length: {GIB}")) == (413, "body_too_large")

    @each("name", ["completions", "log-in"])
    def test_the_connection_ends(self, relay: Relay, name: str):
        asked = head(relay, PATHS[name], f"Content-Length: {GIB}")
        assert refused(relay, asked, leave=False) == (413, "body_too_large")

    @each("name", PATHS)
    def test_only_completions_may_be_larger_than_a_mebibyte(self, relay: Relay, name: str):
        asked = head(relay, PATHS[name], f"Content-Length: {MIB + 1}", "Expect: 100-continue")
        if name == "completions":
            with send_raw(relay.server, asked) as connection:
                assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        else:
            assert refused(relay, asked) == (413, "body_too_large")

    @each("name", ["completions", "log-in"])
    def test_nobody_is_told_to_go_on(self, relay: Relay, name: str):
        asked = head(relay, PATHS[name], f"Content-Length: {GIB}", "Expect: 100-continue")
        assert refused(relay, asked) == (413, "body_too_large")

    @each("method", ["GET", "DELETE", "PATCH"])
    @each("path", [LIVE, COMPLETIONS, "/api/v2/auth/me/"])
    def test_every_method(self, relay: Relay, method: str, path: str):
        asked = head(relay, path, f"Content-Length: {GIB}", method=method)
        assert refused(relay, asked) == (413, "body_too_large")

    def test_leading_zeros_are_no_length(self, relay: Relay):
        length = f"Content-Length: {'0' * 30}{len(BODY)}"
        assert exchange(relay, head(relay, COMPLETIONS, length, "Connection: close") + BODY)[0] == 200


class TestCodings:
    @each("coding", ["gzip, chunked", "gzip,chunked", "deflate, Chunked"])
    @each("path", [COMPLETIONS, SIGN_IN, "/nowhere/"])
    def test_one_that_is_not_read_here(self, relay: Relay, path: str, coding: str):
        asked = head(relay, path, f"Transfer-Encoding: {coding}")
        assert refused(relay, asked, b"2\r\n{}\r\n0\r\n\r\n") == (501, "unsupported_transfer_coding")
        assert refused(relay, asked) == (501, "unsupported_transfer_coding")

    def test_in_two_lines(self, relay: Relay):
        asked = head(relay, COMPLETIONS, "Transfer-Encoding: gzip", "Transfer-Encoding: chunked")
        assert refused(relay, asked) == (501, "unsupported_transfer_coding")

    def test_chunked_in_any_case(self, relay: Relay):
        asked = head(relay, COMPLETIONS, "Transfer-Encoding: CHUNKED", "Connection: close")
        assert exchange(relay, asked, b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY))[0] == 200


class TestHosts:
    @each("method", ["GET", "POST"])
    @each("path", [LIVE, "/api/v2/auth/me/"])
    @each("host", [b"", b"Host:\r\n", HOST + HOST, HOST + b"Host: elsewhere\r\n"])
    def test_one_and_no_more(self, relay: Relay, host: bytes, path: str, method: str):
        """A body that has yet to come is not waited for."""
        asked = head(relay, path, *(["Content-Length: 9"] if method == "POST" else []), method=method, host=host)
        assert refused(relay, asked) == (400, "invalid_value")

    @each("address", ["http://127.0.0.1", "HTTP://127.0.0.1:80", "https://127.0.0.1:443"])
    def test_a_whole_address_of_this_host(self, relay: Relay, address: str):
        asked = head(relay, address + LIVE + "?a=b", "Connection: close", method="GET")
        status, _, body = exchange(relay, asked)
        assert (status, json.loads(body)) == (200, {"status": "ok"})

    @pytest.mark.parametrize(
        "address", ["http://elsewhere", "http://127.0.0.1:81", "http://user@127.0.0.1", "http://127.0.0.1.elsewhere"]
    )
    def test_a_whole_address_of_another_host(self, relay: Relay, address: str):
        assert refused(relay, head(relay, address + LIVE, method="GET")) == (400, "invalid_value")


def test_answers_that_have_chunks_still_have_them(relay: Relay):
    with relay.begin() as stream:
        assert stream.headers["transfer-encoding"] == "chunked"
        assert collect(stream).done
