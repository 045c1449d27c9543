"""Contract 3: when the client vanishes."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.stream_fixtures import Relay, events_of
from tests.sse_answer import collect
from tests.sse_client import SseStream
from tests.upstream import Answer, Gate, Scenario, healthy
from tests.waiting import soon

PIECES = ("One ", "two ", "three ", "four")


def fin(stream: SseStream | socket.socket) -> None:
    stream.close()


def rst(stream: SseStream | socket.socket) -> None:
    if isinstance(stream, SseStream):
        stream.reset()
    else:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stream.close()


Leave = Callable[[SseStream | socket.socket], None]
both_ways = pytest.mark.parametrize("leave", [fin, rst])


def holding(gate: Gate, after: int) -> Scenario:
    return healthy(answer=Answer(pieces=PIECES, reasoning=""), gate=gate, gate_after=after)


def settled(relay: Relay, completion_id: str) -> dict[str, Any]:
    """Wait for the end of a completion, by reading it to the end."""
    with relay.events(completion_id) as stream:
        collect(stream)
    detail: dict[str, Any] = relay.detail(completion_id)[2]
    return detail


class TestCancel:
    """The default."""

    @both_ways
    def test_mid_stream(self, relay: Relay, leave: Leave):
        gate = Gate()
        relay.upstream.script("deepseek", holding(gate, 2))
        stream = relay.begin()
        completion_id = events_of(stream, 2)[0].json()["id"]
        leave(stream)
        relay.soon_hung_up()
        detail = settled(relay, completion_id)
        assert detail["status"] == "cancelled"
        (attempt,) = detail["attempts"]
        assert attempt["end"] == "client_gone"
        assert attempt["completion_tokens"] > 0

    @both_ways
    def test_while_the_provider_talks(self, relay: Relay, leave: Leave):
        relay.upstream.script("deepseek", "drip-for-ever")
        stream = relay.begin()
        events_of(stream, 3)
        leave(stream)
        relay.soon_hung_up()

    @both_ways
    @pytest.mark.parametrize("stream", [True, False])
    def test_before_the_first_content(self, relay: Relay, leave: Leave, stream: bool):
        gate = Gate()
        relay.upstream.script("deepseek", holding(gate, 0))
        client = relay.send(stream=stream)
        gate.wait_reached()
        leave(client)
        relay.soon_hung_up()
        # Nobody was asked in its place.
        assert len(relay.upstream.exchanges()) == 1

    @both_ways
    def test_one_that_does_not_stream(self, relay: Relay, leave: Leave):
        gate = Gate()
        relay.upstream.script("deepseek", holding(gate, 2))
        client = relay.send(stream=False)
        gate.wait_reached()
        completion_id = relay.running_id()
        leave(client)
        relay.soon_hung_up()
        assert settled(relay, completion_id)["status"] == "cancelled"

    def test_half_closed_is_gone(self, relay: Relay):
        """A FIN alone is all that a proxy passes on of a client that left."""
        gate = Gate()
        relay.upstream.script("deepseek", holding(gate, 1))
        client = relay.send(stream=True)
        gate.wait_reached()
        client.shutdown(socket.SHUT_WR)
        relay.soon_hung_up()
        client.close()

    def test_what_was_streamed_can_be_read(self, relay: Relay):
        gate = Gate()
        relay.upstream.script("deepseek", holding(gate, 3))
        stream = relay.begin()
        completion_id = events_of(stream, 3)[0].json()["id"]
        stream.reset()
        relay.upstream.wait_hung_up("deepseek")
        with relay.events(completion_id, 1) as again:
            rest = collect(again)
        assert (rest.text, rest.finishes, rest.done) == ("two three ", ["cancelled"], True)
        message = relay.detail(completion_id)[2]["choices"][0]["message"]
        assert message["content"] == "One two three "

    def test_said_aloud_it_is_the_same_with_a_key(self, relay: Relay):
        gate = Gate()
        relay.upstream.script("deepseek", holding(gate, 1))
        stream = relay.begin(on_disconnect="cancel", headers={"Idempotency-Key": f"gone-{time.monotonic_ns()}"})
        events_of(stream, 1)
        stream.reset()
        relay.soon_hung_up()

    def test_second_reader_keeps_it_alive_to_the_end(self, relay: Relay):
        gate = Gate()
        relay.upstream.script("deepseek", holding(gate, 2))
        first = relay.begin()
        completion_id = events_of(first, 2)[0].json()["id"]
        with relay.events(completion_id) as second:
            events_of(second, 1)
            first.reset()
            relay.let_it_notice()
            gate.release()
            answer = collect(second)
        assert (answer.finish, answer.done) == ("stop", True)
        assert answer.text == "two three four"

    def test_second_reader_that_leaves_ends_nothing(self, relay: Relay):
        gate = Gate()
        relay.upstream.script("deepseek", holding(gate, 2))
        with relay.begin() as first:
            completion_id = events_of(first, 2)[0].json()["id"]
            second = relay.events(completion_id)
            events_of(second, 1)
            second.reset()
            relay.let_it_notice()
            gate.release()
            answer = collect(first)
        assert (answer.text, answer.finish, answer.done) == ("three four", "stop", True)

    def test_last_of_several_readers_ends_it(self, relay: Relay):
        gate = Gate()
        relay.upstream.script("deepseek", holding(gate, 2))
        first = relay.begin()
        completion_id = events_of(first, 2)[0].json()["id"]
        second = relay.events(completion_id)
        events_of(second, 1)
        first.reset()
        relay.let_it_notice()
        assert relay.detail(completion_id)[2]["status"] == "in_progress"
        second.reset()
        relay.soon_hung_up()

    def test_slot_comes_back(self, relay: Relay):
        gate = Gate()
        relay.upstream.script("deepseek", holding(gate, 1))
        relay.wait_active_streams(0)
        stream = relay.begin()
        events_of(stream, 1)
        assert relay.active_streams() == 1
        stream.reset()
        soon(lambda: relay.active_streams() == 0, relay.active_streams, "a free slot")


class TestContinue:
    @both_ways
    @pytest.mark.parametrize("by_key", [False, True])
    def test_runs_on_and_can_be_resumed_to_the_end(self, relay: Relay, leave: Leave, by_key: bool):
        gate = Gate()
        relay.upstream.script("deepseek", holding(gate, 2))
        key = {"Idempotency-Key": f"on-{leave.__name__}-{time.monotonic_ns()}"}
        stream = relay.begin(headers=key) if by_key else relay.begin(on_disconnect="continue")
        completion_id = events_of(stream, 2)[0].json()["id"]
        leave(stream)
        gate.release()
        (exchange,) = relay.upstream.wait_for(lambda journal: journal if journal[0].over else None) or ()
        assert exchange.completion_tokens == len(PIECES)
        with relay.events(completion_id, 2) as again:
            rest = collect(again)
        assert (rest.text, rest.finish, rest.done) == ("three four", "stop", True)
        assert relay.detail(completion_id)[2]["status"] == "completed"

    def test_before_the_first_content(self, relay: Relay):
        gate = Gate()
        relay.upstream.script("deepseek", holding(gate, 0))
        client = relay.send(stream=True, on_disconnect="continue")
        gate.wait_reached()
        completion_id = relay.running_id()
        rst(client)
        gate.release()
        assert settled(relay, completion_id)["status"] == "completed"

    def test_one_that_does_not_stream(self, relay: Relay):
        gate = Gate()
        relay.upstream.script("deepseek", holding(gate, 1))
        client = relay.send(stream=False, on_disconnect="continue")
        gate.wait_reached()
        completion_id = relay.running_id()
        fin(client)
        gate.release()
        assert settled(relay, completion_id)["status"] == "completed"

    def test_is_cancelled_when_nobody_came_back_in_time(self, hasty: Relay):
        gate = Gate()
        hasty.upstream.script("deepseek", holding(gate, 1))
        stream = hasty.begin(on_disconnect="continue")
        completion_id = events_of(stream, 1)[0].json()["id"]
        left_at_s = time.monotonic()
        stream.reset()
        exchange = hasty.upstream.wait_hung_up("deepseek")
        assert exchange.hung_up_at_s is not None
        # DISCONNECT_GRACE is 0.4 s here.
        assert exchange.hung_up_at_s - left_at_s > 0.35
        detail = hasty.detail(completion_id)[2]
        assert detail["attempts"][0]["end"] in ("client_gone", None)

    def test_whoever_comes_back_arms_the_grace_again(self, hasty: Relay):
        gate = Gate()
        hasty.upstream.script("deepseek", holding(gate, 1))
        stream = hasty.begin(on_disconnect="continue")
        completion_id = events_of(stream, 1)[0].json()["id"]
        left_at_s = stream.reset()
        hasty.let_it_notice()
        with hasty.events(completion_id, 1) as reader:
            # Its keep-alive is due when the first grace would have been over.
            assert next(reader.lines()).data == b": ping"
        assert time.monotonic() - left_at_s > 0.45
        with hasty.events(completion_id, 1) as reader:
            gate.release()
            assert collect(reader).finish == "stop"
