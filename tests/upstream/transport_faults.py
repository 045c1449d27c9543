"""Faults of connections and HTTP: refused, silent, cut, ill-framed, redirected."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

from tests.upstream.framing import LAST_CHUNK, chunk, head, response
from tests.upstream.reply import KEEP_ALIVE, Reply
from tests.upstream.request import UpstreamRequest
from tests.upstream.scenario import Outcome, Scenario, named
from tests.upstream.steps import Fin, Forever, Rst, Send, Silence, Step
from tests.upstream.vendor import Answer, words

__all__ = ["PARTIAL", "TEXT", "TRANSPORT_FAULTS", "plain"]

TEXT = "One owl 🦉 counts the café's hens: six."
PARTIAL = "".join(words(TEXT)[:2])
"""The text of the first two deltas."""
Steps = Iterator[Step]


def plain(request: UpstreamRequest, **fields: str) -> Reply:
    """Return a reply that says TEXT without thinking, whatever the vendor's default."""
    return Reply(request, Answer(text=TEXT, reasoning=""), **fields)  # type: ignore[arg-type]


_FIRST = {"outcome": Outcome.FAILS_FIRST, "group": "transport"}
_LATER = {"outcome": Outcome.FAILS_LATER, "group": "transport", "text": PARTIAL}
_ANSWERS = {"outcome": Outcome.ANSWERS, "group": "transport", "text": TEXT, "finish": "stop"}
_OPEN = {"outcome": Outcome.OPEN, "group": "transport"}


@named(
    "silence-after-accept",
    "takes the request and never says a byte",
    endless=True,
    failure="first_token_timeout",
    **_FIRST,
)
def silence_after_accept(request: UpstreamRequest) -> Steps:
    yield Silence()


@named(
    "silence-after-headers",
    "200 and the headers of a stream, then nothing",
    endless=True,
    failure="first_token_timeout",
    **_FIRST,
)
def silence_after_headers(request: UpstreamRequest) -> Steps:
    yield plain(request).head()
    yield Silence()


@named("close-before-answer", "FIN instead of an answer, as on a stale keep-alive connection", **_FIRST)
def close_before_answer(request: UpstreamRequest) -> Steps:
    yield Fin()


@named("reset-before-answer", "RST instead of an answer", **_FIRST)
def reset_before_answer(request: UpstreamRequest) -> Steps:
    yield Rst()


@named("close-in-headers", "FIN in the middle of a header line", **_FIRST)
def close_in_headers(request: UpstreamRequest) -> Steps:
    yield Send(b"HTTP/1.1 200 OK\r\ncontent-type: text/eve")
    yield Fin()


@named("reset-in-headers", "RST in the middle of the status line", **_FIRST)
def reset_in_headers(request: UpstreamRequest) -> Steps:
    yield Send(b"HTTP/1.1 20")
    yield Rst()


@named("not-http", "another protocol's greeting", **_FIRST)
def not_http(request: UpstreamRequest) -> Steps:
    yield Send(b"SSH-2.0-OpenSSH_9.6\r\n")
    yield Fin()


@named("header-over-64-kib", "one header line of 70 KiB before a whole answer", **_OPEN)
def header_over_64_kib(request: UpstreamRequest) -> Steps:
    reply = plain(request)
    yield reply.head(extra=[("x-padding", "p" * 71_680)])
    yield from reply.all_events()
    yield reply.end()


@named("headers-for-ever", "header lines without end", endless=True, **_FIRST)
def headers_for_ever(request: UpstreamRequest) -> Steps:
    yield Send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n")
    yield Forever(b"x-padding: " + b"p" * 4096 + b"\r\n", interval_s=0.002)


@named("early-hints", "100 and 103 before the 200", **_ANSWERS)
def early_hints(request: UpstreamRequest) -> Steps:
    reply = plain(request)
    yield Send(head(100))
    yield Send(head(103, [("link", "</style.css>; rel=preload")]))
    yield reply.head()
    yield from reply.all_events()
    yield reply.end()


@named("redirect", "302 to itself", **_FIRST)
def redirect(request: UpstreamRequest) -> Steps:
    yield Send(response(302, b"", [("location", request.raw.path)]))


@named("gzip", "the stream compressed although identity was asked for", **_OPEN)
def gzipped(request: UpstreamRequest) -> Steps:
    reply = plain(request)
    yield reply.head(extra=[("content-encoding", "gzip")])
    yield reply.raw(gzip.compress(b"".join(event.wire for event in reply.events), mtime=0))
    yield reply.end()


@named("no-content-type", "a whole stream without a content type", **_OPEN)
def no_content_type(request: UpstreamRequest) -> Steps:
    reply = plain(request)
    yield reply.head(content_type=None)
    yield from reply.all_events()
    yield reply.end()


