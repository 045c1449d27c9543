"""Limits over the socket: what counts, what every chat answer says of it, and slots that come back."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from tests.contract.limit_fixtures import CALM, COMPLETIONS, HEALTH, PROMPT, Door, error_of, eventually, started
from tests.server import ServerProcess
from tests.sse_answer import collect
from tests.sse_client import SseStream
from tests.upstream import Gate, UpstreamServer, healthy, scripted
from tests.upstream.framing import response
from tests.upstream.steps import Hold, Send

LIMIT = 3
PER_USER = 2
CAPACITY = 4
Ask = Callable[[Door, str], tuple[int, Mapping[str, str]]]


@pytest.fixture(scope="module")
def doors() -> Iterator[tuple[Door, Door]]:
    with UpstreamServer() as upstream:
        strict = ServerProcess(CALM | {"CHAT_RATE_LIMIT": f"{LIMIT}/m", "HEADER_HOLD": "0.1"}, upstream=upstream)
        narrow = ServerProcess(
            CALM | {"MAX_STREAMS_PER_USER": str(PER_USER), "MAX_STREAMS": str(CAPACITY)}, upstream=upstream
        )
        with started(strict, narrow):
            yield Door(strict, upstream), Door(narrow, upstream)


@pytest.fixture
def strict(doors: tuple[Door, Door]) -> Door:
    """Three completions a minute for each user."""
    doors[0].upstream.reset()
    return doors[0]


@pytest.fixture
def narrow(doors: tuple[Door, Door]) -> Door:
    """Two streams for each user, four in all, and none of them taken."""
    doors[1].upstream.reset()
    doors[1].wait_active(0)
    return doors[1]


def limits_of(headers: Mapping[str, str]) -> tuple[int, int]:
    """Return what is left and the seconds to the reset, having checked that all five headers agree."""
    assert headers["ratelimit-policy"] == f'"chat";q={LIMIT};w=60'
    assert headers["x-ratelimit-limit"] == str(LIMIT)
    said = re.fullmatch(r'"chat";r=(\d+);t=(\d+)', headers["ratelimit"])
    assert said is not None
    assert (headers["x-ratelimit-remaining"], headers["x-ratelimit-reset"]) == said.groups()
    remaining, reset_s = int(said[1]), int(said[2])
    assert 0 <= remaining <= LIMIT
    assert (reset_s == 0) == (remaining == LIMIT)
    assert reset_s <= 60
    return remaining, reset_s


def remaining_of(door: Door, user: str) -> int:
    return limits_of(door.call(COMPLETIONS, user)[1])[0]


# --- what counts: each asks once and returns the status and headers of the answer in question


def posted(body: bytes, content_type: str = "application/json") -> Ask:
    def ask(door: Door, user: str) -> tuple[int, Mapping[str, str]]:
        status, headers, answer = door.call(COMPLETIONS, user, body=body, headers={"Content-Type": content_type})
        assert error_of(answer)["request_id"] == headers["x-request-id"]
        return status, headers

    return ask


def asked(scenario: str | None = None, **fields: Any) -> Ask:
    def ask(door: Door, user: str) -> tuple[int, Mapping[str, str]]:
        model = {} if scenario is None else {"model": f"deepseek-flash@{scenario}", "fallback": False}
        return door.whole(user, **model, **fields)[:2]

    return ask


def streamed(door: Door, user: str) -> tuple[int, Mapping[str, str]]:
    with door.begin(user) as stream:
        assert collect(stream).done
        return stream.status, stream.headers


GOOD = json.dumps({"messages": PROMPT}).encode()
COUNTED: dict[str, tuple[int, Ask]] = {
    "stream": (200, streamed),
    "whole": (200, asked()),
    "broken after content": (502, asked("cut-by-reset")),
    "not json": (400, posted(b"{")),
    "missing field": (400, posted(b"{}")),
    "out of range": (400, asked(temperature=3)),
    "model of nobody": (400, asked(model="nobody-1")),
    "refused by the provider": (400, asked("deepseek-422-parameters")),
    "too large": (413, posted(b" " * (1024 * 1024 + 1))),
    "form": (415, posted(b"messages=1", "application/x-www-form-urlencoded")),
}


@pytest.mark.parametrize("name", COUNTED)
def test_counted(strict: Door, name: str) -> None:
    expected, ask = COUNTED[name]
    user = strict.user()
    status, headers = ask(strict, user)
    assert status == expected
    assert limits_of(headers)[0] == LIMIT - 1
    assert remaining_of(strict, user) == LIMIT - 1


def called(path: str, method: str = "GET") -> Ask:
    def ask(door: Door, user: str) -> tuple[int, Mapping[str, str]]:
        return door.call(path, user, method=method)[:2]

    return ask


NOT_COUNTED: dict[str, tuple[int, Ask]] = {
    "list": (200, called(COMPLETIONS)),
    "bad list": (400, called(f"{COMPLETIONS}?limit=0")),
    "absent completion": (404, called(f"{COMPLETIONS}chatcmpl-absent/")),
    "absent events": (404, called(f"{COMPLETIONS}chatcmpl-absent/events/")),
    "bad events": (400, called(f"{COMPLETIONS}chatcmpl-absent/events/?after=x")),
    "absent cancel": (404, called(f"{COMPLETIONS}chatcmpl-absent/cancel/", "POST")),
    "all providers failed": (502, asked("status-500")),
}


@pytest.mark.parametrize("name", NOT_COUNTED)
def test_not_counted(strict: Door, name: str) -> None:
    expected, ask = NOT_COUNTED[name]
    user = strict.user()
    status, headers = ask(strict, user)
    assert status == expected
    assert limits_of(headers) == (LIMIT, 0)
    assert remaining_of(strict, user) == LIMIT


def test_reading_resuming_replaying_and_cancelling_are_not_counted(strict: Door) -> None:
    user = strict.user()
    gate = Gate()
    strict.upstream.script("deepseek", healthy(gate=gate, gate_after=1))
    key = {"Idempotency-Key": "once"}
    with strict.begin(user, headers=key) as first:
        completion = f"{COMPLETIONS}{first.headers['x-promptcraft-completion-id']}"
        answers = [first.headers]
        with strict.begin(user, headers=key) as replay:
            assert replay.headers["idempotent-replay"] == "true"
            answers.append(replay.headers)
        with strict.server.open(f"{completion}/events/", user=user) as resumed:
            answers.append(resumed.headers)
        conflict = strict.whole(user, headers=key, temperature=1)
        assert (conflict[0], error_of(conflict[2])["code"]) == (409, "idempotency_conflict")
        answers.append(conflict[1])
        for path, method, expected in (("/", "GET", 200), ("/cancel/", "POST", 200), ("/cancel/", "POST", 200)):
            status, headers, _ = strict.call(completion + path, user, method=method)
            assert status == expected
            answers.append(headers)
    status, headers, _ = strict.call(f"{completion}/events/?after=9999", user)
    assert status == 204
    assert [limits_of(one)[0] for one in [*answers, headers]] == [LIMIT - 1] * 8


def test_a_finished_completion_refuses_its_cancelling_and_counts_nothing(strict: Door) -> None:
    user = strict.user()
    completion_id = strict.whole(user)[2]["id"]
    status, headers, body = strict.call(f"{COMPLETIONS}{completion_id}/cancel/", user, method="POST")
    assert (status, error_of(body)["code"]) == (409, "already_finished")
    assert limits_of(headers)[0] == LIMIT - 1


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_a_slot_is_given_back_when_we_fail_after_the_headers_but_before_any_content(strict: Door, stream: bool) -> None:
    """HEADER_HOLD may have sent the 200: nothing was answered all the same."""
    user = strict.user()
    gate = Gate()
    strict.upstream.script("deepseek", scripted(Hold(gate), Send(response(500, b"{}"))))
    with ThreadPoolExecutor(1) as pool:
        before = pool.submit(strict.whole, user, stream=False, fallback=False) if not stream else None
        if before is not None:
            gate.wait_reached(1)
        with strict.begin(user, fallback=False) as released:
            # The later request's headers are out, so the earlier one's hold is over as well.
            assert released.status == 200
            gate.release()
            answer = collect(released)
        assert answer.error is not None
        assert answer.error["code"] == "all_providers_failed"
        if before is not None:
            assert before.result(5)[0] == 502
    assert remaining_of(strict, user) == LIMIT


def test_nobody_is_counted_for_a_bad_token_or_for_health(strict: Door) -> None:
    user = strict.user()
    bad = {"Authorization": strict.server.bearer(user)["Authorization"] + "x"}
    assert strict.call(COMPLETIONS, None, headers=bad, json={"messages": PROMPT})[0] == 401
    assert strict.call(HEALTH, user)[0] == 200
    assert remaining_of(strict, user) == LIMIT


# --- over the limit


class TestOver:
    @pytest.fixture
    def spent(self, strict: Door) -> str:
        """A user whose minute is used up."""
        user = strict.user()
        for _ in range(LIMIT):
            assert strict.call(COMPLETIONS, user, body=b"{", headers={"Content-Type": "application/json"})[0] == 400
        return user

    def test_is_refused_before_any_provider_is_called(self, strict: Door, spent: str) -> None:
        status, headers, body = strict.whole(spent)
        error = error_of(body)
        assert (status, error["type"], error["code"]) == (429, "rate_limit_error", "rate_limited")
        assert error["retryable"] is True
        assert not strict.upstream.journal
        assert limits_of(headers)[0] == 0

    def test_retry_after_is_whole_and_tells_when_a_slot_is_free(self, strict: Door, spent: str) -> None:
        _, headers, body = strict.whole(spent)
        assert re.fullmatch(r"[1-9]\d*", headers["retry-after"])
        assert int(headers["retry-after"]) == body["error"]["retry_after"]
        # All three were taken just now.
        assert 58 <= int(headers["retry-after"]) <= 60
        assert int(headers["retry-after"]) <= int(headers["x-ratelimit-reset"])

    @pytest.mark.parametrize(
        ("body", "content_type"), [(b"{", "application/json"), (b" " * 2_000_000, "application/json"), (b"x", "a/b")]
    )
    def test_comes_before_the_body_is_looked_at(self, strict: Door, spent: str, body: bytes, content_type: str) -> None:
        status, _, answer = strict.call(COMPLETIONS, spent, body=body, headers={"Content-Type": content_type})
        assert (status, error_of(answer)["code"]) == (429, "rate_limited")

    def test_refusals_push_nothing_back(self, strict: Door, spent: str) -> None:
        reset_s = [limits_of(strict.whole(spent)[1])[1] for _ in range(5)]
        assert reset_s == sorted(reset_s, reverse=True)

    def test_reading_goes_on_and_others_are_not_held_up(self, strict: Door, spent: str) -> None:
        assert strict.call(COMPLETIONS, spent)[0] == 200
        assert strict.whole(strict.user())[0] == 200


def test_parallel_posts_admit_exactly_the_limit(strict: Door) -> None:
    user = strict.user()
    together = threading.Barrier(12)

    def post(number: int) -> int:
        together.wait(10)
        return strict.whole(user, seed=number)[0]

    with ThreadPoolExecutor(12) as pool:
        statuses = sorted(pool.map(post, range(12)))
    assert statuses == [200] * LIMIT + [429] * (12 - LIMIT)
    assert len(strict.upstream.journal) == LIMIT


def test_parallel_failures_give_every_slot_back(strict: Door) -> None:
    user = strict.user()
    with ThreadPoolExecutor(LIMIT) as pool:
        answers = list(pool.map(lambda _: asked("status-500")(strict, user), range(LIMIT)))
    assert [status for status, _ in answers] == [502] * LIMIT
    assert remaining_of(strict, user) == LIMIT


# --- streams at once


def hold(door: Door, stack: ExitStack, user: str, count: int = 1) -> list[SseStream]:
    """Begin streams that have said their first token and wait; they end when the stack does."""
    gate = Gate()
    stack.callback(gate.release)
    begun = []
    for _ in range(count):
        door.upstream.script("deepseek", healthy(gate=gate, gate_after=1), times=1)
        stream = stack.enter_context(door.begin(user))
        assert stream.status == 200
        begun.append(stream)
    return begun


class TestStreamsOfOneUser:
    def test_one_too_many_is_refused_before_any_provider_is_called(self, narrow: Door) -> None:
        user = narrow.user()
        with ExitStack() as stack:
            hold(narrow, stack, user, PER_USER)
            called = len(narrow.upstream.journal)
            status, headers, body = narrow.whole(user)
            error = error_of(body)
            assert (status, error["type"], error["code"]) == (429, "rate_limit_error", "too_many_streams")
            assert int(headers["retry-after"]) == error["retry_after"] >= 1
            assert len(narrow.upstream.journal) == called
            assert narrow.whole(narrow.user())[0] == 200

    def test_it_costs_nothing_of_the_rate(self, narrow: Door) -> None:
        user = narrow.user()
        with ExitStack() as stack:
            hold(narrow, stack, user, PER_USER)
            left = [int(narrow.whole(user)[1]["x-ratelimit-remaining"]) for _ in range(3)]
        assert left == [left[0]] * 3

    def test_replays_and_readers_take_no_slot(self, narrow: Door) -> None:
        user = narrow.user()
        gate = Gate()
        narrow.upstream.script("deepseek", healthy(gate=gate, gate_after=1))
        with narrow.begin(user, headers={"Idempotency-Key": "a"}) as first, narrow.begin(user):
            with narrow.begin(user, headers={"Idempotency-Key": "a"}) as replay:
                assert (replay.status, replay.headers["idempotent-replay"]) == (200, "true")
            events = f"{COMPLETIONS}{first.headers['x-promptcraft-completion-id']}/events/"
            with narrow.server.open(events, user=user) as resumed:
                assert resumed.status == 200
            assert narrow.whole(user)[0] == 429
            gate.release()

    def test_after_done_the_next_is_never_refused(self, narrow: Door) -> None:
        user = narrow.user()
        with ExitStack() as stack:
            hold(narrow, stack, user, PER_USER - 1)
            for _ in range(20):
                with narrow.begin(user) as stream:
                    assert stream.status == 200
                    assert any(event.data == "[DONE]" for event in stream.events())


def run_to_done(door: Door, user: str) -> None:
    with door.begin(user) as stream:
        assert collect(stream).done


def run_whole(door: Door, user: str) -> None:
    assert door.whole(user)[0] == 200


def break_off(door: Door, user: str) -> None:
    with door.begin(user, model="deepseek-flash@cut-by-reset") as stream:
        assert collect(stream).error is not None


def fail_before_content(door: Door, user: str) -> None:
    assert door.whole(user, model="deepseek-flash@status-500", fallback=False)[0] == 502


def be_refused_by_the_provider(door: Door, user: str) -> None:
    assert door.whole(user, model="deepseek-flash@deepseek-422-parameters")[0] == 400


def cancel(door: Door, user: str) -> None:
    with ExitStack() as stack:
        (stream,) = hold(door, stack, user)
        completion_id = stream.headers["x-promptcraft-completion-id"]
        assert door.call(f"{COMPLETIONS}{completion_id}/cancel/", user, method="POST")[0] == 200


@pytest.mark.parametrize(
    "end", [run_to_done, run_whole, break_off, fail_before_content, be_refused_by_the_provider, cancel]
)
def test_a_slot_is_back_at_once(narrow: Door, end: Callable[[Door, str], None]) -> None:
    user = narrow.user()
    with ExitStack() as stack:
        hold(narrow, stack, user, PER_USER - 1)
        for _ in range(2):
            end(narrow, user)
        assert narrow.whole(user)[0] == 200
    narrow.wait_active(0)


@pytest.mark.parametrize("leave", [SseStream.reset, SseStream.close], ids=["rst", "fin"])
def test_a_slot_is_back_within_a_second_of_a_disconnect(narrow: Door, leave: Callable[[SseStream], float]) -> None:
    user = narrow.user()
    with ExitStack() as stack:
        _, second = hold(narrow, stack, user, PER_USER)
        left_at_s = leave(second)
        eventually(lambda: narrow.whole(user)[0] == 200, "a free slot", timeout_s=2)
        assert time.monotonic() - left_at_s < 1


def test_a_slot_is_back_when_nobody_waits_for_the_whole_answer(narrow: Door) -> None:
    user = narrow.user()
    gate = Gate()
    narrow.upstream.script("deepseek", healthy(gate=gate))
    for _ in range(PER_USER):
        with pytest.raises(TimeoutError):
            narrow.server.open(COMPLETIONS, user=user, json={"messages": PROMPT}, timeout_s=0.05)
    gate.wait_reached(PER_USER)
    narrow.upstream.reset()
    eventually(lambda: narrow.whole(user)[0] == 200, "a free slot", timeout_s=2)
    narrow.wait_active(0)


def test_a_full_process_says_so_at_once(narrow: Door) -> None:
    with ExitStack() as stack:
        for _ in range(CAPACITY // PER_USER):
            hold(narrow, stack, narrow.user(), PER_USER)
        called = len(narrow.upstream.journal)
        asked_at_s = time.monotonic()
        status, headers, body = narrow.whole(narrow.user())
        assert time.monotonic() - asked_at_s < 0.5
        error = error_of(body)
        assert (status, error["type"], error["code"]) == (503, "service_unavailable", "overloaded")
        assert (error["retryable"], error["retry_after"]) == (True, int(headers["retry-after"]))
        assert error["retry_after"] >= 1
        assert headers["x-ratelimit-remaining"] == headers["x-ratelimit-limit"]
        assert len(narrow.upstream.journal) == called
        health = narrow.health()
        assert health["streams"] == {"active": CAPACITY, "capacity": CAPACITY}
        assert health["status"] == "degraded"
    narrow.wait_active(0)
    assert narrow.whole(narrow.user())[0] == 200


def test_parallel_posts_never_pass_the_capacity(narrow: Door) -> None:
    gate = Gate()
    narrow.upstream.script("deepseek", healthy(gate=gate, gate_after=1))
    users = [narrow.user() for _ in range(5)]
    with ThreadPoolExecutor(10) as pool:
        streams = list(pool.map(narrow.begin, users * 2))
        statuses = sorted(stream.status for stream in streams)
        assert statuses.count(200) == CAPACITY
        assert set(statuses) <= {200, 429, 503}
        assert len(narrow.upstream.journal) == CAPACITY
        gate.release()
        for stream in streams:
            stream.read()
            stream.close()
    narrow.wait_active(0)
