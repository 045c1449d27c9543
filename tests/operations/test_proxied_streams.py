"""Streams through nginx and HAProxy, as the document configures them."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.contract.limit_fixtures import COMPLETIONS, PROMPT, Door
from tests.operations.conftest import KEEPALIVE_S
from tests.operations.proxies import Proxy
from tests.sse_answer import collect
from tests.sse_client import SseStream, open_stream
from tests.upstream import Answer, Gate, healthy
from tests.waiting import soon

PIECES = ("It ", "turns ", "at ", "six, ", "and ", "again ", "at ", "noon.")


def begin(door: Door, proxy: Proxy) -> SseStream:
    asked = {"messages": PROMPT, "stream": True}
    # A client that would take compressed answers: none is to be made for it on the way.
    sent = {"Accept-Encoding": "gzip, br"} | door.server.bearer()
    return open_stream(proxy.url(COMPLETIONS), json=asked, headers=sent)


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
    with begin(door, proxy) as stream, ThreadPoolExecutor(1) as pool:
        events = stream.events()
        assert next(events).json()["choices"][0]["delta"]["content"] == PIECES[0]
        for piece in PIECES[1:]:
            gate.release(1)
            event = pool.submit(next, events)
            # What gathers pieces before it sends them does so for 200 ms.
            soon(event.done, door.health, "the event", most_turns=30)
            assert event.result().json()["choices"][0]["delta"]["content"] == piece


def test_the_answer_is_the_same_to_the_byte(door: Door, proxy: Proxy):
    text = tuple(f"{number:05d} \u2028 caf\u00e9 {'tide ' * 40}" for number in range(500))
    door.upstream.script("deepseek", healthy(answer=Answer(pieces=text, reasoning="")))
    with begin(door, proxy) as stream:
        assert stream.status == 200
        assert "content-encoding" not in stream.headers
        answer = collect(stream)
    assert (answer.text, answer.done, answer.ended) == ("".join(text), True, "clean")


def test_pings_pass_as_they_are_sent(door: Door, proxy: Proxy):
    gated(door, after=1)
    times_s: list[float] = []
    with begin(door, proxy) as stream:
        for line in stream.lines():
            if line.data == b": ping":
                times_s.append(line.at_s)
                if len(times_s) == 3:
                    break
    assert times_s[1] - times_s[0] > KEEPALIVE_S / 2
    assert times_s[2] - times_s[1] > KEEPALIVE_S / 2


@pytest.mark.parametrize("leave", [SseStream.close, SseStream.reset], ids=["fin", "rst"])
def test_a_client_that_leaves_closes_the_provider(door: Door, proxy: Proxy, leave: Callable[[SseStream], float]):
    gated(door, after=1)
    stream = begin(door, proxy)
    next(iter(stream.events()))
    leave(stream)
    door.upstream.soon_hung_up(door.health)


def test_a_client_that_leaves_before_the_answer_closes_the_provider(door: Door, proxy: Proxy):
    gate = gated(door)
    body = json.dumps({"messages": PROMPT}).encode()
    head = [f"POST {COMPLETIONS} HTTP/1.1", "Host: here", "Content-Type: application/json"]
    head += [f"Authorization: {door.server.bearer()['Authorization']}", f"Content-Length: {len(body)}", "", ""]
    client = socket.create_connection(("127.0.0.1", proxy.port), 5)
    client.sendall("\r\n".join(head).encode() + body)
    gate.wait_reached()
    client.close()
    door.upstream.soon_hung_up(door.health)
