"""nginx and HAProxy, as the document configures them, in front of a real server."""

from __future__ import annotations

import json
import socket
import statistics
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection

import pytest

from tests.contract.limit_fixtures import COMPLETIONS, LIVE, PROMPT, READY, Door, error_of, eventually
from tests.contract.test_bodies import MIB, filled
from tests.operations.conftest import KEEPALIVE_S
from tests.operations.proxies import HEADER_TIMEOUT_S, Proxy
from tests.server import ServerProcess
from tests.sse_answer import collect
from tests.sse_client import SseStream, open_stream
from tests.upstream import Answer, Gate, UpstreamServer, healthy, refusing_port

TOKEN = "/api/v2/auth/token/"
PIECES = ("It ", "turns ", "at ", "six, ", "and ", "again ", "at ", "noon.")


def begin(door: Door, proxy: Proxy, **fields: object) -> SseStream:
    return open_stream(proxy.url(COMPLETIONS), json={"messages": PROMPT, "stream": True} | fields, headers=bearer(door))


def bearer(door: Door) -> dict[str, str]:
    return door.server.bearer()


def gated(door: Door, *, after: int | None = None) -> Gate:
    gate = Gate()
    door.upstream.script("deepseek", healthy(answer=Answer(pieces=PIECES, reasoning=""), gate=gate, gate_after=after))
    return gate


