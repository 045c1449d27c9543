"""The rate limit over the socket: what counts, what every chat answer says of it, and what is given back."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from apps.limits.refunds import REFUNDS_PER_SLOT
from tests.contract.limit_fixtures import CALM, COMPLETIONS, HEALTH, PROMPT, Door, error_of, started
from tests.server import ServerProcess
from tests.sse_answer import collect
from tests.upstream import Gate, UpstreamServer, healthy, scripted
from tests.upstream.framing import response
from tests.upstream.steps import Hold, Send
from tests.waiting import HANG_S

LIMIT = 3
Ask = Callable[[Door, str], tuple[int, Mapping[str, str]]]


@pytest.fixture(scope="module")
def shared() -> Iterator[Door]:
    with UpstreamServer() as upstream:
        server = ServerProcess(CALM | {"CHAT_RATE_LIMIT": f"{LIMIT}/m", "HEADER_HOLD": "0.1"}, upstream=upstream)
        with started(server):
            yield Door(server, upstream)


@pytest.fixture
def strict(shared: Door) -> Door:
    """Three completions a minute for each user."""
    shared.upstream.reset()
    return shared


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
        model: dict[str, Any] = {} if scenario is None else {"model": f"deepseek-flash@{scenario}", "fallback": False}
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
    "model of nobody": (404, asked(model="nobody-1")),
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
            assert before.result(HANG_S)[0] == 502
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
        assert headers["retry-after"] == headers["x-ratelimit-reset"]
        assert headers["ratelimit"].endswith(f";t={headers['retry-after']}")

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


def test_failures_beyond_the_limit_count(strict: Door) -> None:
    """So many are given back in a window. Then a user who makes requests fail is refused like any."""
    user = strict.user()
    refunds = REFUNDS_PER_SLOT * LIMIT
    left = []
    for _ in range(refunds + LIMIT):
        status, headers = asked("status-500")(strict, user)
        assert status == 502
        left.append(limits_of(headers)[0])
    assert left == [LIMIT] * refunds + list(range(LIMIT))[::-1]
    calls = len(strict.upstream.journal)
    status, headers = asked("status-500")(strict, user)
    assert (status, remaining_of(strict, user)) == (429, 0)
    assert 1 <= int(headers["retry-after"]) <= 60
    assert len(strict.upstream.journal) == calls
    assert remaining_of(strict, strict.user()) == LIMIT
