"""Bodies from strangers: every one gets an answer of ours, and none hurts the process."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.limit_fixtures import COMPLETIONS, LIVE, PROMPT, Door, error_of, send_raw
from tests.each import each
from tests.sse_client import SseStream

MIB = 1024 * 1024
PIXELS = "data:image/png;base64,"


@pytest.fixture
def door(talkative: Door) -> Iterator[Door]:
    """A server that lives afterwards as before."""
    talkative.upstream.reset()
    yield talkative
    assert talkative.call(LIVE, None)[0] == 200
    assert "Traceback" not in talkative.server.output()


def post(
    door: Door, body: bytes, content_type: str | None = "application/json", **headers: str
) -> tuple[int, dict[str, str], Any]:
    sent = ({} if content_type is None else {"Content-Type": content_type}) | headers
    return door.call(COMPLETIONS, body=body, headers=sent)


def refused(door: Door, body: bytes, **more: Any) -> tuple[int, str, str | None]:
    """Return the status, code and param of an error answer, its envelope checked."""
    status, headers, answer = post(door, body, **more)
    assert 400 <= status < 500
    assert headers["content-type"] == "application/json"
    error = error_of(answer)
    assert error["request_id"] == headers["x-request-id"]
    assert error["retryable"] is False
    return status, error["code"], error["param"]


def filled(size_bytes: int, *, image: bool = False) -> bytes:
    """Return a good body of exactly so many bytes."""
    part = {"type": "image_url", "image_url": {"url": PIXELS + "#"}} if image else {"type": "text", "text": "#"}
    content = [part, {"type": "text", "text": "?"}]
    body = json.dumps({"model": "gpt-6-luna", "messages": [{"role": "user", "content": content}]}).encode()
    head, tail = body.split(b"#")
    return head + b"A" * (size_bytes - len(head) - len(tail)) + tail


class TestSize:
    @each("image", [False, True], ids=["text", "image"])
    def test_up_to_the_bound_is_served(self, door: Door, image: bool) -> None:
        body = filled(20 * MIB if image else MIB, image=image)
        assert post(door, body)[0] == 200
        assert len(door.upstream.journal[-1].body) >= len(body) - 200

    @each("image", [False, True], ids=["text", "image"])
    def test_one_byte_over_is_413(self, door: Door, image: bool) -> None:
        door.upstream.reset()
        body = filled((20 * MIB if image else MIB) + 1, image=image)
        assert refused(door, body)[:2] == (413, "body_too_large")
        assert not door.upstream.journal

    @each("field", ["user", "metadata"])
    def test_the_word_alone_is_no_image_part(self, door: Door, field: str) -> None:
        body = json.dumps({field: "image_url", "messages": [{"role": "user", "content": "A" * 2 * MIB}]}).encode()
        assert refused(door, body)[:2] == (413, "body_too_large")

    def test_over_the_bound_is_refused_before_its_type_is_not(self, door: Door) -> None:
        assert refused(door, b"A" * (MIB + 1), content_type="text/plain")[0] in (413, 415)

    def test_the_connection_ends_behind_a_413(self, door: Door) -> None:
        _, headers, _ = post(door, b" " * (MIB + 1), Connection="keep-alive")
        assert headers["connection"] == "close"

    @each("framing", ["Transfer-Encoding: chunked", f"Content-Length: {200 * MIB}"])
    def test_an_upload_without_end_is_cut_and_its_memory_bounded(self, door: Door, framing: str) -> None:
        before_bytes = door.server.peak_resident_bytes()
        piece = b"10000\r\n" + b"A" * 65_536 + b"\r\n"
        with send_raw(door.server, head(door, framing)) as upload:
            sent_bytes = 0
            try:
                while sent_bytes < 200 * MIB:
                    upload.sendall(piece)
                    sent_bytes += len(piece)
            except ConnectionError:
                pass
            answer = all_of(upload)
        assert sent_bytes < 64 * MIB
        # The answer may be lost in the reset that unread bytes make of a close.
        assert answer.startswith(b"HTTP/1.1 413 ") or not answer
        assert door.server.peak_resident_bytes() - before_bytes < 40 * MIB


def head(door: Door, *lines: str) -> bytes:
    """Return the head of a POST, its body to follow."""
    authorization = door.server.bearer()["Authorization"]
    fixed = [f"POST {COMPLETIONS} HTTP/1.1", "Host: here", f"Authorization: {authorization}", "Connection: close"]
    return "\r\n".join([*fixed, "Content-Type: application/json", *lines, "", ""]).encode()


def all_of(connection: socket.socket) -> bytes:
    """Return what comes until the end, a reset being one."""
    received = b""
    try:
        while data := connection.recv(65_536):
            received += data
    except ConnectionError:
        pass
    return received


GOOD = json.dumps({"messages": PROMPT}).encode()


class TestFraming:
    def test_chunked_is_taken(self, door: Door) -> None:
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(GOOD[i : i + 7]), GOOD[i : i + 7]) for i in range(0, len(GOOD), 7))
        with send_raw(door.server, head(door, "Transfer-Encoding: chunked"), chunks + b"0\r\n\r\n") as connection:
            assert all_of(connection).startswith(b"HTTP/1.1 200 ")

    def test_byte_by_byte_is_taken(self, door: Door) -> None:
        pieces = [GOOD[index : index + 1] for index in range(len(GOOD))]
        with send_raw(door.server, head(door, f"Content-Length: {len(GOOD)}"), *pieces) as connection:
            assert all_of(connection).startswith(b"HTTP/1.1 200 ")

    def test_no_length_is_no_body(self, door: Door) -> None:
        with send_raw(door.server, head(door), GOOD) as connection:
            answer = all_of(connection)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b'"invalid_json"' in answer

    def test_less_than_declared_is_no_request(self, door: Door) -> None:
        with send_raw(door.server, head(door, f"Content-Length: {len(GOOD) + 5}"), GOOD) as connection:
            connection.shutdown(socket.SHUT_WR)
            assert b" 200 " not in all_of(connection)[:16]
        assert not door.upstream.journal

    def test_more_than_declared_is_cut(self, door: Door) -> None:
        with send_raw(door.server, head(door, "Content-Length: 10"), GOOD) as connection:
            assert all_of(connection).startswith(b"HTTP/1.1 400 ")

    @each(
        "lines",
        [
            ["Content-Length: -1"],
            ["Content-Length: many"],
            ["Content-Length: " + "9" * 30],
            ["Content-Length: 5", "Content-Length: 6"],
            ["Content-Length: 5", "Transfer-Encoding: chunked"],
            ["Transfer-Encoding: gzip"],
        ],
        ids=lambda lines: lines[-1][:24],
    )
    def test_framing_that_could_smuggle_is_refused_by_the_server(self, door: Door, lines: list[str]) -> None:
        door.upstream.reset()
        with send_raw(door.server, head(door, *lines), GOOD) as connection:
            assert all_of(connection).startswith(b"HTTP/1.1 400 ")
        assert not door.upstream.journal

    def test_expecting_clients_are_told_to_go_on(self, door: Door) -> None:
        with send_raw(door.server, head(door, "Expect: 100-continue", f"Content-Length: {len(GOOD)}")) as connection:
            assert connection.recv(1024).startswith(b"HTTP/1.1 100 ")
            connection.sendall(GOOD)
            assert all_of(connection).startswith(b"HTTP/1.1 200 ")


def nested(levels: int) -> bytes:
    """Return a good body that nests so deep, the whole counted."""
    inner = "[" * (levels - 1) + "]" * (levels - 1)
    return b'{"metadata":%b,"messages":%b}' % (inner.encode(), json.dumps(PROMPT).encode())


class TestJson:
    @each(
        "body",
        [
            b"",
            b" \n",
            b"{",
            b"[]",
            b'"text"',
            b"null",
            b"{'messages': []}",
            GOOD + b"x",
            GOOD + GOOD,
            b"\xef\xbb\xbf" + GOOD,
            GOOD.decode().encode("utf-16"),
            b'{"messages":[{"role":"user","content":"\xff\xfe"}]}',
            b'{"messages":[{"role":"user","content":"\xed\xa0\x80"}]}',
            b'{"messages":[{"role":"user","content":"\xc0\xaf"}]}',
            b'{"messages":[{"role":"user","content":"\\ud800"}]}',
            b'{"messages":[{"role":"user","content":"\\udc00\\ud800"}]}',
            b'{"messages":[{"role":"user","content":"\x00"}]}',
            b'{"messages":[{"role":"user","content":"a\nb"}]}',
            b'{"temperature":NaN,"messages":[]}',
            b'{"temperature":Infinity,"messages":[]}',
            b'{"seed":' + b"9" * 1_000_000 + b',"messages":[]}',
            b'{"seed":1e999999,"messages":[]}',
            b"[" * 1_000_000,
            b'{"a":' * 100_000,
            b'{"a":"' + b"\\" * 999_999,
        ],
        ids=lambda body: repr(body[:24]),
    )
    def test_what_is_no_json_object_is_400(self, door: Door, body: bytes) -> None:
        door.upstream.reset()
        assert refused(door, body) == (400, "invalid_json", None)
        assert not door.upstream.journal

    @each(
        ("fields", "param"),
        [
            (b'"temperature":-0.0001', "temperature"),
            (b'"temperature":1e308', "temperature"),
            (b'"seed":' + b"9" * 200, "seed"),
            (b'"seed":1.0', "seed"),
            (b'"max_tokens":0', "max_tokens"),
            (b'"max_tokens":99999999999999999999', "max_tokens"),
            (b'"n":2', "n"),
            (b'"stream":"true"', "stream"),
            (b'"stop":[1]', "stop[0]"),
        ],
    )
    def test_a_value_that_is_wrong_is_named(self, door: Door, fields: bytes, param: str) -> None:
        assert refused(door, b"{%b,%b" % (fields, GOOD[1:])) == (400, "invalid_value", param)

    @each("keys", [b'"temperature":1,"temperature":1', b'"user":"a","\\u0075ser":"b"'])
    def test_two_equal_keys_are_refused(self, door: Door, keys: bytes) -> None:
        """A filter in front might have judged the first where the last is served."""
        door.upstream.reset()
        assert refused(door, b"{%b,%b" % (keys, GOOD[1:])) == (400, "invalid_json", None)
        assert not door.upstream.journal

    def test_a_null_character_in_a_text_is_a_character(self, door: Door) -> None:
        body = b'{"messages":[{"role":"user","content":"a\\u0000b"}]}'
        assert post(door, body)[0] == 200
        assert door.upstream.journal[-1].json["messages"][0]["content"] == "a\0b"

    def test_depth_is_64_and_no_more(self, door: Door) -> None:
        assert post(door, nested(64))[0] == 200
        assert refused(door, nested(65)) == (400, "invalid_json", None)

    def test_messages_are_1000_and_no_more(self, door: Door) -> None:
        assert post(door, json.dumps({"messages": PROMPT * 1000}).encode())[0] == 200
        assert len(door.upstream.journal[-1].json["messages"]) == 1000
        assert refused(door, json.dumps({"messages": PROMPT * 1001}).encode()) == (400, "invalid_value", "messages")


class TestContentType:
    @each(
        "content_type",
        ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON;x=y", None],
        ids=["plain", "charset", "capitals", "none"],
    )
    def test_json_is_taken(self, door: Door, content_type: str | None) -> None:
        assert post(door, GOOD, content_type)[0] == 200

    @each(
        "content_type",
        [
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "text/plain",
            "application/jsonx",
            "application/xml, application/json",
            "application /json",
            "\xff",
        ],
    )
    def test_others_are_415(self, door: Door, content_type: str) -> None:
        body = (
            b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--x--\r\n" if "multi" in content_type else GOOD
        )
        with send_raw(
            door.server,
            head(door, f"Content-Length: {len(body)}").replace(b"application/json", content_type.encode("latin-1")),
            body,
        ) as connection:
            answer = all_of(connection)
        assert answer.startswith(b"HTTP/1.1 415 ")
        assert error_of(json.loads(answer.partition(b"\r\n\r\n")[2]))["code"] == "unsupported_media_type"

    @each("coding", ["gzip", "deflate", "br"])
    def test_a_compressed_body_is_not_unpacked(self, door: Door, coding: str) -> None:
        """A megabyte can hold a gigabyte."""
        assert refused(door, gzip.compress(GOOD), **{"Content-Encoding": coding})[0] in (400, 415)


@each("path", ["/api/v2/auth/token/", "/api/v2/nowhere/"])
def test_other_paths_are_bounded_too(door: Door, path: str) -> None:
    status, _, answer = door.call(path, None, body=b" " * (MIB + 1), headers={"Content-Type": "application/json"})
    assert (status, error_of(answer)["code"]) == (413, "body_too_large")


def test_a_body_where_none_belongs_is_read_and_forgotten(door: Door) -> None:
    assert door.call(COMPLETIONS, method="GET", body=GOOD)[0] == 200


@each("target", ["*", "//", "/%2e%2e/", "/api/v2/chat/%ff", "/api/v2/chat/%00/"])
@each("method", ["GET", "OPTIONS"])
def test_a_target_that_is_no_path_of_ours_is_404(door: Door, method: str, target: str) -> None:
    request = f"{method} {target} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"
    with send_raw(door.server, request.encode()) as connection:
        answer = all_of(connection)
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b'"code":"not_found"' in answer


def test_a_client_that_leaves_while_it_sends_leaves_nothing_behind(door: Door) -> None:
    for _ in range(5):
        connection = send_raw(door.server, head(door, f"Content-Length: {MIB}"), b"A" * 1000)
        SseStream(connection, method="POST").reset()
    assert not door.upstream.journal
