"""The parser of answers alone: every cut, every end, every bound."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from apps.llm.providers.push_answer import MOST_HEAD_BYTES, Answer
from tests.each import each

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
WIRES = {
    "length": HEAD + b"Content-Length: 5\r\n\r\nhello",
    "chunks": CHUNKED + b"1\r\nh\r\n3;x=y\r\nell\r\n1\r\no\r\n0\r\nChecksum: 7\r\n\r\n",
    "after two 1xx": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: a\r\nContent-Length: 9\r\n\r\n"
    + HEAD
    + b"Content-Length: 5\r\n\r\nhello",
    "empty": HEAD.replace(b"200 OK", b"204 No Content") + b"\r\n",
}
SURPLUS = (b"H", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", b"garbage")


def fed(*reads: bytes) -> tuple[Answer, bytes]:
    answer = Answer()
    return answer, b"".join(answer.feed(data) for data in reads)


@each("wire", WIRES.values(), ids=WIRES)
@given(data=st.data())
def test_cuts_change_nothing(wire: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(wire) - 1))))
    whole, whole_body = fed(wire)
    answer, body = fed(*(wire[start:end] for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True)))
    assert (answer.status, answer.headers, body) == (whole.status, whole.headers, whole_body)
    assert answer.complete
    assert answer.reusable
    assert body == (b"" if answer.status == 204 else b"hello")
    assert (b"Content-Type", b"text/event-stream") in answer.headers
    assert not {b"Link", b"Checksum"} & {name for name, _ in answer.headers}


@each("wire", WIRES.values(), ids=WIRES)
def test_whatever_is_short_of_a_whole_answer_is_not_complete(wire: bytes) -> None:
    for length in range(len(wire)):
        answer, _ = fed(wire[:length])
        before = (answer.complete, answer.fault)
        answer.end()
        assert before == (False, "")
        assert not answer.complete
        assert answer.fault


@each("surplus", SURPLUS, ids=["a byte", "an answer", "garbage"])
@each("wire", WIRES.values(), ids=WIRES)
def test_surplus_is_not_of_the_answer_and_forbids_reuse(wire: bytes, surplus: bytes) -> None:
    for cut in range(1, len(wire + surplus)):
        answer = Answer()
        body = answer.feed((wire + surplus)[:cut])
        if not answer.complete:
            # Whoever feeds stops at the end of the answer.
            body += answer.feed((wire + surplus)[cut:])
        assert body == fed(wire)[1]
        assert answer.complete
        assert answer.reusable == (cut == len(wire))


def test_body_that_ends_with_its_connection() -> None:
    def state() -> tuple[bool, bool, bool, str]:
        return answer.ends_with_connection, answer.complete, answer.reusable, answer.fault

    answer, body = fed(HEAD, b"\r\nhel", b"lo")
    assert body == b"hello"
    assert state() == (True, False, False, "")
    answer.end()
    assert state() == (False, True, False, "")


@each("wire", [*WIRES.values()][:2])
def test_body_with_an_end_of_its_own_does_not_end_with_its_connection(wire: bytes) -> None:
    assert not fed(wire[:-3])[0].ends_with_connection


@each("field", [b"Connection: close", b"Connection: x, Close", b"Proxy-Connection: close"])
def test_peer_that_will_close_forbids_reuse(field: bytes) -> None:
    answer, body = fed(HEAD + field + b"\r\nContent-Length: 2\r\n\r\nhi")
    assert (answer.complete, answer.reusable, body) == (True, False, b"hi")


def test_http_1_0_is_reused_only_if_it_says_so() -> None:
    old = HEAD.replace(b"1.1", b"1.0") + b"Content-Length: 2\r\n"
    assert not fed(old + b"\r\nhi")[0].reusable
    assert fed(old + b"Connection: keep-alive\r\n\r\nhi")[0].reusable


@each("status", [b"101", b"099", b"000"])
def test_statuses_that_cannot_be(status: bytes) -> None:
    answer, _ = fed(HEAD.replace(b"200", status) + b"Content-Length: 0\r\n\r\n")
    assert "status" in answer.fault
    assert not answer.complete


@each("version", [b"0.9", b"1.2", b"2.0", b"3.0"])
def test_versions_that_cannot_be(version: bytes) -> None:
    answer, _ = fed(HEAD.replace(b"1.1", version) + b"Content-Length: 0\r\n\r\n")
    assert answer.fault
    assert not answer.complete


@each("coding", [b"gzip", b"gzip, chunked", b"identity", b"chunked, chunked", b""])
def test_transfer_codings_that_were_not_asked_for(coding: bytes) -> None:
    answer, _ = fed(HEAD + b"Transfer-Encoding: " + coding + b"\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
    assert answer.fault
    assert not answer.complete


def test_what_came_before_a_fault_is_good() -> None:
    answer, body = fed(CHUNKED + b"2\r\nhi\r\nzz\r\n")
    assert answer.fault
    assert answer.head_complete
    assert body == b"hi"


def test_faults_quote_nothing() -> None:
    for wire in (
        b"secret",
        HEAD + b"secret\r\n\r\n",
        CHUNKED + b"secret\r\n",
        HEAD + b"Transfer-Encoding: secret\r\n\r\n",
    ):
        answer, _ = fed(wire)
        assert answer.fault
        assert "secret" not in answer.fault


def test_head_may_reach_its_bound_and_not_pass_it() -> None:
    def head(field_bytes: int) -> bytes:
        return b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: " + b"v" * (field_bytes - 5 - 19) + b"\r\n\r\n"

    assert fed(head(MOST_HEAD_BYTES))[0].complete
    answer, _ = fed(head(MOST_HEAD_BYTES + 1))
    assert answer.fault
    assert not answer.complete


@each("size", [1, 100, 5000])
@each(
    ("begun", "more"),
    [
        (b"HTTP/1.1 200 ", b"v"),
        (HEAD + b"X: ", b"v"),
        (HEAD + b"X", b"x"),
        (HEAD, b"X: v\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"", b"HTTP/1.1 103 Hints\r\nLink: a\r\n\r\n"),
        (CHUNKED + b"2;", b"x"),
        (CHUNKED + b"2\r\nhi\r\n0\r\nX: ", b"v"),
        (CHUNKED + b"2\r\nhi\r\n0\r\n", b"X: v\r\n"),
        (b"", b"\r\n"),
    ],
    ids=["reason", "value", "name", "fields", "100", "103", "extension", "trailer", "trailers", "empty lines"],
)
def test_what_never_ends_is_a_fault(begun: bytes, more: bytes, size: int) -> None:
    answer, read = Answer(), more * size
    answer.feed(begun)
    for _ in range(MOST_HEAD_BYTES // len(read) + 2):
        answer.feed(read)
    assert answer.fault
    assert not answer.complete


def test_long_body_in_small_chunks_is_no_fault() -> None:
    answer = Answer()
    answer.feed(CHUNKED)
    for _ in range(30_000):
        # Framing that comes in reads of its own adds up to more than any bound.
        assert answer.feed(b"2\r\n") == b""
        assert answer.feed(b"hi") == b"hi"
        assert answer.feed(b"\r\n") == b""
    answer.feed(b"0\r\n\r\n")
    assert answer.reusable
    assert not answer.fault
