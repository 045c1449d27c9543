"""The load generator against answers written out: it must see what is lost, repeated, reordered and cut."""

from __future__ import annotations

import pytest

from benchmarks.native import Plan
from benchmarks.targets import Direct
from tests.benchmarks.conftest import needs_compiler

pytestmark = needs_compiler

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
DONE = b"data: [DONE]\n\n"
END = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(*tokens: int, stream: int = 1) -> bytes:
    text = b"".join(b"@%06d%06d and" % (stream, token) for token in tokens)
    return chunk(b'data: {"choices":[{"delta":{"content":"%b"}}]}\n\n' % text)


WHOLE = HEAD + event(0) + event(1) + event(2) + chunk(DONE) + END


def test_a_whole_answer_has_no_faults(load_on):
    load = load_on(WHOLE, tokens=3)
    assert load.faults == {}
    assert (load.counts["good"], load.counts["tokens"]) == (1, 3)
    assert load.counts["gap"]["count"] == 2


def test_cuts_anywhere_change_nothing(load_on):
    load = load_on(*(bytes([byte]) for byte in WHOLE), tokens=3)
    assert load.faults == {}
    assert load.counts["tokens"] == 3


def test_merged_events_count_as_what_they_hold(load_on):
    load = load_on(HEAD + event(0, 1, 2) + chunk(DONE) + END, tokens=3)
    assert load.faults == {}
    assert load.counts["tokens"] == 3


@pytest.mark.parametrize(
    ("answer", "faults"),
    [
        (HEAD + event(0) + event(2) + chunk(DONE) + END, {"lost": 1}),
        (HEAD + event(0) + event(1) + event(1) + event(2) + chunk(DONE) + END, {"repeated": 1}),
        (HEAD + event(0) + event(2) + event(1) + chunk(DONE) + END, {"reordered": 1}),
        (HEAD + event(0) + event(1) + event(2) + event(2, stream=9) + chunk(DONE) + END, {"strange": 1}),
        (HEAD + event(0) + event(1) + event(2) + END, {"not_done": 1}),
        (HEAD + event(0) + event(1), {"cut": 1, "lost": 1}),
        (b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 2\r\n\r\nno", {"status": 1}),
        (b"", {"connect": 1}),
    ],
    ids=["lost", "repeated", "reordered", "another stream's", "no end", "cut", "refused", "no answer"],
)
def test_faults_are_seen(load_on, answer, faults):
    load = load_on(answer, tokens=3)
    assert load.faults == faults
    assert load.counts["good"] == (0 if faults.keys() & {"not_done", "cut", "status", "connect"} else 1)


def test_the_upstream_streams_what_the_plan_says(native):
    load = native.run(Direct(native.upstream_port), Plan(tokens=20, interval_us=10_000), streams=5, requests=5)
    assert load.faults == {}
    assert load.counts["tokens"] == 100
    # Twenty intervals, the last before the end; never early, however busy the machine.
    assert load.counts["wall_s"] >= 0.2


def test_held_streams_stay_until_they_are_let_go(native):
    plan = Plan(tokens=3, hold=True)
    with native.held(Direct(native.upstream_port), plan, streams=20, hold=3, limit_s=20) as held:
        assert held.load.moments["open"].tokens == 60
        assert held.load.counts == {}
    assert held.load.faults == {}
    assert held.load.counts["good"] == 20
