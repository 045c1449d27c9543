"""Contract 3: a streaming answer, to the byte."""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.stream_fixtures import Relay, events_of
from tests.each import each
from tests.sse_answer import collect
from tests.upstream import Answer, Gate, Send, Tokens, ToolCall, UpstreamRequest, healthy, named
from tests.upstream.reply import Reply

ZAI = "glm-4-32b-0414-128k"
"""A model of a vendor that sends no fingerprint: its chunks are the contract's own example."""
USAGE = Tokens(prompt=1000, completion=200, cached=640, reasoning=120)
FINGERPRINT = b'"system_fingerprint":"fp_sim",'

HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache, no-transform",
    "x-accel-buffering": "no",
    "x-promptcraft-provider": "zai",
    "x-promptcraft-model": ZAI,
    "x-promptcraft-fallback-count": "0",
    "transfer-encoding": "chunked",
}
EXPOSED = {
    "x-promptcraft-completion-id",
    "x-promptcraft-provider",
    "x-promptcraft-model",
    "x-promptcraft-fallback-count",
    "ratelimit",
    "ratelimit-policy",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
}


def chunk(completion_id: str, created: str, model: str, rest: str) -> str:
    head = f'"id":"{completion_id}","object":"chat.completion.chunk","created":{created},"model":"{model}"'
    return f'{{{head},"choices":{rest}}}'


def choice(delta: str, finish: str = "null") -> str:
    return f'[{{"index":0,"delta":{delta},"finish_reason":{finish}}}]'


def said(*pieces: str, **fields: Any) -> Answer:
    return Answer(pieces=pieces, reasoning="", **fields)


class TestFraming:
    def test_every_byte_is_the_contracts(self, relay: Relay):
        relay.upstream.script("zai", healthy(answer=said("Hel", "lo", usage=USAGE)))
        before = int(time.time())
        with relay.begin(model=ZAI, stream_options={"include_usage": True}) as stream:
            body = stream.read().decode()
        completion_id = stream.headers["x-promptcraft-completion-id"]
        found = re.search(r'"created":(\d+),', body)
        assert found is not None
        created = found[1]
        assert before <= int(created) <= int(time.time())
        usage = (
            '"usage":{"prompt_tokens":1000,"completion_tokens":200,"total_tokens":1200,'
            '"prompt_tokens_details":{"cached_tokens":640},"completion_tokens_details":{"reasoning_tokens":120},'
            '"cost":0.00012}'
        )
        expected = [
            chunk(completion_id, created, ZAI, choice('{"role":"assistant","content":"Hel"}')),
            chunk(completion_id, created, ZAI, choice('{"content":"lo"}')),
            chunk(completion_id, created, ZAI, choice("{}", '"stop"')),
            chunk(completion_id, created, ZAI, "[]," + usage),
        ]
        events = [f"id: {number}\ndata: {data}\n\n" for number, data in enumerate(expected, 1)]
        assert body == "".join(events) + "data: [DONE]\n\n"

    def test_completion_id_is_ours(self, relay: Relay):
        with relay.begin(model=ZAI) as stream:
            answer = collect(stream)
        completion_id = stream.headers["x-promptcraft-completion-id"]
        assert re.fullmatch(r"chatcmpl-[A-Za-z0-9]{16,}", completion_id)
        assert {chunk["id"] for chunk in answer.chunks} == {completion_id}
        assert len({chunk["created"] for chunk in answer.chunks}) == 1

    @pytest.mark.parametrize("vendor", ["deepseek", "openai"])
    def test_fingerprint_of_the_provider_is_the_only_addition(self, relay: Relay, vendor: str):
        model = {"deepseek": "deepseek-flash", "openai": "gpt-6-luna"}[vendor]
        with relay.begin(model=model) as stream:
            body = stream.read()
        assert body.count(FINGERPRINT) == body.count(b"chat.completion.chunk")
        first = json.loads(body.replace(FINGERPRINT, b"").split(b"\n")[1].removeprefix(b"data: "))
        assert list(first) == ["id", "object", "created", "model", "choices"]
        assert list(first["choices"][0]) == ["index", "delta", "finish_reason"]

    def test_events_are_sent_as_they_come(self, relay: Relay):
        gate = Gate()
        relay.upstream.script("zai", healthy(answer=said("a", "b", "c"), gate=gate))
        gate.release(1)
        with relay.begin(model=ZAI) as stream:
            events = stream.events()
            for number, piece in enumerate("abc", 1):
                assert next(events).json()["choices"][0]["delta"]["content"] == piece
                assert gate.reached <= number + 1
                gate.release(1)
            assert [event.data == "[DONE]" for event in events] == [False, True]
        assert stream.ended == "clean"

    def test_long_answer_has_every_token(self, relay: Relay):
        pieces = tuple(f"{number} " for number in range(5_000))
        relay.upstream.script("deepseek", healthy(answer=said(*pieces)))
        with relay.begin() as stream:
            answer = collect(stream)
        assert answer.text == "".join(pieces)
        assert answer.ids[0] == 1
        assert (answer.finish, answer.done) == ("stop", True)

    def test_one_delta_of_half_a_mebibyte(self, relay: Relay):
        text = "owl 🦉 and café, " * 30_000
        relay.upstream.script("zai", healthy(answer=said(text)))
        with relay.begin(model=ZAI) as stream:
            assert collect(stream).text == text


