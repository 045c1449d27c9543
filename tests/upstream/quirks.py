"""Answers that are whole but odd: every one of them must reach the client as it was meant."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from tests.upstream.healthy import echo, healthy
from tests.upstream.journal import Tokens
from tests.upstream.reply import Reply
from tests.upstream.request import UpstreamRequest
from tests.upstream.scenario import Outcome, Scenario, named
from tests.upstream.steps import Pause, Send, Step, Trickle
from tests.upstream.transport_faults import TEXT, plain
from tests.upstream.vendor import Answer, ToolCall, dumps, words

__all__ = ["QUIRKS"]

Steps = Iterator[Step]
_OK: dict[str, Any] = {"outcome": Outcome.ANSWERS, "group": "quirks", "text": TEXT, "finish": "stop"}
_CALLS = (
    ToolCall("call_a", "tide", ("", '{"po', 'rt":"Brest"', ',"note":"caf\u00e9 🦉"}')),
    ToolCall("call_b", "moon", ("{}",)),
)


def _said(name: str, description: str, answer: Answer, **fields: Any) -> Scenario:
    scenario = healthy(answer=replace(answer, reasoning=answer.reasoning or ""), name=name, description=description)
    return replace(scenario, group="quirks", checked=False, **fields)


# -- usage -------------------------------------------------------------------------------------------------

usage_missing = _said("usage-missing", "no usage anywhere", Answer(text=TEXT, placement="missing"))
usage_on_finish = _said("usage-on-finish", "usage on the finish chunk", Answer(text=TEXT, placement="finish"))
usage_extra = _said("usage-extra", "usage in a chunk of its own, `choices` empty", Answer(text=TEXT, placement="extra"))
usage_cached = _said(
    "usage-cached",
    "usage with cached and reasoning tokens",
    Answer(text=TEXT, usage=Tokens(prompt=1000, completion=200, cached=640, reasoning=120)),
)


@named("usage-twice", "the same usage on the finish chunk and in one of its own: it counts once", **_OK)
def usage_twice(request: UpstreamRequest) -> Steps:
    reply = Reply(request, Answer(text=TEXT, reasoning="", placement="finish"))
    yield reply.head()
    yield from reply.of_kind("role", "content", "finish")
    finish = next(event for event in reply.events if event.kind == "finish")
    extra = reply.vendor.envelope(request) | {"choices": [], "usage": json.loads(finish.data)["usage"]}
    yield reply.raw(b"data: " + dumps(extra) + b"\n\n")
    yield from reply.of_kind("done")
    yield reply.end()


@named("usage-in-every-chunk", "usage that grows with every delta: the last one counts", **_OK)
def usage_in_every_chunk(request: UpstreamRequest) -> Steps:
    reply = Reply(request, Answer(text=TEXT, reasoning="", placement="finish"))
    yield reply.head()
    spent = Tokens(prompt=request.prompt_tokens, completion=0)
    for event in reply.events:
        if event.kind == "content":
            spent = replace(spent, completion=spent.completion + 1)
            grown = json.loads(event.data) | {"usage": reply.vendor.usage(spent)}
            yield reply.raw(b"data: " + dumps(grown) + b"\n\n", tokens=1)
        else:
            yield reply.event(event)
    yield reply.end()


# -- cuts and line ends ------------------------------------------------------------------------------------


def _bytes(
    name: str, description: str, play: Callable[[Reply, bytes], Iterator[Step]], *, text: str = TEXT
) -> Scenario:
    """Play a whole stream's bytes in another way."""

    def steps(request: UpstreamRequest) -> Steps:
        reply = Reply(request, Answer(text=text, reasoning=""), framing="close")
        yield reply.head()
        yield from play(reply, b"".join(event.wire for event in reply.events))
        usage = next((event.usage for event in reply.events if event.usage), None)
        yield Send(b"", sum(event.tokens for event in reply.events), usage)
        yield reply.end()

    return named(name, description, **(_OK | {"text": text}))(steps)


def _crlf(data: bytes) -> bytes:
    return b"\xef\xbb\xbf:\r\n" + data.replace(b"data: ", b"data:").replace(b"\n", b"\r\n")


def _one(data: bytes) -> Iterator[Step]:
    yield Send(data)


def _after_crs(data: bytes) -> Iterator[Step]:
    for piece in data.replace(b"\r", b"\r\0").split(b"\0"):
        yield Send(piece)
        yield Pause(0.001)


