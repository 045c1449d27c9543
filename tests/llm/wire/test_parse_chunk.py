from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.llm.wire.json import dumps
from apps.llm.wire.openai import MAX_TOOL_CALLS, Chunk, UpstreamAnswer, Usage, parse_chunk
from apps.llm.wire.sse import Decoder, is_done
from tests.each import each
from tests.llm.wire.reading import assembled

STREAMS = Path(__file__).parents[2] / "fixtures" / "streams"


def parse(**event: object) -> Chunk:
    return parse_chunk(json.dumps(event).encode())


def delta(value: object, **choice: object) -> Chunk:
    return parse(choices=[{"index": 0, "delta": value, **choice}])


def chunks_of(name: str, step: int = 7) -> list[Chunk]:
    stream, decoder = (STREAMS / name).read_bytes(), Decoder()
    events = [event for place in range(0, len(stream), step) for event in decoder.feed(stream[place : place + step])]
    return [parse_chunk(event) for event in events if not is_done(event)]


class TestFixtures:
    @each("name", ["f1_openai_normal.sse", "f1b_raw_separators.sse"])
    def test_openai(self, name):
        first, text, finish, usage = chunks_of(name)

        assert first == Chunk()
        assert not first.has_content
        assert text.content.startswith("Owls\u2028caf")
        assert text.has_content
        assert finish == Chunk(finish_reason="stop")
        assert usage == Chunk(usage=Usage(prompt_tokens=12, completion_tokens=5))
        assert usage.usage is not None
        assert usage.usage.total_tokens == 17

    def test_deepseek(self):
        chunks = chunks_of("f2_deepseek_reasoning.sse")

        assert [chunk.reasoning for chunk in chunks] == ["", "Count the hens.", "", ""]
        assert [chunk.content for chunk in chunks] == ["", "", "Six.", ""]
        assert [chunk.has_content for chunk in chunks] == [False, True, True, False]
        assert [chunk.finish_reason for chunk in chunks] == [None, None, None, "stop"]
        assert chunks[0].system_fingerprint == "fp_x"
        assert [chunk.extra for chunk in chunks] == [None] * 4
        assert chunks[-1].usage == Usage(prompt_tokens=40, completion_tokens=9, cached_tokens=32, reasoning_tokens=6)

    def test_zai(self):
        thought, call, finish = chunks_of("f3_zai_tool_call.sse")

        assert thought == Chunk(reasoning="Need the tide table")
        assert call.tool_calls == [
            {
                "id": "call_z1",
                "index": 0,
                "type": "function",
                "function": {"name": "tide", "arguments": '{"port":"Brest"}'},
            }
        ]
        assert call.has_content
        usage = Usage(prompt_tokens=70, completion_tokens=21, cached_tokens=64, reasoning_tokens=8)
        assert finish == Chunk(finish_reason="tool_calls", usage=usage)

    def test_interleaved_tool_calls(self):
        chunks = chunks_of("f4_interleaved_tool_calls.sse")
        fragments = [fragment for chunk in chunks for fragment in chunk.tool_calls]

        assert [fragment["index"] for fragment in fragments] == [0, 0, 1, 0, 1]
        assert fragments[1] == {"index": 0, "function": {"arguments": '{"po'}}

    def test_framing(self):
        assert [chunk.content for chunk in chunks_of("f5_framing.sse", step=1)] == ["a", "b"]

    def test_an_error_inside_a_200(self):
        *_, error = chunks_of("f6_error_event.sse")

        assert error.error is not None
        assert error.error["type"] == "server_error"
        assert not error.has_content

    def test_a_finish_that_is_a_failure_keeps_its_word(self):
        *_, finish = chunks_of("f12_insufficient_system_resource.sse")

        assert finish == Chunk(finish_reason="insufficient_system_resource")

    def test_a_whole_completion_after_empty_lines(self):
        data = (STREAMS / "f12b_leading_newlines.json").read_bytes()
        chunk = parse_chunk(data)

        assert data.startswith(b"\n")
        assert chunk.content == json.loads(data)["choices"][0]["message"]["content"] != ""
        assert chunk.finish_reason == "stop"
        assert chunk.usage is not None