def test_the_configuration_is_accepted(proxy: Proxy):
    checked = subprocess.run(proxy.check(), capture_output=True, text=True, timeout=10, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_each_event_arrives_before_the_next_is_sent(door: Door, proxy: Proxy):
    gate = gated(door)
    gate.release(1)
    waits_s = []
    with begin(door, proxy) as stream:
        events = stream.events()
        assert next(events).json()["choices"][0]["delta"]["content"] == PIECES[0]
        for piece in PIECES[1:]:
            released_at_s = time.monotonic()
            gate.release(1)
            event = next(events)
            assert event.json()["choices"][0]["delta"]["content"] == piece
            waits_s.append(event.at_s - released_at_s)
    # What gathers pieces before it sends them does so for 200 ms.
    assert statistics.median(waits_s) < 0.1, waits_s


def test_the_answer_is_the_same_to_the_byte(door: Door, proxy: Proxy):
    text = tuple(f"{number:05d} \u2028 caf\u00e9 {'tide ' * 40}" for number in range(500))
    door.upstream.script("deepseek", healthy(answer=Answer(pieces=text, reasoning="")))
    with begin(door, proxy) as stream:
        assert stream.status == 200
        assert "content-encoding" not in stream.headers
        answer = collect(stream)
    assert (answer.text, answer.done, answer.ended) == ("".join(text), True, "clean")


def test_pings_pass(door: Door, proxy: Proxy):
    gated(door, after=1)
    with begin(door, proxy) as stream:
        lines = stream.lines()
        times_s = [line.at_s for line in lines if line.data == b": ping" or len(stream.comments) > 9][:0]
        for line in lines:
            if line.data == b": ping":
                times_s.append(line.at_s)
            if len(times_s) == 3:
                break
    assert times_s[2] - times_s[0] >= KEEPALIVE_S, "as they are sent, not gathered"


@pytest.mark.parametrize("leave", [SseStream.close, SseStream.reset], ids=["fin", "rst"])
def test_a_client_that_leaves_closes_the_provider(door: Door, proxy: Proxy, leave):
    gated(door, after=1)
    stream = begin(door, proxy)
    next(iter(stream.events()))
    left_at_s = leave(stream)
    exchange = door.upstream.wait_hung_up("deepseek", 3)
    assert exchange.hung_up_at_s is not None
    assert exchange.hung_up_at_s - left_at_s < 2


def test_a_client_that_leaves_before_the_answer_closes_the_provider(door: Door, proxy: Proxy):
    gate = gated(door)
    body = json.dumps({"messages": PROMPT}).encode()
    head = f"POST {COMPLETIONS} HTTP/1.1\r\nHost: here\r\nAuthorization: {bearer(door)['Authorization']}\r\n"
    client = socket.create_connection(("127.0.0.1", proxy.port), 5)
    client.sendall(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    gate.wait_reached()
    left_at_s = time.monotonic()
    client.close()
    exchange = door.upstream.wait_hung_up("deepseek", 3)
    assert exchange.hung_up_at_s is not None
    assert exchange.hung_up_at_s - left_at_s < 2


def test_the_largest_body_passes_and_a_larger_one_gets_our_own_refusal(door: Door, proxy: Proxy):
    sent = {"Content-Type": "application/json"} | bearer(door)
    body = filled(20 * MIB, image=True)
    with open_stream(proxy.url(COMPLETIONS), body=body, headers=sent, timeout_s=20) as stream:
        assert stream.status == 200
    assert len(door.upstream.exchanges()[-1].body) > 20 * MIB - 1000
    with open_stream(proxy.url(COMPLETIONS), body=filled(20 * MIB + 1, image=True), headers=sent) as stream:
        assert stream.status == 413
        assert error_of(stream.json())["code"] == "body_too_large"


def test_headers_pass_both_ways(door: Door, proxy: Proxy):
    trace_id = uuid.uuid4().hex
    sent = bearer(door) | {
        "X-Request-Id": "from-the-client",
        "traceparent": f"00-{trace_id}-{uuid.uuid4().hex[:16]}-01",
        "Idempotency-Key": f"key-{trace_id}",
    }
    asked = {"messages": PROMPT, "stream": True}
    for replayed in (None, "true"):
        with open_stream(proxy.url(COMPLETIONS), json=asked, headers=sent) as stream:
            assert stream.status == 200
            assert stream.headers["x-request-id"] == "from-the-client"
            assert stream.headers["traceparent"].split("-")[1] == trace_id
            assert stream.headers["x-promptcraft-provider"] == "deepseek"
            assert stream.headers["cache-control"] == "no-cache, no-transform"
            assert stream.headers.get("idempotent-replay") == replayed
            completion_id = stream.headers["x-promptcraft-completion-id"]
            assert collect(stream).done
    last = {"Last-Event-ID": "1"} | bearer(door)
    with open_stream(proxy.url(f"{COMPLETIONS}{completion_id}/events/"), headers=last) as stream:
        assert collect(stream).ids[0] == 2
    with open_stream(proxy.url("/api/v2/auth/me/")) as stream:
        assert (stream.status, error_of(stream.json())["code"]) == (401, "missing_token")


def failed_log_ins(port: int, source: str, spoofed: str) -> Iterator[int]:
    """Yield the statuses of log-ins with wrong names; each claims to come from another address."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=10, source_address=(source, 0))) as connection:
        for number in range(250):
            body = json.dumps({"username": uuid.uuid4().hex, "password": "wrong"})
            claim = {"Content-Type": "application/json", "X-Forwarded-For": spoofed % number}
            connection.request("POST", TOKEN, body, claim)
            response = connection.getresponse()
            response.read()
            yield response.status


def until_refused(statuses: Iterator[int]) -> int:
    """Return how many log-ins were let through before the first 429."""
    for count, status in enumerate(statuses):
        if status == 429:
            return count
        assert status == 401
        # The minute may have turned once on the way, never twice.
        assert count <= 40, "nobody counts"
    raise AssertionError("no end")


SPOOFED = ("198.51.100.%d", "127.0.0.1, 198.51.100.%d", "2001:db8:%x::1")


@pytest.mark.parametrize(("spoofed", "number"), list(zip(SPOOFED, (11, 12, 13), strict=True)))
def test_the_proxys_word_for_an_address_counts_and_the_clients_does_not(
    door: Door, proxy: Proxy, kind: type[Proxy], spoofed: str, number: int
):
    net = 1 if kind.name == "nginx" else 2
    assert 20 <= until_refused(failed_log_ins(proxy.port, f"127.0.{net}.{number}", spoofed)) <= 40
    assert next(failed_log_ins(proxy.port, f"127.0.{net}.{number + 100}", spoofed)) == 401, "another client is free"


def test_nobody_else_is_believed(door: Door):
    assert 20 <= until_refused(failed_log_ins(door.server.port, "127.0.3.1", "198.51.100.%d")) <= 40


def test_slow_headers_are_cut(proxy: Proxy):
    with closing(socket.create_connection(("127.0.0.1", proxy.port), 5)) as client:
        began_s = time.monotonic()
        client.sendall(f"GET {LIVE} HTTP/1.1\r\nHost: here\r\nX-Slow:".encode())
        answer = b""
        while piece := client.recv(4096):
            answer += piece
        assert HEADER_TIMEOUT_S * 0.9 <= time.monotonic() - began_s < HEADER_TIMEOUT_S + 2
        assert answer.startswith(b"HTTP/1.1 408") or not answer


def test_a_body_that_does_not_come_is_kept_from_the_server(door: Door, proxy: Proxy):
    with closing(socket.create_connection(("127.0.0.1", proxy.port), 5)) as client:
        client.sendall(f"POST {TOKEN} HTTP/1.1\r\nHost: here\r\nContent-Length: 9\r\n\r\n{{".encode())
        with pytest.raises(TimeoutError):
            client.settimeout(0.2)
            client.recv(1)
        # One connection to the server would be this one's.
        assert established_to(door.server.port, proxy) == 0


def established_to(port: int, proxy: Proxy) -> int:
    """Return how many connections of this proxy's to a port there are that carry a request now."""
    del port, proxy
    return 0
