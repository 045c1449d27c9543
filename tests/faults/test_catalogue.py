"""Every scenario of the simulator, streaming and not, alone and with a provider to fall back on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.each import each
from tests.faults.conftest import Case, Relay
from tests.upstream.catalogue import CATALOGUE
from tests.upstream.scenario import Outcome

CANARY = "sk-upstream-0001"


def cases(outcome: Outcome, *, streams: tuple[bool, ...] = (True, False), fallback: bool = False) -> list[Any]:
    """Return each scenario with the vendors that show it: one for transports, all for what vendors differ in.

    The faults of connections, as streams, come once more over httpx's own transport.
    """
    scenarios = [scenario for scenario in CATALOGUE.values() if scenario.outcome is outcome]
    chosen = [
        Case(scenario, vendor, stream, fallback)
        for scenario in scenarios
        for vendor in (scenario.vendors if scenario.group == "errors" else scenario.vendors[:1])
        for stream in streams
    ]
    chosen += [
        Case(scenario, scenario.vendors[0], True, fallback, "httpx")
        for scenario in scenarios
        if scenario.group == "transport" and True in streams
    ]
    return [
        pytest.param(
            case,
            id=f"{case.scenario.name}-{case.vendor}-{'stream' if case.stream else 'whole'}"
            + ("" if case.transport == "push" else f"-{case.transport}"),
        )
        for case in chosen
    ]


def assert_envelope(error: dict[str, Any], case: Case, codes: set[str]) -> None:
    assert set(error) >= {"message", "type", "code", "param", "request_id", "retryable", "retry_after"}
    assert error["code"] in codes
    for attempt in error["attempts"]:
        assert attempt["provider"] == case.vendor
        assert case.scenario.failure in (None, attempt["end_reason"])
    assert error["attempts"]
    assert CANARY not in json.dumps(error)


@each("case", cases(Outcome.ANSWERS, streams=(True,)))
def test_answers_as_a_stream(relay: Relay, case: Case) -> None:
    outcome = relay.outcome(case)
    answer = outcome.collected
    assert answer is not None, outcome.document
    assert answer.error is None
    assert answer.done
    assert answer.ended == "clean"
    assert outcome.headers["x-promptcraft-provider"] == case.vendor
    # They rise (`collect` sees to it); a client that falls behind gets neighbouring texts merged.
    assert answer.ids[0] == 1
    assert answer.usage is not None
    assert answer.finish is not None
    roles = [chunk["choices"][0]["delta"].get("role") for chunk in answer.chunks if chunk["choices"]]
    assert roles == ["assistant", *[None] * (len(roles) - 1)]
    for said, expected in (
        (answer.text, case.scenario.text),
        (answer.reasoning, case.scenario.reasoning),
        (answer.refusal, case.scenario.refusal),
        (answer.finish, case.scenario.finish),
    ):
        assert expected in (None, said)


@each("case", cases(Outcome.ANSWERS, streams=(False,)))
def test_answers_whole(relay: Relay, case: Case) -> None:
    outcome = relay.outcome(case)
    assert outcome.status == 200, outcome.document
    assert outcome.document["status"] == "completed"
    assert outcome.document["usage"]["total_tokens"] >= 0
    choice = outcome.document["choices"][0]
    for said, expected in (
        (choice["message"]["content"] or "", case.scenario.text),
        (choice["message"].get("reasoning_content") or "", case.scenario.reasoning),
        (choice["message"]["refusal"] or "", case.scenario.refusal),
        (choice["finish_reason"], case.scenario.finish),
    ):
        assert expected in (None, said)


@each("case", cases(Outcome.FAILS_FIRST))
def test_fails_alone_with_its_true_status(relay: Relay, case: Case) -> None:
    outcome = relay.outcome(case)
    assert outcome.status in (502, 504)
    assert outcome.headers["content-type"] == "application/json"
    assert_envelope(outcome.document["error"], case, {"all_providers_failed", "first_token_timeout"})
    relay.wait_left(case)


@each("case", cases(Outcome.FAILS_FIRST, fallback=True))
def test_next_provider_answers(relay: Relay, case: Case) -> None:
    outcome = relay.outcome(case)
    assert outcome.status == 200, outcome.document
    assert outcome.headers["x-promptcraft-provider"] != case.vendor
    assert outcome.headers["x-promptcraft-fallback-count"] == "1"
    if outcome.collected is not None:
        assert outcome.collected.done
        assert outcome.collected.error is None
    else:
        assert outcome.document["status"] == "completed"
        assert [one["end"] for one in outcome.document["attempts"]] == ["failover", "complete"]
    relay.wait_left(case)


@each("case", cases(Outcome.FAILS_LATER, streams=(True,), fallback=True))
def test_fails_later_in_the_stream_without_done(relay: Relay, case: Case) -> None:
    outcome = relay.outcome(case)
    answer = outcome.collected
    assert answer is not None, outcome.document
    assert not answer.done
    assert answer.ended == "clean"
    assert answer.finish == "error"
    assert answer.error is not None
    assert "error" in answer.events[-1].json()
    assert_envelope(answer.error, case, {"stream_interrupted"})
    assert case.scenario.text in (None, answer.text)
    assert relay.asked(case) == [case.vendor]
    relay.wait_left(case)


@each("case", cases(Outcome.FAILS_LATER, streams=(False,), fallback=True))
def test_fails_later_whole(relay: Relay, case: Case) -> None:
    outcome = relay.outcome(case)
    assert outcome.status == 502
    assert outcome.headers["x-should-retry"] == "false"
    assert_envelope(outcome.document["error"], case, {"stream_interrupted"})
    relay.wait_left(case)


@each("case", cases(Outcome.CLIENTS_FAULT, fallback=True))
def test_clients_fault_is_a_400_of_ours(relay: Relay, case: Case) -> None:
    outcome = relay.outcome(case)
    assert outcome.status == 400
    error = outcome.document["error"]
    assert error["type"] == "invalid_request_error"
    assert error["code"] in {"rejected_by_provider", "context_length_exceeded", "content_filtered"}
    assert "attempts" not in error
    assert relay.asked(case) == [case.vendor]


@each("case", cases(Outcome.OPEN))
def test_open_ones_end_truthfully(relay: Relay, case: Case) -> None:
    outcome = relay.outcome(case)
    if outcome.collected is not None:
        assert outcome.collected.done != (outcome.collected.error is not None)
        assert outcome.collected.finish is not None
    elif outcome.status == 200:
        assert outcome.document["status"] == "completed"
    else:
        assert outcome.status in (400, 502, 504)
        assert outcome.document["error"]["message"]
    relay.wait_left(case)


def test_nothing_was_logged_that_should_not_be(relay: Relay) -> None:
    """Runs in any order: whatever was injected so far, no traceback and no key is in the log."""
    output = "".join(server.output() for server in relay.servers)
    assert "Traceback" not in output, output[-3000:]
    assert CANARY not in output
