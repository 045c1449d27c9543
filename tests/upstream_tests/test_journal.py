"""Scripts, gates and the journal: what was received, sent, billed, and when the peer hung up."""

from __future__ import annotations

import http.client
import socket
import threading

import pytest

from tests.sse_client import open_stream
from tests.upstream import (
    Fin,
    Gate,
    Hold,
    JournalTimeout,
    Reply,
    Scenario,
    Send,
    Silence,
    UpstreamServer,
    healthy,
    refusing_port,
    scripted,
    unanswering_port,
)
from tests.upstream_tests.reading import ask, read


def test_request_is_recorded_to_the_byte(upstream):
    body = b'{"model": "m",\t"messages":[{"role":"user","content":"caf\\u00e9"}] }'
    with open_stream(
        upstream.base_url("zai") + "/chat/completions", body=body, headers={"X-Any": "1", "Authorization": "Bearer k.1"}
    ):
        pass
    exchange = upstream.wait_over()
    assert (exchange.vendor, exchange.endpoint, exchange.method) == ("zai", "chat", "POST")
    assert exchange.body == body
    assert exchange.json["messages"][0]["content"] == "café"
    assert (exchange.headers["x-any"], exchange.api_key, exchange.model) == ("1", "k.1", "m")
    assert exchange.received_at_s <= exchange.first_byte_at_s <= exchange.last_byte_at_s <= exchange.finished_at_s


def test_chunked_request_body_is_read(upstream):
    connection = http.client.HTTPConnection(upstream.host, upstream.port, timeout=5)
    pieces = iter([b'{"model":"m","stream":true,', b'"messages":[{"role":"user","content":"x"}]}'])
    connection.request(
        "POST", "/zai/api/paas/v4/chat/completions", pieces, {"Authorization": "Bearer k"}, encode_chunked=True
    )
    assert connection.getresponse().status == 200
    connection.close()
    assert upstream.journal[0].json["stream"] is True


def test_connection_is_kept_and_reused(upstream):
    before = len(upstream.connections)
    connection = http.client.HTTPConnection(upstream.host, upstream.port, timeout=5)
    for _ in range(3):
        body = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"x"}]}'
        connection.request("POST", "/zai/api/paas/v4/chat/completions", body, {"Authorization": "Bearer k"})
        assert read(connection.getresponse().read()).done
    connection.close()
    assert len(upstream.connections) == before + 1
    assert len({exchange.connection for exchange in upstream.journal}) == 1
    assert upstream.connections[-1].requests == 3


@pytest.mark.parametrize(("leave", "how"), [("reset", "rst"), ("close", "fin")])
def test_peer_that_leaves_is_seen_at_once(upstream, leave, how):
    gate = Gate()
    upstream.script("deepseek", healthy("one two three", gate=gate, gate_after=2))
    stream = ask(upstream, "deepseek")
    gate.wait_reached()
    while b" two" not in stream.read_some():
        pass
    left_at_s = getattr(stream, leave)()
    exchange = upstream.wait_hung_up("deepseek")
    assert exchange.hung_up_how == how
    assert exchange.hung_up_at_s >= left_at_s
    assert exchange.hung_up_after_s >= 0
    assert not exchange.complete
    assert (exchange.prompt_tokens, exchange.completion_tokens, exchange.usage) == (6, 2, None)
    assert upstream.connections[-1].hung_up_how == how


def test_peer_that_leaves_a_flood_is_seen(upstream):
    upstream.script("openai", "line-of-64-mib")
    stream = ask(upstream, "openai")
    stream.read_some(10)
    left_at_s = stream.reset()
    assert upstream.wait_hung_up().hung_up_at_s >= left_at_s


def test_gate_lets_tokens_through_one_by_one(upstream):
    gate = Gate()
    upstream.script("zai", healthy("a b", gate=gate))
    with ask(upstream, "zai") as stream:
        gate.wait_reached(1)
        assert upstream.journal[0].completion_tokens == 0
        gate.release(1)
        gate.wait_reached(2)
        assert upstream.journal[0].completion_tokens == 1
        assert b'" b"' not in stream.read_some()
        gate.release()
        assert read(stream.read()).finishes == ["stop"]
    assert gate.reached == 2


