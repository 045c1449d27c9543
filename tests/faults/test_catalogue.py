"""Every scenario of the simulator, streaming and not, alone and with a provider to fall back on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.faults.conftest import Relay
from tests.sse_answer import Collected, collect
from tests.upstream.catalogue import CATALOGUE
from tests.upstream.scenario import Outcome, Scenario

MODELS = {"deepseek": "deepseek-flash", "zai": "glm-4.7", "openai": "gpt-6-luna"}
CANARY = "sk-upstream-0001"


def cases(*outcomes: Outcome) -> list[Any]:
    """Return each scenario with the vendors that show it: one for transports, all for what vendors differ in."""
    return [
        pytest.param(scenario, vendor, id=f"{scenario.name}-{vendor}")
        for scenario in CATALOGUE.values()
        if scenario.outcome in outcomes
        for vendor in (scenario.vendors if scenario.group == "errors" else scenario.vendors[:1])
    ]


def body(scenario: Scenario, vendor: str, *, stream: bool, fallback: bool = False) -> dict[str, Any]:
    return {
        "model": f"{MODELS[vendor]}@{scenario.name}",
        "messages": [{"role": "user", "content": "When does the tide turn?"}],
        "stream": stream,
        "stream_options": {"include_usage": True} if stream else None,
        "fallback": fallback,
    }


def streamed(relay: Relay, request: dict[str, Any]) -> tuple[int, dict[str, str], Collected | None, dict[str, Any]]:
    with relay.server.open("/api/v2/chat/completions/", json=request, timeout_s=15) as stream:
        if stream.status == 200:
            answer = collect(stream)
            assert answer.ended is not None
            return 200, stream.headers, answer, {}
        return stream.status, stream.headers, None, json.loads(stream.read())


def whole(relay: Relay, request: dict[str, Any]) -> tuple[int, dict[str, str], dict[str, Any]]:
    return relay.server.call("/api/v2/chat/completions/", json=request, timeout_s=15)


def assert_envelope(error: dict[str, Any], vendor: str, scenario: Scenario, code: set[str]) -> None:
    assert set(error) >= {"message", "type", "code", "param", "request_id", "retryable", "retry_after"}
    assert error["code"] in code
    (attempt,) = {json.dumps(one, sort_keys=True) for one in error["attempts"]}
    seen = json.loads(attempt)
    assert seen["provider"] == vendor
    if scenario.failure is not None:
        assert seen["end_reason"] == scenario.failure
    assert CANARY not in json.dumps(error)


def assert_upstream_left(relay: Relay, scenario: Scenario) -> None:
    """An endless answer must have been hung up on."""
    if scenario.endless:
        relay.upstream.wait_for(
            lambda journal: all(one.over for one in journal if one.scenario == scenario.name), timeout_s=3
        )


@pytest.mark.parametrize(("scenario", "vendor"), cases(Outcome.ANSWERS))
class TestAnswers:
    def test_stream(self, relay: Relay, scenario: Scenario, vendor: str) -> None:
        status, headers, answer, error = streamed(relay, body(scenario, vendor, stream=True))
        assert (status, error) == (200, {})
        assert answer is not None
        assert answer.error is None
        assert answer.done
        assert headers["x-promptcraft-provider"] == vendor
        assert answer.ids == list(range(1, len(answer.ids) + 1))
        assert answer.usage is not None
        assert answer.finish is not None
        assert [chunk["choices"][0]["delta"].get("role") for chunk in answer.chunks if chunk["choices"]] == [
            "assistant",
            *[None] * (sum(bool(chunk["choices"]) for chunk in answer.chunks) - 1),
        ]
        for said, expected in (
            (answer.text, scenario.text),
            (answer.reasoning, scenario.reasoning),
            (answer.refusal, scenario.refusal),
            (answer.finish, scenario.finish),
        ):
            assert expected is None or said == expected

    def test_whole(self, relay: Relay, scenario: Scenario, vendor: str) -> None:
        status, _, answer = whole(relay, body(scenario, vendor, stream=False))
        assert status == 200, answer
        message = answer["choices"][0]["message"]
        assert answer["status"] == "completed"
        assert answer["usage"]["total_tokens"] >= 0
        for said, expected in (
            (message["content"] or "", scenario.text),
            (message.get("reasoning_content") or "", scenario.reasoning),
            (message["refusal"] or "", scenario.refusal),
            (answer["choices"][0]["finish_reason"], scenario.finish),
        ):
            assert expected is None or said == expected


@pytest.mark.parametrize(("scenario", "vendor"), cases(Outcome.FAILS_FIRST))
class TestFailsFirst:
    @pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
    def test_alone_has_its_true_status(self, relay: Relay, scenario: Scenario, vendor: str, stream: bool) -> None:
        status, headers, answer = whole(relay, body(scenario, vendor, stream=stream))
        assert status in (502, 504)
        assert headers["content-type"] == "application/json"
        assert_envelope(answer["error"], vendor, scenario, {"all_providers_failed", "first_token_timeout"})
        assert_upstream_left(relay, scenario)

    def test_next_provider_answers(self, relay: Relay, scenario: Scenario, vendor: str) -> None:
        status, headers, answer, error = streamed(relay, body(scenario, vendor, stream=True, fallback=True))
        assert (status, error) == (200, {})
        assert answer is not None
        assert answer.done
        assert answer.error is None
        assert headers["x-promptcraft-provider"] != vendor
        assert headers["x-promptcraft-fallback-count"] == "1"


@pytest.mark.parametrize(("scenario", "vendor"), cases(Outcome.FAILS_LATER))
class TestFailsLater:
    def test_stream_ends_with_the_error_and_no_done(self, relay: Relay, scenario: Scenario, vendor: str) -> None:
        status, _, answer, _ = streamed(relay, body(scenario, vendor, stream=True, fallback=True))
        assert status == 200
        assert answer is not None
        assert not answer.done
        assert answer.finish == "error"
        assert answer.error is not None
        assert_envelope(answer.error, vendor, scenario, {"stream_interrupted"})
        assert "error" in answer.events[-1].json()
        if scenario.text is not None:
            assert answer.text == scenario.text
        assert_upstream_left(relay, scenario)

    def test_whole_fails(self, relay: Relay, scenario: Scenario, vendor: str) -> None:
        status, headers, answer = whole(relay, body(scenario, vendor, stream=False, fallback=True))
        assert status == 502
        assert headers["x-should-retry"] == "false"
        assert_envelope(answer["error"], vendor, scenario, {"stream_interrupted"})
        assert_upstream_left(relay, scenario)


@pytest.mark.parametrize(("scenario", "vendor"), cases(Outcome.CLIENTS_FAULT))
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_clients_fault_is_a_400_of_ours(relay: Relay, scenario: Scenario, vendor: str, stream: bool) -> None:
    before = len(relay.upstream.exchanges())
    status, _, answer = whole(relay, body(scenario, vendor, stream=stream, fallback=True))
    assert status == 400
    error = answer["error"]
    assert error["type"] == "invalid_request_error"
    assert error["code"] in {"rejected_by_provider", "context_length_exceeded", "content_filtered"}
    assert "attempts" not in error
    assert len(relay.upstream.exchanges()) == before + 1


@pytest.mark.parametrize(("scenario", "vendor"), cases(Outcome.OPEN))
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_open_ones_end_truthfully(relay: Relay, scenario: Scenario, vendor: str, stream: bool) -> None:
    if not stream:
        status, _, answer = whole(relay, body(scenario, vendor, stream=False))
        assert (status == 200 and answer["status"] == "completed") or (status in (400, 502, 504) and answer["error"])
        return
    status, _, collected, error = streamed(relay, body(scenario, vendor, stream=True))
    if status != 200:
        assert status in (400, 502, 504)
        assert error["error"]["message"]
    else:
        assert collected is not None
        assert collected.done != (collected.error is not None)
        assert collected.finish is not None


def test_nothing_was_logged_that_should_not_be(relay: Relay) -> None:
    """Runs in any order: whatever was injected so far, no traceback and no key is in the log."""
    output = relay.server.output()
    assert "Traceback" not in output, output[-3000:]
    assert CANARY not in output
