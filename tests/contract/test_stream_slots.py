"""Streams at once, for each user and in all: who is refused, and how every slot comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.contract.limit_fixtures import CALM, COMPLETIONS, PROMPT, Door, error_of, started
from tests.server import ServerProcess
from tests.sse_answer import collect
from tests.sse_client import SseStream
from tests.upstream import Gate, UpstreamServer, healthy
from tests.waiting import soon

PER_USER = 2
CAPACITY = 4


@pytest.fixture(scope="module")
def shared() -> Iterator[Door]:
    with UpstreamServer() as upstream:
        server = ServerProcess(
            CALM | {"MAX_STREAMS_PER_USER": str(PER_USER), "MAX_STREAMS": str(CAPACITY)}, upstream=upstream
        )
        with started(server):
            yield Door(server, upstream)


@pytest.fixture
def narrow(shared: Door) -> Door:
    """Two streams for each user, four in all, and none of them taken."""
    shared.upstream.reset()
    shared.wait_active(0)
    return shared


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


class TestOfOneUser:
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
def test_a_slot_is_back_soon_after_a_disconnect(narrow: Door, leave: Callable[[SseStream], float]) -> None:
    user = narrow.user()
    with ExitStack() as stack:
        _, second = hold(narrow, stack, user, PER_USER)
        leave(second)
        soon(lambda: narrow.whole(user)[0] == 200, narrow.health, "a free slot")


def test_a_slot_is_back_when_nobody_waits_for_the_whole_answer(narrow: Door) -> None:
    user = narrow.user()
    gate = Gate()
    narrow.upstream.script("deepseek", healthy(gate=gate))
    for number in range(PER_USER):
        narrow.server.leave(COMPLETIONS, at=gate, times=number + 1, user=user, json={"messages": PROMPT})
    narrow.upstream.reset()
    soon(lambda: narrow.whole(user)[0] == 200, narrow.health, "a free slot")
    narrow.wait_active(0)


def test_a_full_process_says_so_at_once(narrow: Door) -> None:
    with ExitStack() as stack:
        for _ in range(CAPACITY // PER_USER):
            hold(narrow, stack, narrow.user(), PER_USER)
        called = len(narrow.upstream.journal)
        # Nothing ends meanwhile: whoever waited for a slot would wait for ever.
        status, headers, body = narrow.whole(narrow.user())
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