class TestHeaders:
    def test_they_are_exactly_these(self, relay: Relay):
        with relay.begin(model=ZAI, headers={"Accept-Encoding": "gzip, br"}) as stream:
            stream.read()
        assert stream.status == 200
        named_ones = {name: stream.headers[name] for name in HEADERS}
        assert named_ones == HEADERS
        servers_own = {"date", "server", "connection"}
        everywhere = {
            "x-request-id",
            "traceparent",
            "x-content-type-options",
            "x-frame-options",
            "referrer-policy",
            "cross-origin-opener-policy",
            "cross-origin-resource-policy",
            "content-security-policy",
            "access-control-expose-headers",
            # Cross-origin rules make an answer depend on its Origin.
            "vary",
        }
        assert set(stream.headers) - servers_own - everywhere == set(HEADERS) | EXPOSED

    def test_never_encoded_nor_sized(self, relay: Relay):
        with relay.begin(headers={"Accept-Encoding": "gzip, br, zstd"}) as stream:
            assert "content-encoding" not in stream.headers
            assert "content-length" not in stream.headers

    def test_limits_and_identity_are_exposed(self, relay: Relay):
        with relay.begin() as stream:
            exposed = {name.strip().lower() for name in stream.headers["access-control-expose-headers"].split(",")}
        assert EXPOSED <= exposed
        assert EXPOSED <= set(stream.headers)

    def test_rate_limit_headers_agree(self, relay: Relay):
        with relay.begin() as stream:
            headers = stream.headers
        found = re.fullmatch(r'"chat";r=(\d+);t=(\d+)', headers["ratelimit"])
        assert found is not None
        assert (headers["x-ratelimit-remaining"], headers["x-ratelimit-reset"]) == found.groups()
        assert headers["ratelimit-policy"] == f'"chat";q={headers["x-ratelimit-limit"]};w=60'

    @each(
        ("given", "kept"),
        [("tab-7.of_9", True), ("x" * 128, True), ("x" * 129, False), ("a b", False), ("é", False), ("", False)],
    )
    def test_request_id_is_the_clients_if_it_is_one(self, relay: Relay, given: str, kept: bool):
        with relay.open("/api/v2/models/", headers={"X-Request-Id": given}) as response:
            response.read()
        assert (response.headers["x-request-id"] == given) is kept
        assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", response.headers["x-request-id"])

    def test_takes_part_in_a_trace(self, relay: Relay):
        trace = "4bf92f3577b34da6a3ce929d0e0e4736"
        with relay.begin(headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}) as stream:
            found = re.fullmatch(rf"00-{trace}-([0-9a-f]{{16}})-01", stream.headers["traceparent"])
        assert found is not None
        assert found[1] != "00f067aa0ba902b7"


