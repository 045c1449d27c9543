"""The mock through its bytes: decoded by the real decoder, read by the real chunk parser."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from apps.llm.errors import Failure, InvalidRequest, ProviderError
from apps.llm.providers.base import Call
from apps.llm.providers.mock import SCENARIOS, MockProvider, parse_scenario
from apps.llm.wire.json import loads
from apps.llm.wire.openai import Chunk, parse_chunk
from apps.llm.wire.sse import Decoder
from tests.each import each
from tests.llm.providers.asking import Kept, call_of

TOOL = {
    "type": "function",
    "function": {
        "name": "tide",
        "parameters": {"type": "object", "properties": {"port": {"type": "string"}, "day": {"type": "integer"}}},
    },
}


def provider(**options: Any) -> MockProvider:
    delays = dict.fromkeys(("first_token_s", "token_gap_s", "slow_first_token_s", "long_gap_s", "stall_comment_s"), 0.0)
    return MockProvider(**{**delays, "clock": lambda: 1_790_000_000.0, **options})


def call(scenario: str | None = None, **fields: Any) -> Call:
    target = MockProvider().resolve(None)
    assert target is not None
    return call_of(target, scenario, **fields)


async def data_of(scenario: str | None = None, **fields: Any) -> bytes:
    sink = Kept()
    await provider().run(call(scenario, **fields), sink)
    return sink.data


async def chunks_of(scenario: str | None = None, **fields: Any) -> list[Chunk]:
    events = Decoder().feed(await data_of(scenario, **fields))
    return [parse_chunk(event) for event in events if event != b"[DONE]"]


def content(chunks: list[Chunk]) -> str:
    return "".join(chunk.content for chunk in chunks)


def finish(chunks: list[Chunk]) -> list[str]:
    return [chunk.finish_reason for chunk in chunks if chunk.finish_reason]


async def test_streams_like_openai():
    events = Decoder().feed(await data_of(messages=[{"role": "user", "content": "Where is the\n owl?"}]))
    first, *middle, last, usage, done = events
    assert loads(first)["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert all(list(loads(event)["choices"][0]["delta"]) == ["content"] for event in middle)
    assert len(middle) > 40
    assert loads(last)["choices"][0] == {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}
    assert loads(usage)["choices"] == []
    assert done == b"[DONE]"
    text = "".join(loads(event)["choices"][0]["delta"]["content"] for event in middle)
    assert "mock" in text
    assert "“Where is the owl?”" in text
    assert not text.isascii()
    counted = parse_chunk(usage).usage
    assert counted is not None
    assert counted.completion_tokens == len(middle)
    assert counted.prompt_tokens > 4
    assert counted.cached_tokens == counted.reasoning_tokens == 0


async def test_same_request_same_bytes():
    assert await data_of() == await data_of()
    assert await data_of() != await data_of(messages=[{"role": "user", "content": "Something else"}])


async def test_quote_is_bounded():
    text = content(await chunks_of(messages=[{"role": "user", "content": "owl " * 200_000}]))
    assert "owl owl" in text
    assert len(text) < 1_000


async def test_quotes_text_parts_of_the_last_user_message():
    parts = [{"type": "image_url", "image_url": {"url": "https://a.test/x"}}, {"type": "text", "text": "What is it?"}]
    messages = [
        {"role": "user", "content": parts},
        {"role": "assistant", "content": "A lamp."},
        {"role": "system", "content": "Be kind."},
    ]
    assert "“What is it?”" in content(await chunks_of(messages=messages))


@each("limit", [1, 5])
async def test_max_tokens_cuts_with_length(limit):
    chunks = await chunks_of(max_tokens=limit)
    assert len([chunk for chunk in chunks if chunk.content]) == limit
    assert finish(chunks) == ["length"]
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == limit


async def test_stop_ends_before_the_earliest_sequence():
    whole = content(await chunks_of())
    cut = await chunks_of(stop=["provider", "mock", "nowhere"])
    assert content(cut) == whole[: whole.index("mock")]
    assert finish(cut) == ["stop"]


async def test_json_mode_answers_json():
    answer = loads(content(await chunks_of(response_format={"type": "json_object"})))
    assert answer["provider"] == "mock"


@each(
    ("schema", "answer"),
    [
        ({"properties": {"a": {"type": "string"}, "b": {"type": "number"}}}, {"a": "mock", "b": 0}),
        ({"properties": {"kind": {"enum": ["x", "y"]}, "c": {"const": 7}}}, {"kind": "x", "c": 7}),
        ({"properties": {"d": {"type": "boolean"}, "n": {"type": ["null", "string"]}}}, {"d": False, "n": None}),
        ({"properties": {"l": {"type": "array", "items": {"type": "integer"}, "minItems": 2}}}, {"l": [0, 0]}),
        ({"properties": {"m": {"anyOf": [{"type": "string"}, {"type": "null"}]}}}, {"m": "mock"}),
        ({"$defs": {"p": {"properties": {"q": {"type": "null"}}}}, "$ref": "#/$defs/p"}, {"q": None}),
        ({"properties": {"s": {"type": "string", "minLength": 9}}}, {"s": "mockkkkkk"}),
        ({"properties": {"s": {"type": "string", "maxLength": 2}}}, {"s": "mo"}),
        ({"properties": {"i": {"type": "integer", "minimum": 3}}}, {"i": 3}),
    ],
)
async def test_json_schema_is_satisfied(schema, answer):
    whole = schema if "$ref" in schema else {"type": "object", **schema}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": whole}}
    assert loads(content(await chunks_of(response_format=form))) == answer


async def test_recursive_and_broken_schemas_end():
    for schema in ({"$ref": "#"}, {"$ref": "#/nowhere"}, {"type": [], "properties": {"a": {"$ref": "#"}}}, {}):
        form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        loads(content(await chunks_of(response_format=form)))


@each("fields", [{"tool_choice": "required"}, {"tool_choice": {"type": "function", "function": {"name": "tide"}}}])
async def test_demanded_tools_are_called(fields):
    chunks = await chunks_of(tools=[TOOL], **fields)
    fragments = [fragment for chunk in chunks for fragment in chunk.tool_calls]
    assert fragments[0]["id"].startswith("call_")
    assert fragments[0]["function"]["name"] == "tide"
    assert loads("".join(fragment["function"]["arguments"] for fragment in fragments)) == {"port": "mock", "day": 0}
    assert {fragment["index"] for fragment in fragments} == {0}
    assert finish(chunks) == ["tool_calls"]
    assert content(chunks) == ""


async def test_quotes_nothing_where_no_user_spoke():
    assert "You wrote nothing." in content(await chunks_of(messages=[{"role": "system", "content": "Be kind."}]))


async def test_closing_closes_nothing():
    await provider().aclose()


async def test_offered_tools_are_not_called():
    chunks = await chunks_of(tools=[TOOL], tool_choice="auto")
    assert not any(chunk.tool_calls for chunk in chunks)
    assert finish(chunks) == ["stop"]


# --- scenarios


async def test_tool_call_scenario_works_without_tools():
    chunks = await chunks_of("tool_call")
    assert any(chunk.tool_calls for chunk in chunks)
    assert finish(chunks) == ["tool_calls"]


@each(("scenario", "fields"), [("reasoning", {}), (None, {"reasoning_effort": "low"})])
async def test_reasoning_comes_before_the_content(scenario, fields):
    chunks = await chunks_of(scenario, **fields)
    kinds = ["r" if chunk.reasoning else "c" for chunk in chunks if chunk.has_content]
    assert "".join(kinds).strip("r").strip("c") == ""
    assert kinds[0] == "r"
    assert kinds[-1] == "c"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.reasoning_tokens == kinds.count("r")


async def test_no_usage():
    assert [chunk.usage for chunk in await chunks_of("no_usage")].count(None) == len(await chunks_of("no_usage"))


async def test_long_is_2000_tokens():
    chunks = await chunks_of("long")
    assert len([chunk for chunk in chunks if chunk.content]) == 2_000
    assert finish(chunks) == ["stop"]
    assert finish(await chunks_of("long", max_tokens=50)) == ["length"]


@each(("scenario", "tokens"), [("cut_after_n", 3), ("cut_after_0", 0), ("cut_after_7", 7)])
async def test_cut_ends_inside_an_event(scenario, tokens):
    data = await data_of(scenario)
    assert not data.endswith(b"\n\n")
    chunks = [parse_chunk(event) for event in Decoder().feed(data)]
    assert len([chunk for chunk in chunks if chunk.content]) == tokens
    assert finish(chunks) == []


async def test_cut_after_more_than_there_is_loses_the_finish():
    chunks = [parse_chunk(event) for event in Decoder().feed(await data_of("cut_after_9999"))]
    assert finish(chunks) == []


@each(("scenario", "tokens"), [("error_after_n", 3), ("error_after_5", 5)])
async def test_error_after_is_an_error_event(scenario, tokens):
    chunks = await chunks_of(scenario)
    assert len([chunk for chunk in chunks if chunk.content]) == tokens
    error = chunks[-1].error
    assert error is not None
    assert provider().classify_stream_error(error).failure is Failure.STREAM_ERROR


async def test_error_first_says_nothing():
    sink = Kept()
    with pytest.raises(ProviderError) as caught:
        await provider().run(call("error_first"), sink)
    assert caught.value.failure is Failure.SERVER_ERROR
    assert sink.data == b""


async def test_rate_limited_then_ok():
    mock = provider()
    for completion_id in ("one", "two"):
        with pytest.raises(ProviderError) as caught:
            await mock.run(call("rate_limited_then_ok", completion_id=completion_id), Kept())
        assert caught.value.failure is Failure.RATE_LIMITED
        assert caught.value.retry_after_s == 0.2
    sink = Kept()
    await mock.run(call("rate_limited_then_ok", completion_id="one"), sink)
    assert sink.data.endswith(b"data: [DONE]\n\n")


async def test_rate_limited_forgets_the_oldest():
    mock = provider()
    for number in range(1100):
        with pytest.raises(ProviderError):
            await mock.run(call("rate_limited_then_ok", completion_id=f"c{number}"), Kept())
    assert len(mock._rate_limited) == 1024


async def test_stall_sends_comments_until_it_is_cancelled():
    sink = Kept(KeyError("enough"), after=10)
    with pytest.raises(KeyError):
        await provider().run(call("stall"), sink)
    assert sink.data.endswith(b": keep-alive\n\n" * 3)
    chunks = [parse_chunk(event) for event in Decoder().feed(sink.data)]
    assert len([chunk for chunk in chunks if chunk.content]) == 3


async def test_a_run_can_be_cancelled():
    sink = Kept()
    run = asyncio.create_task(provider(stall_comment_s=3600).run(call("stall"), sink))
    await sink.fed.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run


@pytest.mark.parametrize(
    ("scenario", "waits"),
    [(None, [0.04, 0.012, 0.012]), ("slow_first_token", [3.0, 0.012, 0.012]), ("long", [0.04, 0.001, 0.001])],
)
async def test_delays(monkeypatch, scenario, waits):
    asked: list[float] = []

    async def note(seconds: float) -> None:
        asked.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", note)
    await MockProvider().run(call(scenario, max_tokens=3), Kept())
    assert asked == waits


@each("header", SCENARIOS)
def test_scenarios_are_known(header):
    assert parse_scenario(f" {header} ") == header


@each("header", ["cut_after_0", "error_after_1234"])
def test_counts_may_be_written(header):
    assert parse_scenario(header) == header


def test_empty_scenario_is_none():
    assert parse_scenario("  ") is None


@each("header", ["nope", "cut_after_", "cut_after_-1", "cut_after_99999", "stall_3", "LONG", "long\n\nx"])
def test_unknown_scenarios_are_refused(header):
    with pytest.raises(InvalidRequest) as caught:
        parse_scenario(header)
    assert caught.value.param == "X-Mock-Scenario"


def test_is_labelled_and_takes_everything():
    mock = MockProvider()
    assert (mock.name, mock.mock, mock.default_model) == ("mock", True, "mock")
    assert mock.resolve("gpt-4o") is None
    target = mock.resolve("mock")
    assert target is not None
    assert target.facts in mock.models()
    assert mock.lacks(call(tools=[TOOL], stop=["a", "b"]).request, target) is None