@named("wrong-content-type", "a whole stream called text/plain", **_OPEN)
def wrong_content_type(request: UpstreamRequest) -> Steps:
    reply = plain(request)
    yield reply.head(content_type="text/plain")
    yield from reply.all_events()
    yield reply.end()


@named("empty-200", "200, the headers of a stream, and its clean end", failure="stream_cut", **_FIRST)
def empty_200(request: UpstreamRequest) -> Steps:
    reply = plain(request)
    yield reply.head()
    yield reply.end()


def _sized(reply: Reply, size_bytes: int) -> Send:
    headers = reply.vendor.stream_headers(reply.request.number)
    return Send(head(200, [*headers, ("content-length", str(size_bytes))]))


@named("content-length-too-long", "a whole stream, but Content-Length promises 100 bytes more; then FIN", **_ANSWERS)
def content_length_too_long(request: UpstreamRequest) -> Steps:
    reply = plain(request, framing="close")
    yield _sized(reply, sum(len(event.wire) for event in reply.events) + 100)
    yield from reply.all_events()
    yield Fin()


@named(
    "content-length-too-short",
    "Content-Length ends in the third delta; the rest follows regardless",
    failure="stream_cut",
    **_LATER,
)
def content_length_too_short(request: UpstreamRequest) -> Steps:
    reply = plain(request, framing="close")
    contents = [event for event in reply.events if event.kind in ("role", "content")]
    whole = 2 if contents[0].kind == "content" else 3
    yield _sized(reply, sum(len(event.wire) for event in contents[:whole]) + 20)
    yield from reply.all_events()
    yield Fin()


@named("no-last-chunk", "a whole stream with [DONE], then FIN without the last chunk", **_ANSWERS)
def no_last_chunk(request: UpstreamRequest) -> Steps:
    reply = plain(request)
    yield reply.head()
    yield from reply.all_events()
    yield Fin()


@named("bad-chunk-size", "two deltas, then a chunk whose size is no number", **_LATER)
def bad_chunk_size(request: UpstreamRequest) -> Steps:
    reply = plain(request)
    yield reply.head()
    yield from reply.content(2)
    yield Send(b"zz\r\n" + reply.events[-2].wire + b"\r\n")
    yield Fin()


def _cut(name: str, description: str, end: Step, *, contents: int, framing: str = "chunked") -> Scenario:
    def steps(request: UpstreamRequest) -> Steps:
        reply = plain(request, framing=framing)
        yield reply.head()
        yield from reply.content(contents)
        following = [event for event in reply.events if event.kind == "content"][contents]
        yield reply.raw(following.wire[: len(following.wire) // 2])
        yield end

    fields = _LATER if contents else _FIRST
    return named(name, description, failure="stream_cut", **fields)(steps)


cut_by_reset = _cut("cut-by-reset", "two deltas, half an event, RST", Rst(), contents=2)
cut_by_fin = _cut("cut-by-fin", "two deltas, half an event, FIN without the last chunk", Fin(), contents=2)
cut_unframed = _cut(
    "cut-unframed", "two deltas, half an event, FIN where FIN is the end", Fin(), contents=2, framing="close"
)
cut_first_by_reset = _cut("cut-first-by-reset", "half of the first event, RST", Rst(), contents=0)
cut_first_by_fin = _cut("cut-first-by-fin", "half of the first event, FIN", Fin(), contents=0)


@named("open-after-done", "a whole stream with [DONE]; then neither the last chunk nor FIN", endless=True, **_ANSWERS)
def open_after_done(request: UpstreamRequest) -> Steps:
    reply = plain(request)
    yield reply.head()
    yield from reply.all_events()
    yield Silence()


@named("bytes-after-done", "a whole stream, then more events after [DONE]", **_ANSWERS)
def bytes_after_done(request: UpstreamRequest) -> Steps:
    reply = plain(request)
    yield reply.head()
    yield from reply.all_events()
    yield reply.raw(b'data: {"choices":[{"index":0,"delta":{"content":"late"}}]}\n\n' + KEEP_ALIVE)
    yield reply.end()


@named(
    "second-answer-unasked",
    "a whole stream, then a second HTTP answer unasked: it must not answer the next request",
    **_ANSWERS,
)
def second_answer_unasked(request: UpstreamRequest) -> Steps:
    reply = plain(request)
    yield reply.head()
    yield from reply.all_events()
    late = b'data: {"choices":[{"index":0,"delta":{"content":"another user\'s answer"}}]}\n\n'
    yield Send(LAST_CHUNK + reply.head().data + chunk(late) + LAST_CHUNK)


@named("unframed", "a whole stream without any framing; FIN is its end", **_ANSWERS)
def unframed(request: UpstreamRequest) -> Steps:
    reply = plain(request, framing="close")
    yield reply.head()
    yield from reply.all_events()
    yield reply.end()


TRANSPORT_FAULTS: tuple[Scenario, ...] = tuple(
    value for value in list(globals().values()) if isinstance(value, Scenario)
)