byte_by_byte = _bytes("byte-by-byte", "every byte in a write of its own", lambda reply, data: iter([Trickle(data)]))
slow_drip = _bytes("slow-drip", "seven bytes every millisecond", lambda reply, data: iter([Trickle(data, 7, 0.001)]))
one_write = _bytes("one-write", "the whole stream in one write", lambda reply, data: _one(data))
crlf_bom = _bytes(
    "crlf-bom", "BOM, empty comment, CRLF, no space after the colon", lambda reply, data: _one(_crlf(data))
)
crlf_split = _bytes(
    "crlf-split", "the same, every write ending between CR and LF", lambda reply, data: _after_crs(_crlf(data))
)
cr_only = _bytes("cr-only", "lines that end with CR alone", lambda reply, data: _one(data.replace(b"\n", b"\r")))
no_last_blank = _bytes(
    "no-blank-at-end", "[DONE] without the blank line behind it", lambda reply, data: _one(data.rstrip(b"\n") + b"\n")
)
two_data_lines = _bytes(
    "two-data-lines",
    "each chunk's JSON on two data lines, with `event:`, `id:` and unknown fields",
    lambda reply, data: _one(
        data.replace(b',"choices"', b',\ndata: "choices"').replace(
            b"data: {", b"event: message\nid: 7\nfoo: bar\ndata: {"
        )
    ),
)
many_comments = _bytes(
    "comments-between",
    "a comment and a blank line after every event",
    lambda reply, data: _one(data.replace(b"\n\n", b"\n\n: keep-alive\n\n")),
)
queued = replace(
    healthy(TEXT, answer=Answer(text=TEXT, reasoning=""), queued=5),
    name="queued",
    checked=False,
    description="five keep-alive comments, then a whole answer",
    group="quirks",
)


def slow_first_token(seconds: float = 0.3) -> Scenario:
    """A whole answer whose first token comes `seconds` late."""
    late = healthy(answer=Answer(text=TEXT, reasoning=""), first_delay_s=seconds)
    return replace(
        late, name="slow-first-token", description=f"the first token {seconds} s late", group="quirks", checked=False
    )


@named("slow-headers", "the status line half a second late", **_OK)
def slow_headers(request: UpstreamRequest) -> Steps:
    reply = plain(request)
    yield Pause(0.5)
    yield reply.head()
    yield from reply.all_events()
    yield reply.end()


# -- characters --------------------------------------------------------------------------------------------

line_separators = _said(
    "line-separators",
    "U+2028, U+2029, U+0085, VT, FF and FS as they are inside strings",
    Answer(text="a\u2028b\u2029c\x85d e\x0b\x0c\x1c f", pieces=None),
)
falsy = _said(
    "falsy-deltas",
    "deltas of `0`, one space, nothing, `null` and `[DONE]`",
    Answer(pieces=("0", " ", "", "null", " ", "[DONE]", "\n", "data: x\n\n")),
)
huge_delta = _said("huge-delta", "one delta of 900 KiB", Answer(pieces=("h" * 921_600,)))
long_answer = _said("long", "2,000 deltas", Answer(pieces=tuple(f"{number} " for number in range(2_000))))


@named("surrogates-split", "an escaped surrogate pair split over two deltas", **(_OK | {"text": "owl 🦉 end"}))
def surrogates_split(request: UpstreamRequest) -> Steps:
    reply = Reply(request, Answer(pieces=("owl ", "\ud83e", "\udd89", " end"), reasoning=""))
    yield reply.head()
    yield from reply.all_events()
    yield reply.end()


@named("control-characters-in-id", "newlines, a data line and NUL inside the JSON `id` and the event's `id:`", **_OK)
def control_characters_in_id(request: UpstreamRequest) -> Steps:
    reply = plain(request)
    yield reply.head(extra=[("x-request-id", "up\tstream")])
    for event in reply.events:
        data = event.data
        if event.kind != "done":
            evil = {"id": 'x\n\ndata: {"evil":1}\n\n\u0000', "model": "m\r\nx: y"}
            data = dumps(json.loads(data) | evil)
        yield reply.raw(b"id: a\0b\nretry: 1\ndata: " + data + b"\n\n", tokens=event.tokens)
    yield reply.end()


# -- shapes ------------------------------------------------------------------------------------------------

