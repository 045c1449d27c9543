"""The strict client forgives nothing, times what it reads, and can leave as it likes."""

from __future__ import annotations

import pytest

from tests.each import each
from tests.sse_answer import collect
from tests.sse_client import ProtocolViolation, open_stream
from tests.upstream import Fin, Gate, Hold, JournalTimeout, Rst, Send, Silence, scripted
from tests.upstream.framing import LAST_CHUNK, chunk, head

HEAD = head(200, [("content-type", "text/event-stream"), ("transfer-encoding", "chunked")])
DELTA = b'id: 1\ndata: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'


@pytest.fixture
def served(upstream):
    def serve(*steps):
        upstream.script("openai", scripted(*steps))
        return open_stream(upstream.base_url("openai") + "/chat/completions", json={}, timeout_s=2)

    return serve


def test_good_stream_is_joined(served):
    body = (
        DELTA
        + b': ping\nid: 2\ndata: {"choices":[{"index":0,"delta":{"content":"b","reasoning_content":"r",'
        + b'"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"stop"}]}\n\n'
        + b'id: 4\ndata: {"choices":[],"usage":{"total_tokens":3}}\n\ndata: [DONE]\n\n'
    )
    # Cut everywhere: between chunks, inside of them, inside of their sizes.
    wire = HEAD + b"".join(chunk(body[start : start + 7]) for start in range(0, len(body), 7)) + LAST_CHUNK
    with served(*(Send(wire[start : start + 11]) for start in range(0, len(wire), 11))) as stream:
        answer = collect(stream)
    assert (answer.text, answer.reasoning, answer.finish, answer.done) == ("ab", "r", "stop", True)
    assert answer.tool_calls == {0: {"id": "c", "name": "f", "arguments": "{}"}}
    assert answer.usage == {"total_tokens": 3}
    assert (answer.ids, answer.ended) == ([1, 2, 4], "clean")
    assert [line.data for line in stream.comments] == [b": ping"]


@each(
    ("body", "words"),
    [
        (b": ping\n\n" + DELTA, "blank line"),
        (DELTA.replace(b"\n", b"\r\n"), "CR in"),
        (b"foo: 1\n" + DELTA, "not a line of ours"),
        (DELTA.replace(b"data: ", b"data:"), "not a line of ours"),
        (DELTA + DELTA, "ids do not rise"),
        (DELTA + b"data: [DONE]\n\n" + DELTA, "after"),
        (DELTA + b"data: {", "inside an event"),
        (DELTA + b"id: 2\n", "inside an event"),
        (b'id: 1\n: ping\ndata: {"choices":[]}\n\n', "comment inside"),
        (b"data: \xff\n\n", "not UTF-8"),
    ],
)
def test_violation_is_raised(served, body, words):
    with served(Send(HEAD + chunk(body) + LAST_CHUNK)) as stream, pytest.raises(ProtocolViolation, match=words):
        collect(stream)


def test_several_finishes_are_a_violation(served):
    twice = DELTA.replace(b'{"content":"a"}', b'{},"finish_reason":"stop"')
    with served(Send(HEAD + chunk(twice + twice.replace(b"id: 1", b"id: 2")) + LAST_CHUNK)) as stream:
        answer = collect(stream)
    with pytest.raises(ProtocolViolation, match="several finishes"):
        assert answer.finish


@each(
    ("head_bytes", "body", "end", "ended"),
    [
        (HEAD, chunk(DELTA) + LAST_CHUNK, Silence(), "clean"),
        (HEAD, chunk(DELTA), Fin(), "cut"),
        (HEAD, chunk(DELTA), Rst(), "reset"),
        (head(200, [("content-length", str(len(DELTA)))]), DELTA, Silence(), "clean"),
        (head(200, [("content-length", "999")]), DELTA, Fin(), "cut"),
        (head(200), DELTA, Fin(), "clean"),
        (head(103) + HEAD, chunk(DELTA) + LAST_CHUNK, Silence(), "clean"),
    ],
)
def test_end_is_told_apart(served, head_bytes, body, end, ended):
    with served(Send(head_bytes), Send(body), end) as stream:
        assert collect(stream).text == "a"
        assert stream.ended == ended
        assert stream.read_some() == b""


def test_times_are_those_of_arrival(served):
    gate = Gate()
    with served(Send(HEAD + chunk(DELTA)), Hold(gate), Send(chunk(DELTA) + LAST_CHUNK)) as stream:
        events = stream.events()
        first = next(events)
        gate.wait_reached()
        gate.release()
        second = next(events)
    assert stream.sent_at_s <= first.at_s <= second.at_s
    assert (first.id, first.event) == ("1", None)


def test_silence_is_a_timeout(upstream):
    upstream.script("openai", scripted(Send(HEAD), Silence()))
    with (
        open_stream(upstream.base_url("openai") + "/chat/completions", json={}, timeout_s=0.05) as stream,
        pytest.raises(TimeoutError),
    ):
        stream.read_some()


def test_slow_reader_reads_in_pieces(served):
    with served(Send(HEAD + chunk(DELTA * 3) + LAST_CHUNK)) as stream:
        pieces = list(stream.drip(50, 0.0))
    assert b"".join(pieces) == DELTA * 3
    assert len(pieces) > 3
    assert max(map(len, pieces)) <= 50


def test_reader_with_a_small_buffer_holds_the_sender_back(upstream):
    upstream.script("openai", "line-of-64-mib")
    url = upstream.base_url("openai") + "/chat/completions"
    with open_stream(url, json={}, receive_buffer_bytes=4096) as stream:
        stream.read_some(100)
        with pytest.raises(JournalTimeout):
            upstream.wait_for(lambda journal: journal[-1].bytes_sent > 16 * 1024 * 1024, timeout_s=0.2)
    upstream.wait_hung_up("openai")


def test_reset_comes_after_all_that_was_sent(upstream):
    size_bytes = 1024 * 1024
    upstream.script("openai", scripted(Send(head(200) + b"x" * size_bytes), Rst()))
    url = upstream.base_url("openai") + "/chat/completions"
    with open_stream(url, json={}, receive_buffer_bytes=4096) as stream:
        assert len(stream.read()) == size_bytes
        assert stream.ended == "reset"


def test_answer_that_never_begins_is_a_violation(served):
    with pytest.raises(ProtocolViolation, match="before the head"):
        served(Fin())


def test_head_request_has_no_body(upstream):
    upstream.script("openai", scripted(Send(head(200, [("content-length", "5")]))), endpoint="models")
    with open_stream(upstream.base_url("openai") + "/models") as stream:
        assert stream.headers["content-length"] == "5"
    with open_stream(upstream.base_url("openai") + "/models", method="HEAD") as stream:
        assert stream.read() == b""
