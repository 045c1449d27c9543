"""The mock over the socket: always labelled, free, the same every time, and its rehearsed faults as real ones.

That it stays away where a real key is set and the chain does not name it: test_breaker.py. That nobody serves
where there is neither a key nor its name: test_health.py. That it serves in development: test_serve.py.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.limit_fixtures import CALM, COMPLETIONS, Door, error_of, rows_of, started
from tests.server import ServerProcess
from tests.sse_answer import Collected, collect
from tests.upstream import UpstreamServer

FIRST_TOKEN_S = 0.4
GAP_S = 0.3


@pytest.fixture(scope="module")
def shared() -> Iterator[Door]:
    with UpstreamServer() as upstream:
        deadlines = {"FIRST_TOKEN_TIMEOUT": str(FIRST_TOKEN_S), "GAP_TIMEOUT": str(GAP_S)}
        server = ServerProcess(
            CALM | deadlines | {"PROVIDER_CHAIN": "zai,mock,deepseek,openai"},
            upstream=upstream,
            vendors=["zai", "deepseek", "openai"],
        )
        with started(server):
            yield Door(server, upstream)


@pytest.fixture
def door(shared: Door) -> Door:
    """Real providers with keys, and the mock that the chain names: DEBUG is 0."""
    shared.upstream.reset()
    return shared


def rehearse(
    door: Door, scenario: str | None = None, *, max_tokens: int | None = 5, **fields: Any
) -> tuple[int, dict[str, str], Collected | None, Any]:
    """Ask the mock alone for a stream and return its status, headers and answer, or its error."""
    headers = {} if scenario is None else {"X-Mock-Scenario": scenario}
    limit = {} if max_tokens is None else {"max_tokens": max_tokens}
    asked: dict[str, Any] = (
        {"model": "mock", "fallback": False, "stream_options": {"include_usage": True}} | limit | fields
    )
    with door.begin(headers=headers, **asked) as stream:
        if stream.status != 200:
            return stream.status, stream.headers, None, stream.json()
        return 200, stream.headers, collect(stream), None


def answered(door: Door, scenario: str | None = None, **fields: Any) -> Collected:
    status, headers, answer, error = rehearse(door, scenario, **fields)
    assert (status, error) == (200, None)
    assert answer is not None
    assert headers["x-promptcraft-provider"] == headers["x-promptcraft-model"] == "mock"
    assert labels_of(answer) == [True] + [None] * (len(answer.chunks) - 1)
    assert {chunk["model"] for chunk in answer.chunks if "model" in chunk} == {"mock"}
    return answer


def labels_of(answer: Collected) -> list[Any]:
    return [chunk.get("promptcraft", {}).get("degraded") for chunk in answer.chunks]


class TestAnswer:
    def test_is_labelled_in_its_first_chunk_and_costs_nothing(self, door: Door) -> None:
        answer = answered(door)
        assert answer.done
        assert answer.usage is not None
        assert answer.usage["cost"] == 0
        assert answer.usage["completion_tokens"] == 5
        assert answer.finish == "length"
        ((cost,),) = rows_of(
            door.server, "SELECT cost_nano_usd FROM chat_completion WHERE id = ?", answer.chunks[0]["id"]
        )
        assert cost == 0

    def test_is_labelled_without_streaming_too(self, door: Door) -> None:
        status, headers, body = door.whole(model="mock", max_tokens=3)
        assert (status, headers["x-promptcraft-provider"], headers["x-promptcraft-model"]) == (200, "mock", "mock")
        assert (body["model"], body["promptcraft"], body["usage"]["cost"]) == ("mock", {"degraded": True}, 0)
        # And whenever it is read again.
        assert door.call(f"{COMPLETIONS}{body['id']}/")[2]["promptcraft"] == {"degraded": True}

    def test_is_the_same_every_time(self, door: Door) -> None:
        def said() -> list[Any]:
            answer = answered(door)
            return [chunk["choices"] for chunk in answer.chunks] + [answer.usage]

        assert said() == said()

    def test_says_what_it_is_and_quotes_the_question(self, door: Door) -> None:
        question = [{"role": "user", "content": "Is the water high?"}]
        answer = answered(door, max_tokens=None, stop="Tokens", messages=question)
        assert (answer.finish, answer.done) == ("stop", True)
        assert "mock" in answer.text
        assert "DEEPSEEK_API_KEY" in answer.text
        assert "Is the water high?" in answer.text

    def test_comes_in_pieces_as_a_real_one(self, door: Door) -> None:
        events = answered(door, max_tokens=8).events
        assert len(events) > 8
        assert events[-1].at_s > events[0].at_s


class TestItsPlace:
    def test_is_where_the_chain_names_it(self, door: Door) -> None:
        status, headers, body = door.whole()
        assert (status, headers["x-promptcraft-provider"]) == (200, "zai")
        assert "promptcraft" not in body

    def test_it_stands_in_labelled_when_the_others_fail(self, door: Door) -> None:
        door.upstream.script("zai", "status-500")
        with door.begin(max_tokens=5) as stream:
            answer = collect(stream)
        assert stream.headers["x-promptcraft-provider"] == "mock"
        assert stream.headers["x-promptcraft-fallback-count"] == "1"
        assert labels_of(answer)[0] is True

    def test_its_faults_are_failed_over_like_any(self, door: Door) -> None:
        status, headers, body = door.whole(model="mock", headers={"X-Mock-Scenario": "error_first"})
        assert (status, headers["x-promptcraft-provider"]) == (200, "zai")
        assert [one["end_reason"] for one in body["attempts"]] == ["server_error", "complete"]

    def test_it_takes_no_attempt_from_the_real_ones(self, door: Door) -> None:
        for vendor in ("zai", "deepseek"):
            door.upstream.script(vendor, "status-500")
        status, headers, body = door.whole(model="mock", headers={"X-Mock-Scenario": "error_first"})
        assert (status, headers["x-promptcraft-provider"]) == (200, "openai")
        assert [one["provider"] for one in body["attempts"]] == ["mock", "zai", "deepseek", "openai"]

    @pytest.mark.parametrize("scenario", ["error_first", "cut_after_n", "slow_first_token", "tool_call"])
    def test_real_providers_do_not_rehearse(self, door: Door, scenario: str) -> None:
        with door.begin(headers={"X-Mock-Scenario": scenario}) as stream:
            answer = collect(stream)
        assert stream.headers["x-promptcraft-provider"] == "zai"
        assert (answer.done, answer.finish) == (True, "stop")
        assert "x-mock-scenario" not in door.upstream.journal[-1].headers

    def test_it_is_listed(self, door: Door) -> None:
        listed = {model["id"]: model for model in door.call("/api/v2/models/")[2]["data"]}
        assert listed["mock"]["provider"] == "mock"
        assert listed["mock"]["pricing"] == {"input": 0, "cached_input": 0, "output": 0}


class TestScenarios:
    @pytest.mark.parametrize(
        ("scenario", "tokens", "reason"),
        [
            ("cut_after_n", 3, "stream_cut"),
            ("cut_after_1", 1, "stream_cut"),
            ("cut_after_4", 4, "stream_cut"),
            ("error_after_n", 3, "stream_error"),
            ("error_after_2", 2, "stream_error"),
            ("stall", 3, "gap_timeout"),
        ],
    )
    def test_faults_after_content_are_in_the_stream(self, door: Door, scenario: str, tokens: int, reason: str) -> None:
        answer = answered(door, scenario)
        assert (answer.done, answer.finish) == (False, "error")
        assert answer.error is not None
        assert answer.error["code"] == "stream_interrupted"
        assert [one["end_reason"] for one in answer.error["attempts"]] == [reason]
        assert sum(bool(chunk["choices"][0]["delta"].get("content")) for chunk in answer.chunks) == tokens
        whole = answered(door)
        assert whole.text.startswith(answer.text)

    @pytest.mark.parametrize("scenario", ["cut_after_0", "error_after_0", "error_first"])
    def test_faults_before_content_have_their_status(self, door: Door, scenario: str) -> None:
        status, headers, _, body = rehearse(door, scenario)
        error = error_of(body)
        assert (status, error["code"]) == (502, "all_providers_failed")
        assert [one["provider"] for one in error["attempts"]] == ["mock"]
        assert headers["content-type"] == "application/json"

    def test_slow_first_token_meets_the_deadline(self, door: Door) -> None:
        began_at_s = time.monotonic()
        status, _, _, body = rehearse(door, "slow_first_token")
        assert (status, error_of(body)["code"]) == (504, "first_token_timeout")
        assert time.monotonic() - began_at_s >= FIRST_TOKEN_S

    def test_rate_limited_then_ok_is_waited_out(self, door: Door) -> None:
        status, headers, body = door.whole(
            model="mock", fallback=False, max_tokens=3, headers={"X-Mock-Scenario": "rate_limited_then_ok"}
        )
        assert (status, headers["x-promptcraft-provider"]) == (200, "mock")
        assert [one["end_reason"] for one in body["attempts"]] == ["rate_limited", "complete"]

    def test_reasoning_comes_first(self, door: Door) -> None:
        answer = answered(door, "reasoning", max_tokens=26)
        assert answer.reasoning
        assert answer.text
        kinds = ["content" in chunk["choices"][0]["delta"] for chunk in answer.chunks if chunk["choices"]][1:-1]
        assert kinds == sorted(kinds)
        assert answer.usage is not None
        assert 0 < answer.usage["completion_tokens_details"]["reasoning_tokens"] < 26

    def test_tool_call_is_a_call(self, door: Door) -> None:
        tool = {
            "type": "function",
            "function": {"name": "tide", "parameters": {"properties": {"at": {"type": "string"}}}},
        }
        answer = answered(door, "tool_call", tools=[tool], max_tokens=None)
        assert (answer.finish, answer.text) == ("tool_calls", "")
        assert answer.tool_calls[0]["name"] == "tide"
        assert set(json.loads(answer.tool_calls[0]["arguments"])) == {"at"}

    def test_no_usage_is_estimated(self, door: Door) -> None:
        _, _, body = door.whole(model="mock", max_tokens=4, headers={"X-Mock-Scenario": "no_usage"})
        assert body["usage_source"] == "estimated"
        assert body["usage"]["completion_tokens"] > 0
        assert body["usage"]["cost"] == 0

    def test_long_is_longer_than_any_other(self, door: Door) -> None:
        answer = answered(door, "long", max_tokens=150)
        assert answer.finish == "length"
        assert sum(bool(chunk["choices"][0]["delta"].get("content")) for chunk in answer.chunks[:-1]) == 150

    @pytest.mark.parametrize(
        "scenario", ["nonsense", "cut_after_", "cut_after_x", "stall_3", "STALL", "cut_after_99999", "long,stall"]
    )
    def test_an_unknown_one_is_named(self, door: Door, scenario: str) -> None:
        status, _, _, body = rehearse(door, scenario)
        error = error_of(body)
        assert (status, error["code"], error["param"]) == (400, "invalid_value", "X-Mock-Scenario")
        assert "cut_after_n" in error["message"]

    @pytest.mark.parametrize("scenario", ["", "   "])
    def test_an_empty_one_is_none(self, door: Door, scenario: str) -> None:
        assert answered(door, scenario).done