tools_whole = _said(
    "tool-calls-whole",
    "two tool calls, each whole in one delta",
    Answer(tool_calls=tuple(ToolCall(c.id, c.name, (c.arguments,)) for c in _CALLS)),
    vendors=("zai",),
)
tools_interleaved = _said(
    "tool-calls-interleaved",
    "two tool calls in fragments that alternate",
    Answer(tool_calls=_CALLS),
    vendors=("deepseek", "openai"),
)
tools_after_text = _said(
    "tool-calls-after-text",
    "text first, then a tool call",
    Answer(text=TEXT, tool_calls=_CALLS[:1], finish="tool_calls"),
)
reasoning = _said(
    "reasoning",
    "reasoning first, then text",
    Answer(text=TEXT, reasoning="Count the hens. Then\nthe owl."),
    vendors=("deepseek", "zai"),
)
refusal = _said(
    "refusal",
    "refusal deltas in the place of text",
    Answer(refusal="I cannot help with that owl."),
    vendors=("openai",),
)
content_filter = _said(
    "content-filter", "text, then finish_reason content_filter", Answer(text=TEXT, finish="content_filter")
)
length = _said("length", "text, then finish_reason length", Answer(text=TEXT, finish="length"))
sensitive = _said(
    "sensitive", "text, then finish_reason sensitive", Answer(text=TEXT, finish="sensitive"), vendors=("zai",)
)
sensitive = replace(sensitive, finish="content_filter")
window = _said(
    "model-context-window-exceeded",
    "text, then finish_reason model_context_window_exceeded",
    Answer(text=TEXT, finish="model_context_window_exceeded"),
    vendors=("zai",),
)
window = replace(window, finish="length")
empty_answer = _said("empty-answer", "a finish_reason and not a word", Answer(text=""))
content_on_finish = _said(
    "content-on-finish", "the last word on the finish chunk itself", Answer(text=TEXT, finish_content=" End.")
)


def _edited(name: str, description: str, edit: Callable[[dict[str, Any]], dict[str, Any]], **fields: Any) -> Scenario:
    def steps(request: UpstreamRequest) -> Steps:
        reply = plain(request)
        yield reply.head()
        for event in reply.events:
            data = event.data if event.kind == "done" else dumps(edit(json.loads(event.data)))
            yield reply.event(replace(event, data=data))
        yield reply.end()

    return named(name, description, **(_OK | fields))(steps)


unknown_fields = _edited(
    "unknown-fields",
    "fields of next year in every chunk, choice and delta",
    lambda chunk: {"moderation": {"flagged": False}} | chunk | {"service_tier": "x", "n": [1, {}]},
)
null_fields = _edited(
    "null-fields",
    "content, tool_calls, refusal and function_call null where they carry nothing",
    lambda chunk: (
        chunk
        | {
            "choices": [
                choice
                | {
                    "delta": {"content": None, "tool_calls": None, "refusal": None, "function_call": None}
                    | choice["delta"]
                }
                for choice in chunk["choices"]
            ]
        }
    ),
)


@named("finish-twice", "two finish chunks: the client gets one", **_OK)
def finish_twice(request: UpstreamRequest) -> Steps:
    reply = plain(request)
    yield reply.head()
    yield from reply.before_finish()
    yield from reply.of_kind("finish")
    yield from reply.of_kind("finish", "usage", "done")
    yield reply.end()


@named("content-after-finish", "a delta with text behind the finish chunk", **(_OK | {"text": None}))
def content_after_finish(request: UpstreamRequest) -> Steps:
    reply = plain(request)
    yield reply.head()
    yield from reply.of_kind("role", "content", "finish")
    late = reply.vendor.chunk(request, reply.vendor.delta("content", " Late.", thinking=False))
    yield reply.raw(b"data: " + dumps(late) + b"\n\n", tokens=1)
    yield from reply.of_kind("usage", "done")
    yield reply.end()


@named("end-without-done", "a finish chunk and a clean end, no [DONE]", **_OK)
def end_without_done(request: UpstreamRequest) -> Steps:
    reply = plain(request)
    yield reply.head()
    yield from reply.of_kind("role", "content", "finish", "usage")
    yield reply.end()


HEALTHY: tuple[Scenario, ...] = (
    healthy(),
    healthy(delay_s=0.02, name="steady", description="a whole answer, a token every 20 ms"),
    echo(),
)
QUIRKS: tuple[Scenario, ...] = (
    *(value for value in list(globals().values()) if isinstance(value, Scenario)),
    slow_first_token(),
)
assert words(TEXT)
