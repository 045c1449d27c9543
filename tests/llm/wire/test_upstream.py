"""What is tolerated of an upstream: the answer is the same with it and without."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.llm.wire.openai import BrokenChunk, Chunk, UpstreamAnswer, Usage, finish_of
from apps.llm.wire.sse import Decoder, is_done
from tests.each import each


def event(delta: Any, finish: Any = None, **members: Any) -> bytes:
    return json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **members}).encode()


def read(*payloads: bytes) -> list[Chunk | None]:
    answer = UpstreamAnswer()
    return [answer.read(payload) for payload in payloads]


def named(name: str, data: bytes) -> bytes:
    return Decoder().feed(b"event: " + name.encode() + b"\ndata: " + data + b"\n\n")[0]


ODD = [
    b'{"type":"ping"}',
    b"{}",
    b"null",
    b"[]",
    b"[1,2]",
    b'"text"',
    b"7",
    b"keep-alive",
    b"<html>",
    b"\xff",
    b'{"id":"x","created":1}',
    b'{"choices":[]}',
    b'{"choices":null,"object":"chat.completion.chunk"}',
    b'{"choices":"a"}',
    b'{"choices":[null]}',
    b'{"choices":[{"index":1,"delta":{"content":"another"},"finish_reason":"stop"}]}',
    b'{"choices":[{"delta":7}]}',
    b'{"choices":[{"delta":{"content":"","tool_calls":7}}]}',
    b'{"choices":[{"delta":{"content":[{"type":"reference","text":"x"},7]}}]}',
    b'{"choices":[{"delta":{},"finish_reason":["stop"]}]}',
    b'{"choices":[{"delta":{},"finish_reason":7}]}',
    b'{"choices":[{"delta":{},"finish_reason":"null"}]}',
    b'{"choices":[],"usage":{"prompt_tokens":0,"completion_tokens":0}}',
    b'{"choices":[],"usage":{"prompt_tokens":"5","completion_tokens":-1}}',
    b'{"error":null,"usage":{}}',
    b"x" * 70_000,
]


class TestEvents:
    @each("data", ODD, ids=range(len(ODD)))
    @each("name", ["message", "ping", "data", "done"])
    def test_an_odd_one_says_nothing(self, name, data):
        (chunk,) = read(named(name, data))
        assert chunk is None or (not chunk.has_content and chunk.error is None and chunk.finish_reason is None)

    @each("name", ["data", "error", "completion", "chat.completion.chunk"])
    def test_a_chunk_is_read_whatever_it_is_called(self, name):
        assert read(named(name, event({"content": "a"}))) == [Chunk(content="a")]

    def test_a_chunk_that_is_broken_off_is_no_small_thing(self):
        for payload in (event({"content": "abc"})[:-9], b'{"choices":[{"delta":{"content":"\xff"}}]}'):
            with pytest.raises(BrokenChunk):
                read(payload)

    @each(
        ("payload", "code"),
        [
            (b'{"error":{"code":"content_filter"}}', "content_filter"),
            (named("error", b'{"error":{"code":"content_filter"}}'), "content_filter"),
            (named("error", b'{"code":"context_length_exceeded","message":"x"}'), "context_length_exceeded"),
            (named("exception", b'{"object":"error","code":429,"message":"x"}'), 429),
            (b'{"type":"error","error":{"code":"a"}}', "a"),
            (b'{"code":500,"msg":"404 NOT_FOUND","success":false}', 500),
            (b'{"choices":[{"index":0,"error":{"code":502},"finish_reason":"error"}]}', 502),
            (event({"content": "half"}, "insufficient_system_resource"), "insufficient_system_resource"),
            (event({}, "Aborted"), "aborted"),
            (named("error", b"no JSON"), None),
            (named("error", b"{}"), None),
        ],
    )
    def test_an_error_is_one_in_every_form(self, payload, code):
        (chunk,) = read(payload)
        assert chunk is not None
        assert chunk.error is not None
        assert chunk.error.get("code") == code

    @each(
        ("payloads", "nothing_else"), [([], False), ([b"{}"], True), ([b"{}", event({})], False), ([event({})], False)]
    )
    def test_nothing_but_odd_events(self, payloads, nothing_else):
        answer = UpstreamAnswer()
        for payload in payloads:
            answer.read(payload)
        assert answer.is_nothing_but_odd_events is nothing_else


class TestContent:
    @each(
        ("delta", "text", "reasoning"),
        [
            ({"reasoning": "hm "}, "", "hm "),
            ({"reasoning": "hm", "reasoning_content": "hm"}, "", "hm"),
            ({"reasoning": "hm", "reasoning_content": None, "content": "a"}, "a", "hm"),
            ({"reasoning": {"effort": "high"}}, "", ""),
            ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "ab", ""),
            ({"content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}]}, "a", "hm"),
            ({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]}, "", "hm"),
            ({"content": [{"type": "image_url", "image_url": {}}, {"type": "text"}, None, "a"]}, "a", ""),
            ({"content": {"type": "text", "text": "a"}}, "a", ""),
            ({"content": 7, "reasoning_content": False, "refusal": []}, "", ""),
        ],
    )
    @each("place", ["delta", "message"])
    def test_parts_and_names(self, delta, text, reasoning, place):
        (chunk,) = read(json.dumps({"choices": [{place: delta}]}).encode())
        assert chunk == Chunk(content=text, reasoning=reasoning)

    def test_choices_as_one_object(self):
        assert read(b'{"choices":{"delta":{"content":"a"}}}') == [Chunk(content="a")]


class TestUsage:
    @each(
        ("counts", "usage"),
        [
            ([(0, 0)], None),
            ([(12, 5)], (12, 5)),
            ([(12, 5), (0, 0)], (12, 5)),
            ([(0, 0), (12, 5)], (12, 5)),
            ([(12, 0)], None),
            ([(12, 0), (0, 5)], (12, 5)),
            ([(12, 1), (12, 5)], (12, 5)),
        ],
    )
    def test_zeros_are_a_placeholder(self, counts, usage):
        answer = UpstreamAnswer()
        answer.read(event({"content": "a"}))
        for prompt, completion in counts:
            answer.read(event({}, usage={"prompt_tokens": prompt, "completion_tokens": completion}))
        expected = usage and Usage(prompt_tokens=usage[0], completion_tokens=usage[1])
        assert answer.usage == expected

    def test_an_answer_of_nothing_may_have_cost_nothing(self):
        answer = UpstreamAnswer()
        answer.read(event({}, "stop", usage={"prompt_tokens": 12, "completion_tokens": 0}))
        assert answer.usage == Usage(prompt_tokens=12, completion_tokens=0)


class TestFinish:
    @each(
        ("word", "meaning"),
        [
            ("stop", "stop"),
            ("end_turn", "stop"),
            ("eos", "stop"),
            ("STOP", "stop"),
            ("max_tokens", "length"),
            ("MAX_TOKENS", "length"),
            ("FINISH_REASON_MAX_TOKENS", "length"),
            ("model_context_window_exceeded", "length"),
            ("tool_use", "tool_calls"),
            ("function_call", "tool_calls"),
            ("sensitive", "content_filter"),
            ("SAFETY", "content_filter"),
            ("network_error", None),
            ("tired", "stop"),
        ],
    )
    def test_words(self, word, meaning):
        assert finish_of(word) == meaning

    def test_an_unknown_word_is_kept(self):
        assert read(event({}, "tired")) == [Chunk(finish_reason="stop", native_finish_reason="tired")]
        assert read(event({}, "eos")) == [Chunk(finish_reason="stop")]
        (chunk,) = read(event({}, "x" * 5_000))
        assert chunk is not None
        assert chunk.native_finish_reason == "x" * 64


TEXTS = st.text(alphabet='ab \n\u2028é🦉[D\\"', min_size=1, max_size=6)
CALLS = st.lists(st.tuples(st.sampled_from(["tide", "moon"]), st.lists(TEXTS, max_size=3)), max_size=3)


@settings(max_examples=40, deadline=None)
@given(st.data(), st.lists(TEXTS, max_size=4), st.lists(TEXTS, max_size=3), CALLS, st.sampled_from(["stop", "eos"]))
def test_odd_events_and_cuts_change_nothing(data, texts, thoughts, calls, finish):
    deltas: list[dict[str, Any]] = [{"reasoning_content": text} for text in thoughts]
    deltas += [{"content": text} for text in texts]
    for index, (name, pieces) in enumerate(calls):
        head = {"index": index, "id": f"call_{index}", "function": {"name": name}}
        deltas += [{"tool_calls": [head]}]
        deltas += [{"tool_calls": [{"index": index, "function": {"arguments": piece}}]} for piece in pieces]
    usage = {"prompt_tokens": 7, "completion_tokens": 5}
    valid = [event(delta) for delta in deltas] + [event({}, finish), json.dumps({"usage": usage}).encode()]
    odd = [one for one in ODD if len(one) < 100]
    stream = b""
    for payload in valid:
        for one in data.draw(st.lists(st.sampled_from(odd), max_size=3)):
            stream += data.draw(st.sampled_from([b"", b"event: ping\n", b": c\n\n", b"event:\n\n"])) + b"data: "
            stream += one + b"\n\n"
        stream += data.draw(st.sampled_from([b"", b"event: data\n", b"event: error\nid: 7\n"]))
        stream += b"data: " + payload + data.draw(st.sampled_from([b"\n\n", b"\r\n\r\n", b"\r\r"]))
    stream += b"data: [DONE]\n\n"
    whole = {
        "choices": [
            {
                "message": {
                    "content": "".join(texts) or None,
                    "reasoning": "".join(thoughts),
                    "tool_calls": [
                        {"id": f"call_{index}", "function": {"name": name, "arguments": "".join(pieces)}}
                        for index, (name, pieces) in enumerate(calls)
                    ],
                },
                "finish_reason": finish,
            }
        ],
        "usage": usage,
    }
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert said(pieces) == said([b"data: " + json.dumps(whole).encode() + b"\n\n"])
    assert said([stream[at : at + 1] for at in range(len(stream))]) == said(pieces)


def said(pieces: list[bytes]) -> tuple[Any, ...]:
    decoder, answer = Decoder(), UpstreamAnswer()
    text = reasoning = ""
    calls: dict[int, list[str]] = {}
    finishes = []
    for payload in [payload for piece in pieces for payload in decoder.feed(piece)]:
        chunk = None if is_done(payload) else answer.read(payload)
        if chunk is None:
            continue
        assert chunk.error is None
        text, reasoning = text + chunk.content, reasoning + chunk.reasoning
        finishes += [chunk.finish_reason] if chunk.finish_reason else []
        for call in chunk.tool_calls:
            function = call["function"]
            one = calls.setdefault(call["index"], [call.get("id", ""), function.get("name", ""), ""])
            one[2] += function.get("arguments", "")
    return text, reasoning, calls, finishes, answer.usage
