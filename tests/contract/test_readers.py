"""Readers that one user has open at once: one too many is refused, and every slot comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from tests.contract.limit_fixtures import error_of
from tests.contract.stream_fixtures import Relay, events_of
from tests.sse_answer import collect
from tests.sse_client import SseStream
from tests.upstream import Answer, Gate, Scenario, healthy
from tests.waiting import soon

MOST = 100
PIECES = ("One ", "two ", "three.")


def said(gate: Gate | None = None) -> Scenario:
    return healthy(answer=Answer(pieces=PIECES, reasoning=""), gate=gate, gate_after=None if gate is None else 1)


@contextmanager
def reading(relay: Relay, user: str, count: int) -> Iterator[tuple[SseStream, list[SseStream], Gate]]:
    """Begin a completion that has said its first word and waits at the gate, with so many more readers."""
    gate = Gate()
    relay.upstream.script("deepseek", said(gate), times=1)
    with relay.begin(as_user=user) as first:
        events_of(first, 1)
        path = first.headers["x-promptcraft-completion-id"]
        with ThreadPoolExecutor(8) as pool:
            readers = list(pool.map(lambda _: relay.events(path, as_user=user), range(count)))
        try:
            assert {one.status for one in readers} == {200}
            yield first, readers, gate
        finally:
            gate.release()
            for one in readers:
                one.close()


def is_refused(stream: SseStream) -> bool:
    """Tell whether there was no slot, having checked what was said then."""
    with stream:
        if stream.status == 429:
            error = error_of(stream.json())
            assert (error["type"], error["code"], error["retryable"]) == ("rate_limit_error", "too_many_streams", True)
            assert int(stream.headers["retry-after"]) == error["retry_after"] >= 1
            assert "x-ratelimit-remaining" in stream.headers
        return stream.status == 429


def has_room(relay: Relay, user: str, finished: str) -> bool:
    """Tell whether a user may read a finished completion, having read it."""
    with relay.events(finished, as_user=user) as stream:
        stream.read()
        return stream.status == 200


def test_one_too_many_is_refused(relay: Relay, hasty: Relay):
    user, other = relay.new_user(), relay.new_user()
    key, stored = {"Idempotency-Key": "runs"}, {"Idempotency-Key": "is in the database alone"}
    with hasty.begin(as_user=user, headers=stored) as stream:
        assert collect(stream).done
    with relay.begin(as_user=user, headers=key) as stream:
        finished = collect(stream).chunks[0]["id"]
    with reading(relay, user, MOST) as (first, readers, gate):
        running = first.headers["x-promptcraft-completion-id"]
        for _ in range(2):
            assert is_refused(relay.events(running, as_user=user))
        assert is_refused(relay.events(finished, as_user=user))
        assert is_refused(relay.begin(as_user=user, headers=key))
        assert is_refused(relay.begin(as_user=user, headers=stored))
        # What is no reader has no slot, and nobody else's is taken.
        assert relay.detail(running, as_user=user)[0] == 200
        with relay.events(finished, 10_000, as_user=user) as nothing_new:
            assert nothing_new.status == 204
        with relay.events(running, as_user=other) as absent:
            assert absent.status == 404
        with relay.begin(as_user=user) as new, relay.begin(as_user=other) as others:
            assert (new.status, collect(new).done) == (200, True)
            others_id = collect(others).chunks[0]["id"]
        assert has_room(relay, other, others_id)
        # One that leaves makes room for one: those that were refused took nothing and gave nothing back.
        readers.pop().close()
        soon(lambda: has_room(relay, user, finished), relay.active_streams, "a free slot")
        readers.append(relay.events(running, as_user=user))
        assert readers[-1].status == 200
        assert is_refused(relay.events(running, as_user=user))
        gate.release()
        for one in readers:
            answer = collect(one)
            assert (answer.text, answer.done) == ("".join(PIECES), True)
    with relay.begin(as_user=user, headers=stored) as stream:
        assert (stream.status, collect(stream).done) == (200, True)


def read_to_the_end(relay: Relay, user: str, running: str) -> None:
    with relay.begin(as_user=user) as stream:
        completion_id = collect(stream).chunks[0]["id"]
    with relay.events(completion_id, as_user=user) as reader:
        assert collect(reader).done


def be_cancelled(relay: Relay, user: str, running: str) -> None:
    gate = Gate()
    relay.upstream.script("deepseek", said(gate), times=1)
    with relay.begin(as_user=user) as stream:
        completion_id = events_of(stream, 1)[0].json()["id"]
        with relay.events(completion_id, as_user=user) as reader:
            assert relay.cancel(completion_id, as_user=user)[0] == 200
            assert collect(reader).finishes == ["cancelled"]


def break_off(relay: Relay, user: str, running: str) -> None:
    relay.upstream.script("deepseek", "cut-by-reset", times=1)
    with relay.begin(as_user=user) as stream:
        completion_id = collect(stream).chunks[0]["id"]
    with relay.events(completion_id, as_user=user) as reader:
        assert collect(reader).error is not None


def leave(relay: Relay, user: str, running: str) -> None:
    with relay.events(running, as_user=user) as reader:
        events_of(reader, 1)


def be_reset(relay: Relay, user: str, running: str) -> None:
    with relay.events(running, as_user=user) as reader:
        reader.reset()


def ask_for_the_head(relay: Relay, user: str, running: str) -> None:
    with relay.events(running, as_user=user, method="HEAD") as reader:
        assert reader.status == 200


def replay(relay: Relay, user: str, running: str) -> None:
    for stream in (False, True):
        key = {"Idempotency-Key": f"twice, {stream}"}
        for _ in range(2):
            with relay.begin(as_user=user, headers=key, stream=stream) as one:
                assert one.status == 200
                one.read()


def lose_both(relay: Relay, user: str, running: str) -> None:
    """One that waits for a status, and a second one that joined it by its key."""
    gate, key = Gate(), {"Idempotency-Key": "both leave"}
    relay.upstream.script("deepseek", healthy(gate=gate), times=1)
    sockets = relay.send_at_once(2, headers=key | relay.headers(user), stream=True)
    gate.wait_reached()
    for one in sockets:
        one.close()
    gate.release()


WAYS: tuple[Callable[[Relay, str, str], None], ...] = (
    read_to_the_end,
    be_cancelled,
    break_off,
    leave,
    be_reset,
    ask_for_the_head,
    replay,
    lose_both,
)


def test_a_slot_comes_back_on_every_way_out(relay: Relay):
    user = relay.new_user()
    with relay.begin(as_user=user) as stream:
        finished = collect(stream).chunks[0]["id"]
    with reading(relay, user, MOST - 1) as (first, _, _):
        running = first.headers["x-promptcraft-completion-id"]
        for way in WAYS:
            way(relay, user, running)
            soon(lambda: has_room(relay, user, finished), relay.active_streams, f"the slot of {way.__name__}")