class TestWhatIsSaid:
    @pytest.mark.parametrize("model", ["deepseek-flash", "glm-4.7", "gpt-6-luna"])
    def test_role_is_in_the_first_delta_alone(self, relay: Relay, model: str):
        with relay.begin(model=model) as stream:
            answer = collect(stream)
        roles = [one["choices"][0]["delta"].get("role") for one in answer.chunks]
        assert roles == ["assistant", *[None] * (len(roles) - 1)]

    def test_model_is_the_one_that_answers(self, relay: Relay):
        relay.upstream.script("deepseek", "status-503")
        with relay.begin(model="deepseek-v4-pro") as stream:
            answer = collect(stream)
        assert {one["model"] for one in answer.chunks} == {ZAI}
        assert stream.headers["x-promptcraft-model"] == ZAI

    def test_reasoning_stays_apart_from_content(self, relay: Relay):
        thought = Answer(pieces=("six", " o'clock"), reasoning="Count the\nhens. Then the owl.")
        relay.upstream.script("deepseek", healthy(answer=thought))
        with relay.begin(thinking={"type": "enabled"}) as stream:
            answer = collect(stream)
        assert (answer.reasoning, answer.text) == ("Count the\nhens. Then the owl.", "six o'clock")
        deltas = [one["choices"][0]["delta"] for one in answer.chunks]
        assert set(deltas[0]) == {"role", "reasoning_content"}
        assert all(len(delta) == 1 for delta in deltas[1:-1])

    def test_refusal(self, relay: Relay):
        relay.upstream.script("openai", healthy(answer=Answer(refusal="I cannot help with that owl.")))
        with relay.begin(model="gpt-6-luna") as stream:
            answer = collect(stream)
        assert (answer.refusal, answer.text, answer.finish) == ("I cannot help with that owl.", "", "stop")

    @pytest.mark.parametrize(("model", "vendor"), [("deepseek-flash", "deepseek"), ("glm-4.7", "zai")])
    def test_tool_calls_whatever_the_vendors_manner(self, relay: Relay, model: str, vendor: str):
        calls = (
            ToolCall("call_a", "tide", ("", '{"po', 'rt":"Brest"', ',"note":"caf\u00e9 🦉"}')),
            ToolCall("call_b", "moon", ("{}",)),
        )
        relay.upstream.script(vendor, healthy(answer=Answer(tool_calls=calls, reasoning="")))
        tools = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in ("tide", "moon")]
        with relay.begin(model=model, tools=tools) as stream:
            answer = collect(stream)
        assert answer.finish == "tool_calls"
        assert answer.text == ""
        assert answer.tool_calls == {
            0: {"id": "call_a", "name": "tide", "arguments": '{"port":"Brest","note":"café 🦉"}'},
            1: {"id": "call_b", "name": "moon", "arguments": "{}"},
        }
        first = answer.chunks[0]["choices"][0]["delta"]
        assert (first["role"], first["tool_calls"][0]["type"]) == ("assistant", "function")

    @pytest.mark.parametrize("finish", ["stop", "length", "tool_calls", "content_filter"])
    def test_finish_reason_is_the_providers_and_once(self, relay: Relay, finish: str):
        relay.upstream.script("openai", healthy(answer=said("So", " far", finish=finish)))
        with relay.begin(model="gpt-6-luna") as stream:
            answer = collect(stream)
        assert (answer.finishes, answer.done) == ([finish], True)
        assert answer.chunks[-1]["choices"] == [{"index": 0, "delta": {}, "finish_reason": finish}]

    def test_text_on_the_finish_chunk_is_said_before_it(self, relay: Relay):
        relay.upstream.script("zai", healthy(answer=said("a", finish_content="z")))
        with relay.begin(model=ZAI) as stream:
            answer = collect(stream)
        assert answer.text == "az"
        assert [one["choices"][0]["finish_reason"] for one in answer.chunks] == [None, None, "stop"]

    def test_no_text_at_all_is_an_answer(self, relay: Relay):
        relay.upstream.script("deepseek", healthy(answer=said()))
        with relay.begin() as stream:
            answer = collect(stream)
        assert (answer.text, answer.finish, answer.done) == ("", "stop", True)
        assert answer.chunks[0]["choices"][0]["delta"]["role"] == "assistant"


NASTY = (
    "plain",
    " caf\u00e9 na\u00efve \u6771\u4eac \U0001f989",
    '\\"quoted\\" {"json":true}',
    "\u0085\u2028\u2029",
    "\x00\x0b\x0c\x1c\x7f\ufeff",
    "data: x\n\nid: 9\r\n: c\r",
    "[DONE]",
    "\u202e\u200d\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "e\u0301",
)


def in_random_pieces(seed: int) -> Any:
    """Cut a stream's bytes, framing and all, at random places."""

    @named(f"cuts-{seed}", "a whole stream cut at random")
    def scenario(request: UpstreamRequest) -> Iterator[Send]:
        reply = Reply(request, said(*NASTY, usage=USAGE))
        data = b"".join(reply.framed(event.wire) for event in reply.events) + b"0\r\n\r\n"
        cuts = sorted(random.Random(seed).sample(range(1, len(data)), 60))
        yield reply.head()
        for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
            yield Send(data[start:end])

    return scenario