class TestTolerance:
    @each("empty", [{}, {"content": None}, {"content": ""}, {"role": "assistant"}, None])
    def test_a_delta_that_says_nothing(self, empty):
        assert delta(empty) == Chunk()

    @each("text", ["0", " ", "\n", "null", "False", "\0", "\ud83e"])
    def test_falsy_looking_text_is_content(self, text):
        assert delta({"content": text}) == Chunk(content=text)
        assert delta({"reasoning_content": text}).has_content
        assert delta({"refusal": text}) == Chunk(refusal=text)

    def test_unknown_members_are_passed_over(self):
        chunk = parse(choices=[{"delta": {"content": "a", "audio": {}}}], obfuscation="x", service_tier=1, model=None)

        assert chunk == Chunk(content="a")

    def test_a_choice_without_an_index_is_the_first_and_others_are_ignored(self):
        others = [{"index": 1, "delta": {"content": "b"}}, {"index": "0", "delta": {"content": "c"}}]

        assert parse(choices=[*others, {"delta": {"content": "a"}}]) == Chunk(content="a")
        assert parse(choices=others) == Chunk()
        assert parse(choices=[{"delta": {"content": "a"}}, {"index": 0, "delta": {"content": "b"}}]) == Chunk(
            content="a"
        )

    @each("finish", [None, ""])
    def test_no_finish(self, finish):
        assert delta({}, finish_reason=finish).finish_reason is None

    def test_what_a_choice_carries_beside_its_delta_is_kept(self):
        chunk = delta({"content": "a"}, logprobs={"content": []}, stop_reason=None, finish_reason=None)

        assert chunk.extra == {"logprobs": {"content": []}}

    def test_chunks_without_choices(self):
        assert parse(object="chat.completion.chunk", id="x", moderation={}) == Chunk()
        assert parse(usage={"prompt_tokens": 1, "completion_tokens": 2}).usage is not None
        assert parse(choices=None, usage=None, object="chat.completion.chunk") == Chunk()

    @each(
        ("error", "expected"),
        [
            ({"code": "1302", "message": "busy"}, {"code": "1302", "message": "busy"}),
            ("overloaded", {"message": "overloaded", "code": None}),
            (500, {"message": "", "code": 500}),
            (["a"], {"message": "", "code": None}),
        ],
    )
    def test_errors_of_every_shape(self, error, expected):
        assert parse(error=error).error == expected
        assert parse(error=error, choices=[]).error == expected
        assert parse(error=error, choices="broken").error == expected

    @each("error", [None, "", {}, False, []])
    def test_an_empty_error_is_none(self, error):
        assert parse(error=error, choices=[{"delta": {"content": "a"}}]) == Chunk(content="a")


