from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.llm.wire.json import dumps, dumps_text, join_surrogates
from apps.llm.wire.openai import AssembledMessage, assembling
from apps.llm.wire.sse import Decoder
from tests.each import each
from tests.llm.wire.reading import assembled

STREAMS = Path(__file__).parents[2] / "fixtures" / "streams"


def whole(payloads):
    return assembled(("", payload) for payload in payloads)


def chunk(delta: object, **choice: object) -> bytes:
    return json.dumps({"choices": [{"index": 0, "delta": delta, **choice}]}).encode()


def fragment(index: int, **fields: object) -> dict[str, object]:
    return {"tool_calls": [{"index": index, **fields}]}


def message(**fields: object) -> AssembledMessage:
    silent = dict.fromkeys(("content", "reasoning_content", "refusal", "finish_reason", "logprobs"))
    return AssembledMessage(**{**silent, "tool_calls": (), **fields})  # type: ignore[arg-type]


@each(
    ("name", "expected"),
    [
        ("f1_openai_normal.sse", message(content="Owls\u2028café 🦉", finish_reason="stop")),
        (
            "f2_deepseek_reasoning.sse",
            message(content="Six.", reasoning_content="Count the hens.", finish_reason="stop"),
        ),
        (
            "f3_zai_tool_call.sse",
            message(
                reasoning_content="Need the tide table",
                finish_reason="tool_calls",
                tool_calls=(
                    {
                        "id": "call_z1",
                        "type": "function",
                        "function": {"name": "tide", "arguments": '{"port":"Brest"}'},
                    },
                ),
            ),
        ),
        (
            "f4_interleaved_tool_calls.sse",
            message(
                finish_reason="tool_calls",
                tool_calls=(
                    {"id": "call_a", "type": "function", "function": {"name": "tide", "arguments": '{"port":"Brest"}'}},
                    {"id": "call_b", "type": "function", "function": {"name": "moon", "arguments": "{}"}},
                ),
            ),
        ),
        ("f6_error_event.sse", message(content="The first step is", finish_reason="error")),
        ("f7c_done_without_finish.sse", message(content="The first step is")),
    ],
)
def test_the_samples(name, expected):
    assert whole(Decoder().feed((STREAMS / name).read_bytes())) == expected


def test_nothing_came():
    assert whole([]) == message(content="")
    assert whole([chunk({}, finish_reason="length"), b"[DONE]"]) == message(content="", finish_reason="length")
    assert whole([chunk({"reasoning_content": "Hm"})]) == message(content="", reasoning_content="Hm")


def test_content_beside_a_tool_call_is_kept_and_empty_content_is_none():
    call = fragment(0, id="a", type="function", function={"name": "tide", "arguments": ""})

    assert whole([chunk({"content": "Let me look."}), chunk(call)]).content == "Let me look."
    assert whole([chunk({"content": ""}), chunk(call), chunk({"content": ""})]).content is None


def test_a_refusal_takes_the_place_of_content():
    chunks = [chunk({"content": "", "refusal": None}), chunk({"refusal": "I "}), chunk({"refusal": "won't."})]

    assert whole(chunks) == message(refusal="I won't.")


def test_falsy_looking_text_is_not_lost():
    assert whole([chunk({"content": text}) for text in ("0", " ", "\n", "")]).content == "0 \n"


def test_tool_calls_come_by_index_with_the_first_id_and_name():
    chunks = [
        chunk(fragment(2, id="c", function={"name": "moon", "arguments": "{"})),
        chunk(fragment(0, id="a", type="function", function={"name": "tide"})),
        chunk(fragment(2, id="x", type="function", function={"name": "sun", "arguments": "}"})),
        chunk(fragment(0, function=None)),
        chunk(fragment(7, type="custom")),
        chunk(fragment(9)),
    ]
    assert whole(chunks).tool_calls == (
        {"id": "a", "type": "function", "function": {"name": "tide", "arguments": ""}},
        {"id": "c", "type": "function", "function": {"name": "moon", "arguments": "{}"}},
        {"id": "", "type": "custom", "function": {"name": "", "arguments": ""}},
        {"id": "", "type": "function", "function": {"name": "", "arguments": ""}},
    )


def test_logprobs_are_joined():
    chunks = [
        chunk({"content": "a"}, logprobs={"content": [{"token": "a"}], "refusal": None}),
        chunk({"content": "b"}, logprobs=None),
        chunk({"content": "c"}, logprobs={"content": [{"token": "c"}], "reasoning_content": [{"token": "r"}]}),
    ]
    assert whole(chunks).logprobs == {
        "content": [{"token": "a"}, {"token": "c"}],
        "reasoning_content": [{"token": "r"}],
    }


def test_usage_markers_and_done_add_nothing():
    chunks = [
        chunk({"role": "assistant", "content": "a"}),
        b'{"choices":[{"index":0,"delta":{}}],"promptcraft":{"event":"continue"}}',
        chunk({}, finish_reason="stop"),
        b'{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}',
        b"[DONE]",
    ]
    assert whole(chunks) == message(content="a", finish_reason="stop")


def test_our_own_in_stream_error_ends_the_answer():
    error = b'{"error":{"message":"m"},"choices":[{"index":0,"delta":{},"finish_reason":"error"}]}'

    assert whole([chunk({"content": "a"}), error]) == message(content="a", finish_reason="error")


def test_what_is_not_a_chunk_is_refused():
    with pytest.raises(ValueError, match="choices"):
        whole([b"{}"])


@settings(max_examples=100)
@given(st.lists(st.text(alphabet=st.characters() | st.sampled_from("\ud83e\udd89🦉\u2028"))))
def test_text_cut_anywhere_joins_to_itself(pieces):
    payloads = [dumps({"choices": [{"index": 0, "delta": {"content": piece}}]}) for piece in pieces]
    call = [dumps({"choices": [{"delta": fragment(0, function={"arguments": piece})}]}) for piece in pieces]

    assert whole(payloads).content == join_surrogates("".join(pieces))
    assert [made["function"]["arguments"] for made in whole(call).tool_calls] == (
        [join_surrogates("".join(pieces))] if pieces else []
    )


@settings(max_examples=100)
@given(st.lists(st.tuples(st.sampled_from(["content", "reasoning_content", "refusal"]), st.text()), max_size=8))
def test_what_comes_by_its_kind_says_what_the_whole_event_says(said):
    payloads = [dumps({"choices": [{"index": 0, "delta": {kind: text}}]}) for kind, text in said]
    finish = dumps({"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]})
    parts = [(kind, dumps_text(text)) for kind, text in said]

    assert assembled([*parts, ("finish_reason", b"length"), ("usage", b"{}")]) == whole([*payloads, finish])


def test_it_pauses_in_proportion_to_the_parts():
    payload = chunk({"tool_calls": [{"index": 0, "function": {"arguments": "x"}}]})
    pauses = [sum(1 for _ in assembling([("", payload)] * count)) for count in (10, 1_000, 2_000, 4_000)]
    assert pauses[0] == 0
    assert pauses[1] >= 3
    assert pauses[3] == pytest.approx(2 * pauses[2], abs=1)


def test_it_pauses_in_proportion_to_the_text():
    assert sum(1 for _ in assembling([("content", b"x" * 32_768)] * 512)) >= 16