def test_gate_that_nobody_reaches_fails_the_test():
    with pytest.raises(AssertionError, match="0 times"):
        Gate().wait_reached(timeout_s=0.01)


def test_queue_comes_before_the_default(upstream):
    upstream.script("zai", "status-503")
    upstream.script("zai", "status-429", times=2)
    statuses = []
    for _ in range(3):
        with ask(upstream, "zai") as stream:
            statuses.append(stream.status)
    assert statuses == [429, 429, 503]
    upstream.reset()
    with ask(upstream, "zai") as stream:
        assert stream.status == 200


def test_request_may_choose_its_scenario(upstream):
    url = upstream.base_url("openai") + "/chat/completions"
    with open_stream(url, json={}, headers={"X-Scenario": "status-503"}) as stream:
        assert stream.status == 503
    with ask(upstream, "openai", model="gpt-6-luna@status-402") as stream:
        assert stream.status == 402
    with ask(upstream, "openai", messages=[{"role": "user", "content": "try [[status-408]] now"}]) as stream:
        assert stream.status == 408
    with ask(upstream, "openai", messages=[{"role": "user", "content": "a [[footnote]]"}]) as stream:
        assert stream.status == 200
    with open_stream(url, json={}, headers={"X-Scenario": "nothing"}) as stream:
        assert stream.status == 400


def test_steps_of_ones_own_are_sent_as_they_are(upstream):
    data = b"HTTP/1.1 299 Odd\r\nx: \xff\r\nconnection: close\r\n\r\n\x00raw"
    upstream.script("deepseek", scripted(Send(data), Fin()))
    with socket.create_connection((upstream.host, upstream.port), timeout=5) as plain:
        plain.sendall(b"POST /deepseek/chat/completions HTTP/1.1\r\ncontent-length: 0\r\n\r\n")
        received = b"".join(iter(lambda: plain.recv(4096), b""))
    assert received == data


def test_scenario_may_be_composed_of_a_vendors_parts(upstream):
    gate = Gate()

    def steps(request):
        reply = Reply(request)
        yield reply.head()
        yield from reply.content(1)
        yield Hold(gate)
        yield reply.raw(b": odd\n\n")
        yield Silence()

    upstream.script("zai", Scenario(name="own", description="a test's own", steps=steps))
    with ask(upstream, "zai") as stream:
        gate.release()
        while b": odd" not in stream.read_some():
            pass
    assert upstream.wait_hung_up("zai").scenario == "own"


def test_waiting_fails_with_the_journal(upstream):
    with ask(upstream, "zai") as stream:
        stream.read()
    with pytest.raises(JournalTimeout, match="zai POST"):
        upstream.wait_for(lambda journal: len(journal) > 1, timeout_s=0.01)


def test_waiting_is_woken_by_another_thread(upstream):
    threading.Timer(0.02, lambda: ask(upstream, "zai").close()).start()
    # Nothing wakes it before a minute has passed but the other thread.
    assert upstream.wait_for(lambda journal: len(journal) == 1)


def test_script_that_raises_fails_the_server():
    def steps(request):
        raise RuntimeError("broken script")

    upstream = UpstreamServer().__enter__()
    upstream.script("zai", Scenario(name="broken", description="raises", steps=steps))
    with pytest.raises(AssertionError, match="before the head"):
        ask(upstream, "zai")
    with pytest.raises(AssertionError, match="broken script"):
        upstream.__exit__(None, None, None)


def test_environment_points_a_relay_here(upstream):
    variables = upstream.environment("zai")
    assert variables["ZAI_BASE_URL"] == f"http://127.0.0.1:{upstream.port}/zai/api/paas/v4"
    assert variables["ZAI_API_KEY"]
    assert not variables["OPENAI_API_KEY"]


def test_refusing_port_refuses():
    with refusing_port() as port, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=1)


def test_unanswering_port_times_out():
    with unanswering_port() as port, pytest.raises(TimeoutError):
        socket.create_connection(("127.0.0.1", port), timeout=0.1)
