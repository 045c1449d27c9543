"""What a bad body costs: some times what a good one of a mebibyte does, five megabytes above what was held before."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.limit_fixtures import COMPLETIONS, PROMPT, Door, error_of
from tests.doors.cost import Cost, measured, needs_proc
from tests.doors.test_heads import head
from tests.each import each
from tests.server import USERNAME
from tests.waiting import HANG_S

MIB = 1024 * 1024
GIB = 1024 * MIB
LOG_IN = "/api/v2/auth/token/"
GOOD = json.dumps({"messages": PROMPT}).encode()
GOOD_MEBIBYTE = json.dumps({"user": "x" * 1_000_000, "messages": PROMPT, "n": 2}).encode()
"""Read to its last byte before it is refused."""
MOST_TIMES = 8
"""A good mebibyte takes two to three milliseconds on the machine that this was written on, the worst of these ten."""
MEMORY_BYTES = 5 * MIB
# The least of a few: what a body costs is to be seen, not what else the process or the machine has to do.
TRIES = 6

BAD: dict[str, tuple[bytes, str]] = {
    "no json": (b"no json", "invalid_json"),
    "depth of 1,000": (b"[" * 1000 + b"]" * 1000, "invalid_json"),
    "depth of 100,000": (b"[" * 100_000 + b"]" * 100_000, "invalid_json"),
    "depth of 100,000 in a good body": (b'{"a":%b,%b' % (b"[" * 100_000 + b"]" * 100_000, GOOD[1:]), "invalid_json"),
    "objects in objects": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "invalid_json"),
    "100,000 messages": (b'{"messages":[' + b",".join([b'{"role":"user"}'] * 60_000) + b"]}", "invalid_json"),
    "100,000 empty messages": (b'{"messages":[' + b",".join([b"{}"] * 100_000) + b"]}", "invalid_json"),
    "300,000 arrays": (b'{"a":[' + b",".join([b"[]"] * 300_000) + b"]," + GOOD[1:], "invalid_json"),
    "30,000 keys": (b"{" + b"".join(b'"%x":1,' % n for n in range(30_000)) + b'"n":2,' + GOOD[1:], "invalid_value"),
    "90,000 keys": (b"{" + b"".join(b'"%x":1,' % n for n in range(90_000)) + GOOD[1:], "invalid_json"),
    "30,000 equal keys": (b"{" + b'"a":1,' * 30_000 + GOOD[1:], "invalid_json"),
    "a key twice": (b'{"model":"mock","model":"auto",' + GOOD[1:], "invalid_json"),
    "140,000 equal keys": (b"{" + b'"a":1,' * 140_000 + GOOD[1:], "invalid_json"),
    "1,000,000 digits": (b'{"seed":' + b"9" * 1_000_000 + b"," + GOOD[1:], "invalid_json"),
    "1,000,000 digits of a fraction": (
        b'{"n":2,"temperature":0.' + b"1" * 1_000_000 + b"," + GOOD[1:],
        "invalid_value",
    ),
    "NaN": (b'{"temperature":NaN,' + GOOD[1:], "invalid_json"),
    "lone surrogates": (b'{"user":"' + b"\\ud800" * 150_000 + b'",' + GOOD[1:], "invalid_json"),
    "NUL": (b'{"user":"' + b"\0" * 1_000_000 + b'",' + GOOD[1:], "invalid_json"),
    "escaped NUL": (b'{"user":"' + b"\\u0000" * 150_000 + b'",' + GOOD[1:], "invalid_value"),
    "brackets in a string": (b'{"user":"' + b"[{" * 500_000 + b'",' + GOOD[1:], "invalid_value"),
    "backslashes": (b'{"user":"' + b"\\\\" * 500_000 + b'",' + GOOD[1:], "invalid_value"),
    "a mebibyte and a byte": (b" " * (MIB + 1), "body_too_large"),
}


def cost_of(door: Door, path: str, user: str | None, body: bytes, status: int, code: str | None) -> Cost:
    with measured(door.server) as cost:
        answered, _, answer = door.call(path, user, body=body, headers={"Content-Type": "application/json"})
    assert answered == status
    assert code is None or error_of(answer)["code"] == code
    return cost


def assert_little(door: Door, costs: Callable[[], Cost]) -> None:
    """Compare the least of a few costs with what a good body costs meanwhile."""
    seen, good_s = [], []
    for _ in range(TRIES):
        good_s.append(cost_of(door, COMPLETIONS, USERNAME, GOOD_MEBIBYTE, 400, "invalid_value").cpu_s)
        seen.append(costs())
        cpu_s, memory_bytes = min(cost.cpu_s for cost in seen), min(cost.memory_bytes for cost in seen)
        if cpu_s <= MOST_TIMES * min(good_s) and memory_bytes <= MEMORY_BYTES:
            return
    raise AssertionError(f"{seen}, a good one takes {good_s}")


@needs_proc
@each("name", BAD)
def test_a_bad_body_costs_little(door: Door, name: str) -> None:
    body, code = BAD[name]
    status = 413 if code == "body_too_large" else 400
    assert_little(door, lambda: cost_of(door, COMPLETIONS, USERNAME, body, status, code))


@needs_proc
@each("name", ["300,000 arrays", "depth of 100,000", "30,000 equal keys", "a key twice"])
def test_so_it_does_where_nobody_has_to_sign_in(door: Door, name: str) -> None:
    assert_little(door, lambda: cost_of(door, LOG_IN, None, BAD[name][0], 400, None))


@needs_proc
@pytest.mark.parametrize(
    "marks", [b"[],", b'"",', b"1,", b"[{"], ids=["arrays", "strings", "numbers", "brackets in a string"]
)
def test_twenty_mebibytes_that_only_claim_to_hold_an_image_are_not_parsed(door: Door, marks: bytes) -> None:
    """Parsed, they would be gigabytes of objects, and seconds in which nobody else is served."""
    filler = marks * (19 * MIB // len(marks))
    filled = b'"%b"' % filler if marks == b"[{" else b"[%b1]" % filler
    body = b'{"messages":[{"image_url":"\\"image_url\\""}],"image_url":%b}' % filled
    good_s = cpu_of_a_good_mebibyte_s(door)
    with measured(door.server) as cost:
        status, _, answer = door.call(COMPLETIONS, body=body, headers={"Content-Type": "application/json"})
    assert (status, error_of(answer)["code"]) == (400, "invalid_json")
    assert cost.cpu_s <= 5 * 20 * good_s
    # The body itself, in pieces and in one.
    assert cost.memory_bytes <= 3 * len(body)


@needs_proc
@pytest.mark.parametrize("path", [COMPLETIONS, LOG_IN, "/static/x", "/nowhere/"])
@pytest.mark.parametrize("framing", [b"Transfer-Encoding: chunked", b"Content-Length: %d" % GIB])
def test_a_gigabyte_is_cut_and_not_kept(door: Door, path: str, framing: bytes) -> None:
    costs = []
    for _ in range(TRIES):
        good_s = cpu_of_a_good_mebibyte_s(door)
        cost, sent_bytes = cost_of_a_gigabyte(door, path, framing)
        # To read and throw away takes less than to read and look at.
        if cost.memory_bytes <= MEMORY_BYTES and sent_bytes < 64 * MIB and cost.cpu_s <= good_s * sent_bytes / MIB:
            return
        costs.append((cost, sent_bytes, good_s))
    raise AssertionError(costs)


def cpu_of_a_good_mebibyte_s(door: Door) -> float:
    return min(cost_of(door, COMPLETIONS, USERNAME, GOOD_MEBIBYTE, 400, "invalid_value").cpu_s for _ in range(3))


def cost_of_a_gigabyte(door: Door, path: str, framing: bytes) -> tuple[Cost, int]:
    piece = b"40000\r\n" + b"A" * 0x40000 + b"\r\n"
    lines = (framing, b"Content-Type: application/json")
    with measured(door.server) as cost, socket.create_connection(("127.0.0.1", door.server.port), HANG_S) as upload:
        upload.sendall(head(door, path, *lines, method=b"POST"))
        sent_bytes = 0
        answer = b""
        try:
            while sent_bytes < GIB:
                upload.sendall(piece)
                sent_bytes += len(piece)
            answer = upload.recv(65_536)
        except (ConnectionError, TimeoutError):
            pass
    assert sent_bytes < GIB / 8
    assert not answer or answer.startswith(b"HTTP/1.1 413 ")
    return cost, sent_bytes


def test_a_length_that_is_not_kept_is_no_request(door: Door) -> None:
    for declared in (0, 1, len(GOOD) - 1):
        lines = (b"Content-Length: %d" % declared, b"Content-Type: application/json")
        with socket.create_connection(("127.0.0.1", door.server.port), 5) as connection:
            connection.sendall(head(door, COMPLETIONS, *lines, method=b"POST") + GOOD)
            received: Any = connection.recv(65_536)
        assert received.startswith(b"HTTP/1.1 400 ")
    assert not door.upstream.journal
