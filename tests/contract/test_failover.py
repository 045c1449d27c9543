"""Contract 3 and 4: nothing is committed before the first content; until then the next provider may answer."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.contract.stream_fixtures import Relay, events_of
from tests.sse_answer import collect
from tests.upstream import KEEP_ALIVE, Answer, Gate, Hold, Rst, Scenario, UpstreamRequest, healthy, named, scripted
from tests.upstream.framing import response
from tests.upstream.reply import Reply
from tests.upstream.steps import Send, Step
from tests.upstream.vendor import dumps
from tests.waiting import HANG_S

TEXT = "At six, says the owl."
ATTEMPT = {
    "provider",
    "model",
    "started_at",
    "ttft_ms",
    "ended_at",
    "end",
    "end_reason",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "usage_source",
    "cost",
}


def no_content(gate: Gate, *ends: Step) -> Scenario:
    """Say everything that is not content: comments, a role, empty deltas, nulls; wait; then end."""

    @named("no-content", "everything but content")
    def scenario(request: UpstreamRequest) -> Iterator[Step]:
        reply = Reply(request, Answer(text=TEXT, reasoning=""))
        yield reply.head()
        yield reply.raw(KEEP_ALIVE)
        empty: tuple[dict[str, Any], ...] = (
            {"role": "assistant", "content": ""},
            {"role": "assistant"},
            {},
            {"content": None, "reasoning_content": None, "refusal": None, "tool_calls": None},
            {"content": "", "reasoning_content": "", "tool_calls": []},
        )
        for delta in empty:
            yield reply.raw(b"data: " + dumps(reply.vendor.chunk(request, delta)) + b"\n\n")
        yield reply.raw(KEEP_ALIVE * 3)
        yield Hold(gate)
        yield from ends

    return scenario


class TestBeforeTheFirstContent:
    def test_nothing_is_committed(self, relay: Relay):
        gate = Gate()
        relay.upstream.script("deepseek", no_content(gate, Rst()))
        with ThreadPoolExecutor(1) as pool:
            pending = pool.submit(relay.begin)
            gate.wait_reached()
            # A request later is answered; this one's head is still to come.
            assert relay.detail(relay.running_id())[2]["status"] == "in_progress"
            assert not pending.done()
            gate.release()
            with pending.result(HANG_S) as stream:
                answer = collect(stream)
        assert stream.headers["x-promptcraft-provider"] == "zai"
        assert stream.headers["x-promptcraft-fallback-count"] == "1"
        assert (answer.finish, answer.done) == ("stop", True)
        assert answer.ids == list(range(1, len(answer.ids) + 1))
        assert {chunk["model"] for chunk in answer.chunks} == {"glm-4-32b-0414-128k"}

    def test_nothing_of_it_is_in_the_answer(self, relay: Relay):
        gate = Gate()
        gate.release()
        relay.upstream.script("deepseek", no_content(gate, Rst()))
        relay.upstream.script("zai", healthy(TEXT))
        with relay.begin() as stream:
            body = stream.read()
        assert body.count(b'"role"') == 1
        assert b"deepseek" not in body
        assert body.startswith(b"id: 1\n")

    @pytest.mark.parametrize("stream", [True, False])
    def test_true_status_when_nobody_answers(self, relay: Relay, stream: bool):
        gate = Gate()
        gate.release()
        relay.upstream.script("deepseek", no_content(gate, Rst()))
        relay.upstream.script("zai", "status-429")
        relay.upstream.script("openai", "status-503")
        status, headers, body = relay.whole(stream=stream)
        error = body["error"]
        assert (status, error["type"], error["code"]) == (502, "provider_error", "all_providers_failed")
        assert [(one["provider"], one["end_reason"]) for one in error["attempts"]] == [
            ("deepseek", "stream_cut"),
            ("zai", "rate_limited"),
            ("openai", "overloaded"),
        ]
        # The first had taken the prompt and may send a bill for it.
        assert (headers["x-should-retry"], error["retryable"]) == ("false", False)
        assert error["request_id"] == headers["x-request-id"]

    def test_retry_that_bills_nobody_is_allowed(self, relay: Relay):
        for vendor in ("deepseek", "zai", "openai"):
            relay.upstream.script(vendor, "status-503")
        _, headers, body = relay.whole()
        assert "x-should-retry" not in headers
        assert body["error"]["retryable"] is True

    def test_attempts_are_told(self, relay: Relay):
        relay.upstream.script("deepseek", "status-402")
        relay.upstream.script("zai", "error-event-first")
        before = time.time()
        with relay.begin(stream_options={"include_usage": True}) as stream:
            answer = collect(stream)
        assert stream.headers["x-promptcraft-fallback-count"] == "2"
        attempts = relay.detail(stream.headers["x-promptcraft-completion-id"])[2]["attempts"]
        assert [set(attempt) for attempt in attempts] == [ATTEMPT] * 3
        assert [(one["provider"], one["model"], one["end"], one["end_reason"]) for one in attempts] == [
            ("deepseek", "deepseek-flash", "failover", "out_of_funds"),
            ("zai", "glm-4-32b-0414-128k", "failover", "stream_error"),
            ("openai", "gpt-6-luna", "complete", "complete"),
        ]
        started = [attempt["started_at"] for attempt in attempts]
        assert [before - 1, *started] == sorted([before - 1, *started])
        assert [attempt["ttft_ms"] is None for attempt in attempts] == [True, True, False]
        assert attempts[0]["cost"] == 0
        # Nobody knows what the second will bill for a prompt it took.
        assert attempts[1]["cost"] is None
        assert answer.usage is not None
        assert attempts[2]["cost"] == answer.usage["cost"]
        assert attempts[2]["total_tokens"] == answer.usage["total_tokens"]

    def test_short_pause_of_the_last_one_is_sat_out(self, relay: Relay):
        busy = response(429, b'{"error":{"message":"slow"}}', [("retry-after-ms", "300")])
        relay.upstream.script("deepseek", scripted(Send(busy)), times=1)
        with relay.begin(fallback=False) as stream:
            assert collect(stream).done
        refused, answered = relay.upstream.exchanges()
        assert refused.last_byte_at_s is not None
        assert answered.received_at_s - refused.last_byte_at_s >= 0.29
        assert stream.headers["x-promptcraft-fallback-count"] == "0"

    def test_clients_mistake_moves_nobody(self, relay: Relay):
        relay.upstream.script("deepseek", "status-422")
        status, _, body = relay.whole()
        assert (status, body["error"]["code"]) == (400, "rejected_by_provider")
        assert [exchange.vendor for exchange in relay.upstream.exchanges()] == ["deepseek"]


class TestAfterTheFirstContent:
    @pytest.mark.parametrize("on_interrupt", ["error", None])
    def test_stream_ends_with_one_error_and_no_done(self, relay: Relay, on_interrupt: str | None):
        relay.upstream.script("deepseek", "cut-by-reset")
        with relay.begin(on_interrupt=on_interrupt, stream_options={"include_usage": True}) as stream:
            answer = collect(stream)
        assert (stream.status, answer.done, answer.ended) == (200, False, "clean")
        last = answer.events[-1]
        assert last.event is None
        data = json.loads(last.data)
        assert set(data) == {"error", "choices"}
        assert data["choices"] == [{"index": 0, "delta": {}, "finish_reason": "error"}]
        assert set(data["error"]) >= {"message", "type", "code", "param", "request_id", "retryable", "retry_after"}
        assert data["error"]["request_id"] == stream.headers["x-request-id"]
        assert data["error"]["retryable"] is False
        assert answer.usage is None
        assert [exchange.vendor for exchange in relay.upstream.exchanges()] == ["deepseek"]

    def test_without_streaming_it_is_a_502(self, relay: Relay):
        relay.upstream.script("deepseek", "cut-by-reset")
        status, headers, body = relay.whole()
        assert (status, body["error"]["code"]) == (502, "stream_interrupted")
        assert headers["x-should-retry"] == "false"

    @pytest.mark.parametrize("kind", ["reasoning_content", "refusal", "tool_calls"])
    def test_anything_that_is_said_is_content(self, relay: Relay, kind: str):
        said: dict[str, Any] = {
            "reasoning_content": "hm",
            "refusal": "no",
            "tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}],
        }

        @named("one-delta", "one delta, then RST")
        def scenario(request: UpstreamRequest) -> Iterator[Step]:
            reply = Reply(request)
            yield reply.head()
            yield reply.raw(b"data: " + dumps(reply.vendor.chunk(request, {kind: said[kind]})) + b"\n\n")
            yield Rst()

        relay.upstream.script("deepseek", scenario)
        with relay.begin() as stream:
            answer = collect(stream)
        assert answer.chunks[0]["choices"][0]["delta"] == {"role": "assistant", kind: said[kind]}
        assert (answer.finish, answer.done) == ("error", False)
        assert len(relay.upstream.exchanges()) == 1


class TestHeaderHold:
    """0.1 s here."""

    def test_head_and_a_ping_go_out(self, strict: Relay):
        gate = Gate()
        strict.upstream.script("deepseek", healthy(TEXT, gate=gate, gate_after=0))
        with strict.begin(as_user=strict.new_user()) as stream:
            held_s = stream.headed_at_s - stream.sent_at_s
            ping = next(stream.lines())
            assert stream.status == 200
            assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
            assert stream.headers["x-promptcraft-provider"] == "deepseek"
            assert ping.data == b": ping"
            gate.release()
            answer = collect(stream)
        assert held_s > 0.09
        # A keep-alive is due after 15 s.
        assert ping.at_s - stream.headed_at_s < 10
        assert (answer.text, answer.done, answer.ids[0]) == (TEXT, True, 1)

    def test_later_failure_arrives_in_the_stream(self, hasty: Relay):
        gate = Gate()
        hasty.upstream.script("deepseek", no_content(gate, Rst()))
        with hasty.begin(fallback=False) as stream:
            gate.release()
            answer = collect(stream)
        assert (stream.status, answer.done, answer.finish) == (200, False, "error")
        assert answer.error is not None
        assert (answer.error["type"], answer.error["code"]) == ("provider_error", "all_providers_failed")
        assert [one["end_reason"] for one in answer.error["attempts"]] == ["stream_cut"]
        assert answer.ids == [1]

    def test_next_provider_may_still_answer(self, hasty: Relay):
        gate = Gate()
        hasty.upstream.script("deepseek", no_content(gate, Rst()))
        hasty.upstream.script("zai", healthy(TEXT))
        with hasty.begin() as stream:
            gate.release()
            answer = collect(stream)
        assert (answer.text, answer.done) == (TEXT, True)
        assert {chunk["model"] for chunk in answer.chunks} == {"glm-4-32b-0414-128k"}

    def test_without_streaming_the_status_stays_true(self, hasty: Relay):
        gate = Gate()
        hasty.upstream.script("deepseek", no_content(gate, Rst()))
        with ThreadPoolExecutor(1) as pool:
            pending = pool.submit(hasty.whole, fallback=False)
            gate.wait_reached()
            with hasty.events(hasty.running_id()) as stream:
                # Past the hold, by the ping of a reader that came later.
                assert next(stream.lines()).data == b": ping"
                gate.release()
            status, _, body = pending.result(HANG_S)
        assert (status, body["error"]["code"]) == (502, "all_providers_failed")

    def test_slot_comes_back_when_it_fails_then(self, hasty: Relay):
        """Contract 5: a slot is given back when we fail before the first content, however late that is."""
        _, before, _ = hasty.call("/api/v2/chat/completions/?limit=1")
        gate = Gate()
        hasty.upstream.script("deepseek", no_content(gate, Rst()))
        with hasty.begin(fallback=False) as stream:
            gate.release()
            assert collect(stream).error is not None
        _, after, _ = hasty.call("/api/v2/chat/completions/?limit=1")
        assert int(after["x-ratelimit-remaining"]) >= int(before["x-ratelimit-remaining"])

    def test_client_that_left_meanwhile_is_gone(self, hasty: Relay):
        gate = Gate()
        hasty.upstream.script("deepseek", healthy(TEXT, gate=gate, gate_after=0))
        stream = hasty.begin()
        left_at_s = stream.reset()
        exchange = hasty.upstream.wait_hung_up("deepseek")
        assert exchange.hung_up_at_s is not None
        assert exchange.hung_up_at_s - left_at_s < 1.0


def test_events_of_the_first_provider_never_follow_those_of_the_second(relay: Relay):
    """The connection that failed is closed before the next one is asked."""
    gate = Gate()
    relay.upstream.script("deepseek", no_content(gate, Send(b"2\r\n{}\r\n"), Rst()))
    relay.upstream.script("zai", healthy(TEXT))
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(relay.begin)
        gate.wait_reached()
        gate.release()
        with pending.result(HANG_S) as stream:
            (first,) = events_of(stream, 1)
            answer = collect(stream)
    assert first.json()["choices"][0]["delta"]["content"] + answer.text == TEXT
