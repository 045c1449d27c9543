"""Compressed bodies are refused by their name, before anything is unpacked or parsed."""

from __future__ import annotations

import gzip
import json

import pytest

from tests.contract.limit_fixtures import COMPLETIONS, LIVE, PROMPT, Door, error_of
from tests.doors.cost import measured, needs_proc
from tests.doors.test_heads import exchange, head

GOOD = json.dumps({"messages": PROMPT}).encode()
PACKED = gzip.compress(GOOD)
LOG_IN = "/api/v2/auth/token/"
MIB = 1024 * 1024


@pytest.mark.parametrize("path", [COMPLETIONS, LOG_IN])
@pytest.mark.parametrize(
    "codings",
    [b"gzip", b"GZIP", b" gzip ", b"x-gzip", b"deflate", b"br", b"zstd", b"compress", b"gzip, identity", b"nonsense"],
)
def test_a_coding_is_415(door: Door, path: str, codings: bytes) -> None:
    lines = (b"Content-Type: application/json", b"Content-Encoding: " + codings)
    for body in (PACKED, GOOD):
        length = b"Content-Length: %d" % len(body)
        status, headers, answer = exchange(door, head(door, path, *lines, length, method=b"POST"), body)
        error = error_of(json.loads(answer))
        assert (status, error["code"]) == (415, "unsupported_media_type")
        assert "Content-Encoding" in error["message"]
        assert headers["connection"] == "close"
    assert not door.upstream.journal


def test_so_it_is_when_two_headers_name_it(door: Door) -> None:
    lines = (b"Content-Encoding: identity", b"Content-Encoding: gzip", b"Content-Length: %d" % len(PACKED))
    assert exchange(door, head(door, COMPLETIONS, *lines, method=b"POST"), PACKED)[0] == 415


def test_so_it_is_when_it_comes_in_chunks(door: Door) -> None:
    chunked = head(door, COMPLETIONS, b"Content-Encoding: gzip", b"Transfer-Encoding: chunked", method=b"POST")
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in PACKED) + b"0\r\n\r\n"
    assert exchange(door, chunked, chunks)[0] == 415


@pytest.mark.parametrize("coding", [b"identity", b"Identity", b""])
def test_none_at_all_is_taken(door: Door, coding: bytes) -> None:
    lines = (b"Content-Encoding: " + coding, b"Content-Length: %d" % len(GOOD))
    assert exchange(door, head(door, COMPLETIONS, *lines, method=b"POST"), GOOD)[0] == 200


def test_without_a_body_it_means_nothing(door: Door) -> None:
    assert exchange(door, head(door, LIVE, b"Content-Encoding: gzip"))[0] == 200


@needs_proc
def test_a_bomb_is_not_unpacked(door: Door) -> None:
    bomb = gzip.compress(b" " * 256 * MIB)
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    door.call(LIVE, None)
    with measured(door.server) as cost:
        assert door.call(COMPLETIONS, body=bomb, headers=headers)[0] == 415
    assert cost.memory_bytes <= 5 * MIB
    assert cost.cpu_s <= 0.2
