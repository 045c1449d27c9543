"""Requests through nginx and HAProxy: what passes, what is cut, what is believed, and what is asked once."""

from __future__ import annotations

import json
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection

import pytest

from tests.contract.limit_fixtures import COMPLETIONS, LIVE, PROMPT, Door, error_of, eventually
from tests.contract.test_bodies import MIB, filled
from tests.operations.origin import Origin
from tests.operations.proxies import HEADER_TIMEOUT_S, Proxy
from tests.sse_answer import collect
from tests.sse_client import open_stream
from tests.upstream import refusing_port
from tests.waiting import HANG_S

TOKEN = "/api/v2/auth/token/"
HELD = {
    "nginx": b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\n\r\n{",
    # Before the head has ended it counts already; behind it the origin may answer, and the connection end.
    "haproxy": b"POST / HTTP/1.1\r\n",
}
"""What a connection sends that is held: nginx counts those whose head it has read."""
ONE_ADDRESS = {
    "nginx": {"limit_conn promptcraft 100;": "limit_conn promptcraft 4;"},
    "haproxy": {
        "sc0_conn_cur gt 100": "sc0_conn_cur gt 4",
    },
}


def test_the_largest_body_passes_and_a_larger_one_gets_our_own_refusal(door: Door, proxy: Proxy):
    sent = {"Content-Type": "application/json"} | door.server.bearer()
    with open_stream(proxy.url(COMPLETIONS), body=filled(20 * MIB, image=True), headers=sent) as stream:
        assert stream.status == 200
    assert len(door.upstream.exchanges()[-1].body) > 20 * MIB - 1000
    with open_stream(proxy.url(COMPLETIONS), body=filled(20 * MIB + 1, image=True), headers=sent) as stream:
        assert stream.status == 413
        assert error_of(stream.json())["code"] == "body_too_large"


def test_headers_pass_both_ways(door: Door, proxy: Proxy):
    trace_id = uuid.uuid4().hex
    sent = door.server.bearer() | {
        "X-Request-Id": "from-the-client",
        "traceparent": f"00-{trace_id}-{uuid.uuid4().hex[:16]}-01",
        "Idempotency-Key": f"key-{trace_id}",
    }
    for replayed in (None, "true"):
        with open_stream(proxy.url(COMPLETIONS), json={"messages": PROMPT, "stream": True}, headers=sent) as stream:
            assert stream.status == 200
            assert stream.headers["x-request-id"] == "from-the-client"
            assert stream.headers["traceparent"].split("-")[1] == trace_id
            assert stream.headers["x-promptcraft-provider"] == "deepseek"
            assert stream.headers["cache-control"] == "no-cache, no-transform"
            assert stream.headers.get("idempotent-replay") == replayed
            completion_id = stream.headers["x-promptcraft-completion-id"]
            whole = collect(stream)
            assert whole.done
    last = {"Last-Event-ID": str(whole.ids[-1])} | door.server.bearer()
    with open_stream(proxy.url(f"{COMPLETIONS}{completion_id}/events/"), headers=last) as stream:
        assert stream.status == 204, "nothing is new"
    with open_stream(proxy.url("/api/v2/auth/me/")) as stream:
        assert (stream.status, error_of(stream.json())["code"]) == (401, "missing_token")


def failed_log_ins(port: int, source: str, claimed: str) -> Iterator[int]:
    """Yield the statuses of log-ins with unknown names; each claims to come from another address."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=10, source_address=(source, 0))) as connection:
        for number in range(60):
            body = json.dumps({"username": uuid.uuid4().hex, "password": "wrong"})
            claim = {"Content-Type": "application/json", "X-Forwarded-For": claimed % number}
            connection.request("POST", TOKEN, body, claim)
            response = connection.getresponse()
            response.read()
            yield response.status


def until_refused(statuses: Iterator[int]) -> int:
    """Return how many log-ins failed before the first 429, 60 if none came."""
    count = 0
    for status in statuses:
        if status == 429:
            return count
        assert status == 401
        count += 1
    return count


# Twenty in a minute; and should the minute turn on the way, twenty of the next.
COUNTED = range(20, 41)


@pytest.mark.parametrize("claimed", ["198.51.100.%d", "198.51.100.%d, 127.0.0.1", "10.0.0.%d"])
def test_what_the_proxy_says_of_an_address_counts_and_what_the_client_says_does_not(
    door: Door, proxy: Proxy, claimed: str
):
    client = f"127.{uuid.uuid4().int % 200 + 10}.{uuid.uuid4().int % 250}"
    assert until_refused(failed_log_ins(proxy.port, f"{client}.1", claimed)) in COUNTED
    assert next(failed_log_ins(proxy.port, f"{client}.2", claimed)) == 401, "another client is free"


def test_nobody_else_is_believed(door: Door):
    assert until_refused(failed_log_ins(door.server.port, "127.0.3.1", "198.51.100.%d")) in COUNTED


def test_slow_headers_are_cut(proxy: Proxy):
    with closing(socket.create_connection(("127.0.0.1", proxy.port), HANG_S)) as client:
        began_s = time.monotonic()
        client.sendall(f"GET {LIVE} HTTP/1.1\r\nHost: here\r\nX-Slow:".encode())
        answer = b""
        while piece := client.recv(4096):
            answer += piece
        assert time.monotonic() - began_s >= HEADER_TIMEOUT_S * 0.9
        assert not answer or answer.startswith(b"HTTP/1.1 408")


def test_a_body_that_does_not_come_stays_with_the_proxy(kind: type[Proxy]):
    with Origin() as origin, kind(origin.port) as proxy, closing(socket.socket()) as slow:
        slow.connect(("127.0.0.1", proxy.port))
        slow.sendall(f"POST {TOKEN} HTTP/1.1\r\nHost: here\r\nContent-Length: 9\r\n\r\n{{".encode())
        with open_stream(proxy.url("/whole")) as stream:
            assert stream.read() == b"ok"
        assert origin.paths == ["/whole"]
        assert len(origin.connections) == 1


def test_nothing_is_asked_twice(kind: type[Proxy]):
    """Neither on a connection that was just made, nor on one that was kept and turns out to be dead."""
    with Origin(lambda path: path == "/well") as origin, kind(origin.port) as proxy:
        for expected in (["/ill"], ["/ill", "/well", "/ill"]):
            with open_stream(proxy.url("/ill"), body=b"{}") as stream:
                assert stream.status in (502, 503)
                unreachable(stream.headers, stream.json())
            assert origin.paths == expected
            with open_stream(proxy.url("/well")) as stream:
                assert stream.status == 200


def test_a_stream_that_breaks_off_is_not_made_whole(kind: type[Proxy]):
    """Its end is all that tells a client to resume."""
    with Origin() as origin, kind(origin.port) as proxy, open_stream(proxy.url("/cut")) as stream:
        assert stream.read() == b"data: 1\n\n"
        assert stream.ended in ("cut", "reset")


def unreachable(headers: dict[str, str], body: object) -> None:
    """Check an answer that the proxy gave by itself."""
    assert headers["content-type"] == "application/json"
    assert headers["x-should-retry"] == "false"
    assert int(headers["retry-after"]) >= 1
    assert isinstance(body, dict)
    error = body["error"]
    assert set(error) == {"message", "type", "code", "param", "request_id", "retryable", "retry_after"}
    assert (error["type"], error["code"], error["retry_after"]) == ("service_unavailable", "overloaded", 5)


def test_a_server_that_is_down(kind: type[Proxy]):
    with (
        refusing_port() as port,
        kind(port) as proxy,
        open_stream(proxy.url(COMPLETIONS), json={"messages": PROMPT}) as stream,
    ):
        assert stream.status == 503
        unreachable(stream.headers, stream.json())


def test_connections_of_one_address_are_bounded(kind: type[Proxy]):
    pause = threading.Event()
    with Origin() as origin, kind(origin.port, ONE_ADDRESS[kind.name]) as proxy:

        def refused() -> bool:
            # New ones for each look: neither proxy holds an unfinished request for long.
            with ExitStack() as stack:
                for _ in range(4):
                    held = stack.enter_context(socket.create_connection(("127.0.0.1", proxy.port), HANG_S))
                    held.sendall(HELD[kind.name])
                # So that the proxy gets to read what it is to count.
                pause.wait(0.02)
                if not is_refused(proxy):
                    return False
                another_address = HTTPConnection(
                    "127.0.0.1", proxy.port, timeout=HANG_S, source_address=("127.0.9.9", 0)
                )
                with closing(another_address):
                    another_address.request("GET", "/")
                    assert another_address.getresponse().status == 200
                return True

        eventually(refused, "a refusal")


def is_refused(proxy: Proxy) -> bool:
    try:
        with open_stream(proxy.url("/")) as stream:
            return stream.status == 429
    except (AssertionError, OSError):
        # HAProxy closes without a word.
        return True