class TestBytes:
    @pytest.mark.parametrize("seed", range(4))
    @pytest.mark.parametrize(("model", "vendor"), [("deepseek-flash", "deepseek"), ("gpt-6-luna", "openai")])
    def test_text_is_the_providers_however_cut(self, relay: Relay, model: str, vendor: str, seed: int):
        relay.upstream.script(vendor, in_random_pieces(seed))
        with relay.begin(model=model, stream_options={"include_usage": True}) as stream:
            answer = collect(stream)
        assert answer.text == "".join(NASTY)
        assert answer.usage is not None
        assert answer.usage["total_tokens"] == USAGE.total
        assert answer.ids == list(range(1, len(NASTY) + 3))

    def test_line_separators_travel_escaped(self, relay: Relay):
        relay.upstream.script("zai", healthy(answer=said("a\u0085b\u2028", "c\u2029d", "\u0085")))
        with relay.begin(model=ZAI) as stream:
            body = stream.read()
        for raw in ("\u0085", "\u2028", "\u2029"):
            assert raw.encode() not in body
        assert body.count(b"\\u0085") == 2
        assert b"a\\u0085b\\u2028" in body
        assert b"c\\u2029d" in body
        # A splitter that takes every line end of Unicode sees the same lines.
        assert body.decode().splitlines() == body.decode().split("\n")[:-1]

    def test_other_text_travels_as_it_is(self, relay: Relay):
        relay.upstream.script("zai", healthy(answer=said("caf\u00e9 \U0001f989")))
        with relay.begin(model=ZAI) as stream:
            assert "caf\u00e9 \U0001f989".encode() in stream.read()

    def test_half_a_surrogate_pair_in_each_of_two_deltas(self, relay: Relay):
        relay.upstream.script("deepseek", "surrogates-split")
        with relay.begin() as stream:
            assert collect(stream).text == "owl 🦉 end"


class TestUsage:
    @pytest.mark.parametrize(
        ("model", "vendor", "costs"),
        [
            # 360 uncached, 640 cached, 200 completion tokens, at USD per million tokens.
            ("glm-4.7", "zai", {(360 * 0.60 + 640 * 0.11 + 200 * 2.20) / 1e6}),
            ("gpt-6-luna", "openai", {(360 * 0.10 + 640 * 0.01 + 200 * 0.50) / 1e6}),
            # Twice as much in the vendor's peak hours.
            ("deepseek-flash", "deepseek", {times * (360 * 0.15 + 640 * 0.003 + 200 * 0.60) / 1e6 for times in (1, 2)}),
            ("gpt-9-of-the-future", "openai", {None}),
        ],
    )
    def test_cost_is_the_price_tables(self, relay: Relay, model: str, vendor: str, costs: set[float | None]):
        relay.upstream.script(vendor, healthy(answer=said("a", "b", usage=USAGE)))
        with relay.begin(model=model, stream_options={"include_usage": True}) as stream:
            answer = collect(stream)
        assert answer.usage is not None
        cost = answer.usage["cost"]
        # The ledger's number is a whole number of nano-USD.
        assert cost in {None if one is None else round(one, 9) for one in costs}
        assert relay.detail(stream.headers["x-promptcraft-completion-id"])[2]["usage"]["cost"] == cost

    @pytest.mark.parametrize(
        ("model", "options"),
        [
            ("deepseek-flash", None),
            ("deepseek-flash", {}),
            ("glm-4.7", {"include_usage": False}),
            ("gpt-6-luna", {"include_usage": None}),
        ],
    )
    def test_not_asked_for_is_not_sent_and_yet_known(self, relay: Relay, model: str, options: Any):
        with relay.begin(model=model, stream_options=options) as stream:
            answer = collect(stream)
        assert answer.done
        assert all("usage" not in one for one in answer.chunks)
        assert all(one["choices"] for one in answer.chunks)
        (exchange,) = relay.upstream.exchanges()
        assert exchange.json["stream_options"]["include_usage"] is True
        assert exchange.usage is not None
        usage = relay.detail(stream.headers["x-promptcraft-completion-id"])[2]["usage"]
        assert usage["completion_tokens"] == exchange.usage.completion

    def test_provider_that_counts_nothing_is_estimated(self, relay: Relay):
        relay.upstream.script("deepseek", "usage-missing")
        with relay.begin(stream_options={"include_usage": True}) as stream:
            answer = collect(stream)
        assert answer.usage is not None
        assert answer.usage["completion_tokens"] > 0
        assert relay.detail(stream.headers["x-promptcraft-completion-id"])[2]["usage_source"] == "estimated"


def test_one_token_that_stands_alone_is_sent_alone(relay: Relay):
    """Nothing waits for a timer or a full buffer."""
    gate = Gate()
    relay.upstream.script("deepseek", healthy(answer=said("first", "second"), gate=gate, gate_after=1))
    with relay.begin() as stream:
        gate.wait_reached()
        (event,) = events_of(stream, 1)
        assert event.json()["choices"][0]["delta"]["content"] == "first"
        gate.release()
        assert collect(stream).done
