"""Heads of requests as raw bytes: each gets an answer of ours, a 4xx where it is wrong, and none is a 5xx or a hang."""

from __future__ import annotations

import json
import socket
from typing import Any

from tests.contract.limit_fixtures import COMPLETIONS, LIVE, Door, error_of, send_raw
from tests.each import each

KIB = 1024
BODY = b'{"messages":[{"role":"user","content":"Hello"}]}'


def head(door: Door, path: str | bytes = LIVE, *lines: bytes, method: bytes = b"GET", signed_in: bool = True) -> bytes:
    """Return a head; `lines` are headers as they are."""
    asked = path.encode() if isinstance(path, str) else path
    fixed = [b"%b %b HTTP/1.1" % (method, asked), b"Host: here", b"Connection: close"]
    if signed_in:
        fixed.append(b"Authorization: " + door.server.bearer()["Authorization"].encode())
    return b"\r\n".join([*fixed, *lines, b"", b""])


def exchange(door: Door, *pieces: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send bytes as they are and return the answer; it has to end the connection within two seconds."""
    received = b""
    with send_raw(door.server, *pieces, timeout_s=2) as connection:
        try:
            while data := connection.recv(65_536):
                received += data
        except ConnectionResetError:
            pass
    top, _, body = received.partition(b"\r\n\r\n")
    status, *lines = top.decode("latin-1").split("\r\n")
    return int(status.split(" ")[1]), dict(line.lower().split(": ", 1) for line in lines), body


def refused(door: Door, *pieces: bytes) -> tuple[int, str]:
    status, headers, body = exchange(door, *pieces)
    assert 400 <= status < 500, body
    assert headers["content-type"] == "application/json"
    assert headers["x-content-type-options"] == "nosniff"
    error = error_of(json.loads(body))
    assert error["request_id"] == headers["x-request-id"]
    return status, error["code"]


WRONG: dict[str, tuple[bytes, int]] = {
    "a space before the colon": (b"X : y", 400),
    "a folded line": (b"X: y\r\n z", 400),
    "NUL": (b"X: a\0b", 400),
    "a lone CR": (b"X: a\rb", 400),
    "no colon": (b"nothing", 400),
    "no name": (b": y", 400),
    "160 KiB": (b"X: " + b"y" * 160 * KIB, 431),
    "200 KiB": (b"X: " + b"y" * 200 * KIB, 431),
    "a mebibyte": (b"X: " + b"y" * KIB * KIB, 431),
    "1,000 headers": (b"\r\n".join(b"x-%d: y" % number for number in range(1000)), 431),
    "50,000 headers": (b"\r\n".join([b"a:"] * 50_000), 431),
    "cookies": (b"Cookie: " + b"a=b; " * 40_000, 431),
    "both framings": (b"Content-Length: 5\r\nTransfer-Encoding: chunked", 400),
    "two lengths": (b"Content-Length: 2\r\nContent-Length: 3", 400),
    "the same length twice": (b"Content-Length: 2\r\nContent-Length: 2", 400),
    "a signed length": (b"Content-Length: +2", 400),
    "a list of lengths": (b"Content-Length: 2, 2", 400),
    "an unknown framing": (b"Transfer-Encoding: xchunked", 400),
    "a vertical tab": (b"Transfer-Encoding:\x0bchunked", 400),
    "chunked and more": (b"Transfer-Encoding: chunked, identity", 400),
    "two hosts": (b"Host: elsewhere", 400),
}


@each("name", WRONG)
def test_a_head_that_is_wrong_is_a_4xx(door: Door, name: str) -> None:
    lines, status = WRONG[name]
    assert refused(door, head(door, LIVE, lines))[0] == status


@each(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: here\r\n\r\n",
        b"BREW / HTTP/1.1\r\nHost: here\r\n\r\n",
        b"CONNECT elsewhere:443 HTTP/1.1\r\nHost: here\r\n\r\n",
        b"GET http://elsewhere HTTP/1.1\r\nHost: here\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: here\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/1.1\nHost: here\n\n",
        b"GET /\xff HTTP/1.1\r\nHost: here\r\n\r\n",
        b"GET /?a=\xff HTTP/1.1\r\nHost: here\r\n\r\n",
        b"GET /\r\nForged: 1 HTTP/1.1\r\nHost: here\r\n\r\n",
        b"\0" * 100 + b"\r\n\r\n",
    ],
    ids=lambda value: repr(value[:24]),
)
def test_what_is_no_request_is_400(door: Door, request_bytes: bytes) -> None:
    assert refused(door, request_bytes) == (400, "invalid_value")


@each("chunk", [b"zz\r\n{}\r\n0\r\n\r\n", b"-2\r\n{}", b"f" * 17 + b"\r\n", b"2\r\n{}x\r\n0\r\n\r\n"])
def test_a_chunk_that_is_none_is_400(door: Door, chunk: bytes) -> None:
    door.upstream.reset()
    chunked = head(door, COMPLETIONS, b"Transfer-Encoding: chunked", method=b"POST")
    assert refused(door, chunked, chunk) == (400, "invalid_value")
    assert not door.upstream.journal


@each(
    "lines",
    [[b"Host: elsewhere"], [b"Transfer-Encoding: gzip, chunked"], [b"Host: elsewhere", b"X: " + b"y" * 8 * KIB]],
)
def test_a_preflight_is_refused_for_its_head_as_others_are(door: Door, lines: list[bytes]) -> None:
    asking = head(door, COMPLETIONS, *lines, b"Origin: https://app.example.org", method=b"OPTIONS", signed_in=False)
    asking = asking.replace(b"Connection: close", b"Access-Control-Request-Method: POST\r\nContent-Length: 5")
    if any(line.startswith(b"Transfer") for line in lines):
        asking = asking.replace(b"Content-Length: 5\r\n", b"")
    status, headers, _ = exchange(door, asking + b"later")
    assert (status, headers["connection"]) == (400, "close")


class TestPathsAndQueries:
    @each(
        "path",
        [
            b"%00",
            b"%ff%fe",
            b"%zz/%/%u0041",
            b"%0d%0aSet-Cookie:%20a=b",
            b"%2e%2e/%2e%2e/auth/me/",
            b"../../../etc/passwd",
            b"a" * 8 * KIB,
            b";a=b",
            b"%25%32%65",
            b"%c0%ae%c0%ae/",
            b"\\..\\..",
            b"%F0%9F%A6%89",
        ],
        ids=lambda value: repr(value[:20]),
    )
    @each("before", [COMPLETIONS, "/api/v2/models/", "/api/v2/", "/static/", "/"])
    def test_a_path_that_is_nothing_is_404(self, door: Door, before: str, path: bytes) -> None:
        status, headers, body = exchange(door, head(door, before.encode() + path))
        # A path with dots in it is not resolved: it is another path.
        assert status == 404
        code = "model_not_found" if before.endswith("/models/") else "not_found"
        assert error_of(json.loads(body))["code"] in ("not_found", code)
        assert "set-cookie" not in headers

    def test_the_asterisk_is_a_path_as_well(self, door: Door) -> None:
        assert refused(door, head(door, b"*", method=b"OPTIONS")) == (404, "not_found")

    def test_a_whole_address_is_its_path(self, door: Door) -> None:
        assert exchange(door, head(door, b"http://here" + LIVE.encode()))[0] == 200

    def test_a_query_over_160_kib_is_431(self, door: Door) -> None:
        for size_bytes in (161 * KIB, 256 * KIB, KIB * KIB):
            assert refused(door, head(door, f"{COMPLETIONS}?after={'a' * size_bytes}")) == (431, "head_too_large")

    @each(
        "query",
        [
            "&" * 5000,
            "a=b&" * 2000,
            "limit=%ff",
            "limit=%00",
            "after=%00",
            "after=%d8%00",
            "limit=1&limit=x",
            "limit=²",
        ],
        ids=lambda value: value[:12],
    )
    def test_a_strange_query_is_refused_or_means_nothing(self, door: Door, query: str) -> None:
        status, _, body = exchange(door, head(door, f"{COMPLETIONS}?{query}"))
        assert status in (200, 400)
        assert status == 200 or error_of(json.loads(body))["code"] == "invalid_value"


class TestHeaders:
    def test_of_two_authorizations_neither_holds(self, door: Door) -> None:
        twice = b"Authorization: " + door.server.bearer()["Authorization"].encode()
        assert refused(door, head(door, COMPLETIONS, twice)) == (401, "invalid_token")

    @each("name", [b"Authorization_", b"X_Authorization", b"HTTP_AUTHORIZATION", b"authoriz_ation"])
    def test_a_name_with_an_underscore_is_another_header(self, door: Door, name: bytes) -> None:
        line = name + b": " + door.server.bearer()["Authorization"].encode()
        assert refused(door, head(door, COMPLETIONS, line, signed_in=False)) == (401, "missing_token")

    def test_an_underscored_length_is_no_length(self, door: Door) -> None:
        lines = (b"Content_Length: 5", b"Content-Type: application/json", b"Content-Length: %d" % len(BODY))
        assert exchange(door, head(door, COMPLETIONS, *lines, method=b"POST"), BODY)[0] == 200

    def test_trailers_do_not_sign_anybody_in(self, door: Door) -> None:
        authorization = b"Authorization: " + door.server.bearer()["Authorization"].encode()
        for framing in (b"0\r\n", b"1\r\n \r\n0\r\n"):
            chunked = head(door, COMPLETIONS, b"Transfer-Encoding: chunked", signed_in=False)
            trailers = framing + authorization + b"\r\nX-Last: y\r\n\r\n"
            assert refused(door, chunked + trailers) == (401, "missing_token")
            assert refused(door, chunked, trailers) == (401, "missing_token")

    @each(
        "content_type",
        [
            b"application/json; x*=nope'en'%41",
            b"application/json; x*=idna'en'%ff",
            b"application/json; charset=idna",
            b"application/json; charset=hex",
            b"application/json; " + b"a=b;" * 2000,
            b'application/json; x="' + b"\\" * 99,
            b"application/json; x*0*=utf-16'en'%ff; x*1*=%ff; x*=%",
        ],
        ids=lambda value: repr(value[18:34]),
    )
    def test_parameters_of_a_content_type_are_not_looked_at(self, door: Door, content_type: bytes) -> None:
        """Django decodes them, by whatever they name, before any handler of errors is there."""
        for path, method in ((LIVE + "?" + "a&" * 1500, b"GET"), ("/api/v2/auth/me/", b"GET"), ("/static/x", b"POST")):
            status = exchange(door, head(door, path, b"Content-Type: " + content_type, method=method))[0]
            assert status in (200, 405)
        lines = (b"Content-Type: " + content_type, b"Content-Length: %d" % len(BODY))
        assert exchange(door, head(door, COMPLETIONS, *lines, method=b"POST"), BODY)[0] == 200

    @each("accept", [b"a/b; x*=nope'en'%41", b"a/b; x*=idna'en'%ff", b"a/b;q=nan", b";;;,,,=", b"*"])
    def test_an_accept_that_means_nothing_is_no_fault_of_ours(self, door: Door, accept: bytes) -> None:
        for path in ("/api/v2/schema/", "/api/v2/docs/", LIVE, COMPLETIONS):
            assert exchange(door, head(door, path, b"Accept: " + accept))[0] in (200, 400)

    @each(
        "line",
        [
            b"Range: bytes=0-1," + b"2-3," * 3000,
            b"Accept-Language: " + b"a-" * 9000,
            b"If-Modified-Since: " + b"9" * 9000,
            b"If-None-Match: " + b'"a",' * 5000,
            b"Expect: 100-continue, 100-continue",
            b"Last-Event-ID: 99999999999999999999",
            b"X-Forwarded-For: " + b"1.2.3.4," * 3000,
            b"X-Forwarded-Host: elsewhere",
            b"X-Request-Id: " + b"a" * 9000,
            b"traceparent: " + b"0" * 9000,
            b'Forwarded: for="[::1]";host=elsewhere',
            b"X-HTTP-Method-Override: DELETE",
            b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
            b"Origin: http://[::1",
            b"\xff\xfe: \xff",
        ],
        ids=lambda value: repr(value[:18]),
    )
    def test_a_header_of_which_much_could_be_made_is_harmless(self, door: Door, line: bytes) -> None:
        for path in (LIVE, "/api/v2/auth/me/", "/static/drf_spectacular_sidecar/nothing.js", COMPLETIONS):
            assert exchange(door, head(door, path, line))[0] in (200, 400, 404)


def test_one_request_after_the_other_on_a_connection_are_not_mixed_up(door: Door) -> None:
    """Pipelined: each gets its own answer, in its turn."""
    paths = [LIVE, "/api/v2/auth/me/", "/nowhere/", LIVE]
    requests = [head(door, path).replace(b"Connection: close\r\n", b"") for path in paths]
    with send_raw(door.server, b"".join(requests), timeout_s=2) as connection:
        answers = b""
        while answers.count(b"HTTP/1.1 ") < 4 or not answers.endswith(b"}"):
            answers += connection.recv(65_536)
        connection.shutdown(socket.SHUT_WR)
    statuses: list[Any] = [int(part[:3]) for part in answers.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [200, 200, 404, 200]
