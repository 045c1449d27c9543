"""Faults inside a 200: stalls, cuts, false ends, errors as events, wrong contents, lines without end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.upstream.framing import response
from tests.upstream.reply import KEEP_ALIVE, Reply
from tests.upstream.request import UpstreamRequest
from tests.upstream.scenario import Outcome, Scenario, named
from tests.upstream.steps import Fin, Flood, Forever, Send, Silence, Step
from tests.upstream.transport_faults import PARTIAL, TEXT, plain
from tests.upstream.vendor import Answer, dumps, words

__all__ = ["STREAM_FAULTS", "drip_for_ever", "keep_alives_for_ever", "stall"]

Steps = Iterator[Step]
_MIB = 1024 * 1024
_FIRST: dict[str, Any] = {"outcome": Outcome.FAILS_FIRST, "group": "stream"}
_LATER: dict[str, Any] = {"outcome": Outcome.FAILS_LATER, "group": "stream", "text": PARTIAL}
_OPEN: dict[str, Any] = {"outcome": Outcome.OPEN, "group": "stream"}
_SERVER_ERROR = {
    "error": {
        "message": "The server had an error while processing your request",
        "type": "server_error",
        "param": None,
        "code": None,
    }
}


# -- watchdogs ---------------------------------------------------------------------------------------------


def keep_alives_for_ever(*, interval_s: float = 0.05) -> Scenario:
    """Headers, then comments and never an event."""

    @named("keep-alives-for-ever", "comments for ever, no event", endless=True, failure="first_token_timeout", **_FIRST)
    def scenario(request: UpstreamRequest) -> Steps:
        reply = plain(request)
        yield reply.head()
        yield Forever(reply.framed(KEEP_ALIVE), interval_s)

    return scenario


def empty_deltas_for_ever(*, interval_s: float = 0.05) -> Scenario:
    """Events that carry no content, for ever."""

    @named(
        "empty-deltas-for-ever",
        "events with an empty delta for ever",
        endless=True,
        failure="first_token_timeout",
        **_FIRST,
    )
    def scenario(request: UpstreamRequest) -> Steps:
        reply = plain(request)
        yield reply.head()
        yield from reply.of_kind("role")
        empty = dumps(reply.vendor.chunk(request, {"role": "assistant", "content": ""}))
        yield Forever(reply.framed(b"data: " + empty + b"\n\n"), interval_s)

    return scenario


def stall(*, interval_s: float = 0.05) -> Scenario:
    """Two deltas, then comments for ever."""

    @named("stall", "two deltas, then keep-alives for ever", endless=True, failure="gap_timeout", **_LATER)
    def scenario(request: UpstreamRequest) -> Steps:
        reply = plain(request)
        yield reply.head()
        yield from reply.content(2)
        yield Forever(reply.framed(KEEP_ALIVE), interval_s)

    return scenario


@named("stall-silent", "two deltas, then not a byte", endless=True, failure="gap_timeout", **_LATER)
def stall_silent(request: UpstreamRequest) -> Steps:
    reply = plain(request)
    yield reply.head()
    yield from reply.content(2)
    yield Silence()


@named("stall-with-empty-deltas", "two deltas, then empty ones for ever", endless=True, failure="gap_timeout", **_LATER)
def stall_with_empty_deltas(request: UpstreamRequest) -> Steps:
    reply = plain(request)
    yield reply.head()
    yield from reply.content(2)
    empty = dumps(reply.vendor.chunk(request, {"content": ""}))
    yield Forever(reply.framed(b"data: " + empty + b"\n\n"), 0.05)


@named("stall-after-finish", "the finish chunk, then neither usage nor [DONE] nor an end", endless=True, **_OPEN)
def stall_after_finish(request: UpstreamRequest) -> Steps:
    reply = plain(request)
    yield reply.head()
    yield from reply.of_kind("role", "content", "finish")
    yield Silence()


def drip_for_ever(*, interval_s: float = 0.05) -> Scenario:
    """One token after another, never a finish."""

    @named(
        "drip-for-ever",
        "tokens for ever, never a finish",
        endless=True,
        failure="total_timeout",
        outcome=Outcome.FAILS_LATER,
        group="stream",
    )
    def scenario(request: UpstreamRequest) -> Steps:
        reply = plain(request)
        yield reply.head()
        yield from reply.of_kind("role")
        token = dumps(reply.vendor.chunk(request, reply.vendor.delta("content", " drip", thinking=False)))
        yield Forever(reply.framed(b"data: " + token + b"\n\n"), interval_s, tokens=1)

    return scenario


# -- ends that are none ------------------------------------------------------------------------------------


@named("cut-mid-utf8", "two deltas, FIN inside the bytes of an owl", failure="stream_cut", **_LATER)
def cut_mid_utf8(request: UpstreamRequest) -> Steps:
    reply = plain(request)
    yield reply.head()
    yield from reply.content(2)
    third = [event for event in reply.events if event.kind == "content"][2].wire
    yield reply.raw(third[: third.index("🦉".encode()) + 2])
    yield Fin()


@named("end-without-finish", "two deltas and a clean end, no finish_reason", failure="stream_cut", **_LATER)
def end_without_finish(request: UpstreamRequest) -> Steps:
    reply = plain(request)
    yield reply.head()
    yield from reply.content(2)
    yield reply.end()


@named("done-without-finish", "two deltas, then [DONE] without a finish_reason", failure="stream_cut", **_LATER)
def done_without_finish(request: UpstreamRequest) -> Steps:
    reply = plain(request)
    yield reply.head()
    yield from reply.content(2)
    yield from reply.of_kind("done")
    yield reply.end()


@named("done-at-once", "[DONE] as the only event", failure="stream_cut", **_FIRST)
def done_at_once(request: UpstreamRequest) -> Steps:
    reply = plain(request)
    yield reply.head()
    yield from reply.of_kind("done")
    yield reply.end()


# -- errors and wrong contents -----------------------------------------------------------------------------


def _after(count: int, name: str, description: str, data: bytes, *, ends: bool = True, **fields: Any) -> Scenario:
    """Send `count` deltas, then these bytes, then a clean end (or `[DONE]` first, if not `ends`)."""

    def steps(request: UpstreamRequest) -> Steps:
        reply = plain(request)
        yield reply.head()
        if count:
            yield from reply.content(count)
        yield reply.raw(data)
        if not ends:
            yield from reply.of_kind("finish", "usage", "done")
        yield reply.end()

    return named(name, description, **((_LATER if count else _FIRST) | fields))(steps)


_ERROR_EVENT = b"data: " + dumps(_SERVER_ERROR) + b"\n\n"
_BROKEN = b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"bro\n\n'

malformed = _after(
    2, "malformed-line", "two deltas, then data that is not JSON", _BROKEN, ends=False, failure="bad_response"
)
malformed_first = _after(0, "malformed-first", "data that is not JSON, first of all", _BROKEN, failure="bad_response")
bad_utf8 = _after(
    2,
    "bad-utf8",
    "two deltas, then a string that is not UTF-8",
    b'data: {"choices":[{"index":0,"delta":{"content":"\xff\xfe"}}]}\n\n',
    ends=False,
    outcome=Outcome.OPEN,
    text=None,
)
trailing_line = _after(
    2,
    "trailing-line",
    "two deltas, then a line of a proxy's log instead of an end",
    b"upstream error: read ECONNRESET",
    failure="stream_cut",
)
error_event_later = _after(
    2, "error-event-later", "two deltas, then an error event", _ERROR_EVENT, failure="stream_error"
)
error_event_first = _after(0, "error-event-first", "an error event and the end", _ERROR_EVENT, failure="stream_error")
error_event_done = _after(
    0,
    "error-event-then-done",
    "an error event, then a finish and [DONE]",
    _ERROR_EVENT,
    ends=False,
    failure="stream_error",
)
error_event_named = _after(
    0,
    "error-event-named",
    "`event: error` with a bare message",
    b'event: error\ndata: {"message":"node down","code":"500"}\n\n',
)
error_event_no_money = _after(
    0,
    "error-event-no-money",
    "an error event that says the account is empty",
    b'data: {"error":{"code":"1113","message":"Insufficient balance"}}\n\n',
    vendors=("zai",),
    failure="out_of_funds",
)
error_event_unsafe = _after(
    0,
    "error-event-unsafe",
    "an error event that refuses the prompt",
    b'data: {"error":{"code":1301,"message":"unsafe"}}\n\n',
    outcome=Outcome.OPEN,
    vendors=("zai",),
)


def _body(name: str, description: str, body: bytes, content_type: str, **fields: Any) -> Scenario:
    def steps(request: UpstreamRequest) -> Steps:
        yield Send(response(200, body, [("content-type", content_type)]))

    return named(name, description, **(_FIRST | fields))(steps)


_HTML = (
    b"<!doctype html><html><head><title>Just a moment...</title></head><body>edge-7.internal.example</body></html>\n"
)
_JSON_ERROR = dumps({"error": {"message": "Engine ds-9 is gone", "type": "server_error", "code": "500"}})
html = _body("html-in-200", "an HTML page with status 200", _HTML, "text/html; charset=utf-8", failure="bad_response")
html_as_stream = _body("html-as-stream", "an HTML page called an event stream", _HTML, "text/event-stream")
json_error = _body("json-error-in-200", "a JSON error with status 200", _JSON_ERROR, "application/json")
json_error_as_stream = _body(
    "json-error-as-stream", "a JSON error called an event stream", _JSON_ERROR, "text/event-stream"
)
json_null = _body("null-in-200", "the JSON value null with status 200", b"null", "application/json")


def _whole(name: str, description: str, prefix: bytes) -> Scenario:
    def steps(request: UpstreamRequest) -> Steps:
        reply = plain(request)
        body, spent = reply.vendor.whole(request, reply.answer)
        yield Send(response(200, prefix + body, [("content-type", "application/json")]), spent.completion, spent)

    return named(name, description, **_OPEN)(steps)


whole_json = _whole("whole-json", "one chat.completion object although a stream was asked for", b"")
whole_json_newlines = _whole("whole-json-newlines", "the same after three empty lines of keep-alive", b"\n\n\n")


# -- without bound -----------------------------------------------------------------------------------------


def _flood(
    name: str, description: str, start: bytes, *, contents: int = 0, fill: bytes = b"x", **fields: Any
) -> Scenario:
    def steps(request: UpstreamRequest) -> Steps:
        reply: Reply = plain(request, framing="close")
        yield reply.head()
        if contents:
            yield from reply.content(contents)
        yield Send(start)
        yield Flood(64 * _MIB, fill)
        yield Fin()

    return named(name, description, **((_LATER if contents else _FIRST) | fields))(steps)


_OPEN_STRING = b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"'
long_line = _flood("line-of-64-mib", "one data line of 64 MiB", _OPEN_STRING, failure="bad_response")
long_line_later = _flood(
    "line-of-64-mib-later", "two deltas, then one data line of 64 MiB", _OPEN_STRING, contents=2, failure="bad_response"
)
long_comment = _flood("comment-of-64-mib", "one comment of 64 MiB", b": ", outcome=Outcome.OPEN)
many_lines = _flood(
    "event-of-64-mib", "one event of data lines without end", b"", fill=b"data: [1,\n", failure="bad_response"
)


# -- finishes that are failures ----------------------------------------------------------------------------


def _finish(name: str, description: str, word: str, *, text: str = TEXT, **fields: Any) -> Scenario:
    def steps(request: UpstreamRequest) -> Steps:
        reply = Reply(request, Answer(text=text, reasoning="", finish=word))
        yield reply.head()
        yield from reply.all_events()
        yield reply.end()

    base = _LATER | {"text": TEXT} if text else _FIRST
    return named(name, description, **(base | fields))(steps)


no_resource = _finish(
    "insufficient-system-resource",
    "text, then finish_reason insufficient_system_resource, [DONE]",
    "insufficient_system_resource",
    vendors=("deepseek",),
)
no_resource_first = _finish(
    "insufficient-system-resource-first",
    "the same without any text",
    "insufficient_system_resource",
    text="",
    vendors=("deepseek",),
)
aborted = _finish("aborted", "text, then finish_reason aborted", "aborted", vendors=("deepseek",))
network_error = _finish("network-error", "text, then finish_reason network_error", "network_error", vendors=("zai",))
network_error_first = _finish(
    "network-error-first", "the same without any text", "network_error", text="", vendors=("zai",)
)

STREAM_FAULTS: tuple[Scenario, ...] = (
    keep_alives_for_ever(),
    empty_deltas_for_ever(),
    stall(),
    drip_for_ever(),
    *(value for value in list(globals().values()) if isinstance(value, Scenario)),
)
assert len(words(PARTIAL)) == 2