class TestUsage:
    @each(
        ("usage", "expected"),
        [
            ({"prompt_tokens": 3, "completion_tokens": 0}, (3, 0, 0, 0)),
            ({"prompt_tokens": 10**9}, (10**9, 5, 0, 0)),
            ({"prompt_tokens": 3.0, "completion_tokens": 2.9}, (3, 2, 0, 0)),
            ({"prompt_tokens_details": None, "completion_tokens_details": None}, (5, 5, 0, 0)),
            ({"prompt_tokens_details": {"cached_tokens": 4}, "prompt_cache_hit_tokens": 2}, (5, 5, 4, 0)),
            ({"prompt_tokens_details": {"cached_tokens": 0}, "prompt_cache_hit_tokens": 2}, (5, 5, 0, 0)),
            ({"prompt_tokens_details": {"cached_tokens": None}, "prompt_cache_hit_tokens": 2}, (5, 5, 2, 0)),
            ({"prompt_cache_hit_tokens": 2}, (5, 5, 2, 0)),
            ({"prompt_tokens_details": {"cached_tokens": 9}}, (5, 5, 5, 0)),
            ({"prompt_tokens_details": {"cached_tokens": -9}}, (5, 5, 0, 0)),
            ({"prompt_tokens_details": [1], "completion_tokens_details": "a"}, (5, 5, 0, 0)),
            ({"completion_tokens_details": {"reasoning_tokens": 4}}, (5, 5, 0, 4)),
            ({"completion_tokens_details": {"reasoning_tokens": 6}}, (5, 5, 0, 5)),
            ({"completion_tokens_details": {"reasoning_tokens": True}}, (5, 5, 0, 0)),
        ],
    )
    def test_counts(self, usage, expected):
        read = parse(choices=[], usage={"prompt_tokens": 5, "completion_tokens": 5, **usage}).usage

        assert read is not None
        assert (read.prompt_tokens, read.completion_tokens, read.cached_tokens, read.reasoning_tokens) == expected

    @each("count", [-1, None, "5", True, [], 10**9 + 1, 1e300, -0.5])
    @each("name", ["prompt_tokens", "completion_tokens"])
    def test_a_count_that_cannot_be_leaves_no_usage(self, name, count):
        usage = {"prompt_tokens": 5, "completion_tokens": 5, name: count}

        assert parse(choices=[{"delta": {"content": "a"}}], usage=usage) == Chunk(content="a")

    @each("usage", [None, {}, [], "none", 3, {"total_tokens": 9}])
    def test_no_usage(self, usage):
        assert parse(choices=[], usage=usage).usage is None


NOT_CHUNKS = [
    b"",
    b"[DONE]",
    b"null",
    b"[]",
    b'"text"',
    b"1",
    b"{}",
    b"{",
    b"<html>",
    b'{"id":"x"}',
    b'{"message":"Internal Server Error"}',
    b'{"usage":null}',
    b'{"object":7}',
    b'{"choices":"a"}',
    b'{"choices":[{"delta":{"content":NaN}}]}',
    b'{"choices":[{"delta":{"content":"\xff"}}]}',
    b"[" * 100_000,
]


@each("data", NOT_CHUNKS, ids=range(len(NOT_CHUNKS)))
def test_what_is_not_a_chunk_is_a_value_error(data):
    with pytest.raises(ValueError):  # noqa: PT011 - the class alone is the promise
        parse_chunk(data)


NAMES = st.sampled_from(
    re.findall(
        r"\w+",
        "choices index delta message content reasoning_content refusal tool_calls id type function name arguments "
        "finish_reason logprobs usage prompt_tokens completion_tokens prompt_tokens_details cached_tokens error "
        "completion_tokens_details object system_fingerprint",
    )
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=10,
)


@settings(max_examples=100)
@given(*[st.dictionaries(NAMES, VALUES, max_size=4)] * 3)
def test_anything_is_read_and_assembles(event, choice, delta):
    data = json.dumps({**event, "choices": [{**choice, "index": 0, "delta": delta}]}).encode()
    chunk = UpstreamAnswer().read(data)
    assert chunk is not None
    if chunk.error is None:
        fields = {"content": chunk.content, "reasoning_content": chunk.reasoning, "tool_calls": chunk.tool_calls}
        message = assembled([("", dumps({"choices": [{"delta": fields, **(chunk.extra or {})}]}))])
        assert len(message.tool_calls) <= len(chunk.tool_calls)


def test_more_tool_calls_than_there_can_be():
    def data(count: int) -> bytes:
        calls = [{"id": str(place)} for place in range(count)]
        return json.dumps({"choices": [{"index": 0, "message": {"tool_calls": calls}}]}).encode()

    assert len(parse_chunk(data(MAX_TOOL_CALLS)).tool_calls) == MAX_TOOL_CALLS
    with pytest.raises(ValueError, match="too many"):
        parse_chunk(data(MAX_TOOL_CALLS + 1))
