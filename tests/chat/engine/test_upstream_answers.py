"""What providers send, over real bytes: the answer that a client gets of it."""

from __future__ import annotations

import json
from typing import Any

from apps.chat.engine.generation import Generation
from apps.chat.engine.record import UsageSource
from apps.llm.errors import Code
from tests.chat.engine.configured import generation_by
from tests.each import each
from tests.llm.providers.connecting import provider_of
from tests.llm.providers.scripted import ScriptedUpstream, chunked, response

DONE = b"data: [DONE]\n\n"


def event(delta: Any, finish: str | None = None, **members: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice], **members}).encode() + b"\n\n"


async def swallow(message: object) -> None:
    return


async def ended(answer: bytes, body: bytes = b'{"messages":[{"role":"user","content":"hi"}]}') -> Generation:
    """Return the completion that a provider's answer made."""
    async with ScriptedUpstream(answer, then="close") as upstream, provider_of("deepseek", upstream.base_url) as one:
        generation = await generation_by(one, body=body)
        await generation.start()
        await generation.done.wait()
        return generation


async def test_named_events_and_pings_are_no_fault():
    pieces = [b'event: ping\ndata: {"type":"ping"}\n\n']
    pieces += [b"event: data\n" + event({"content": text}) for text in ("Hel", "lo")]
    pieces += [b"data: {}\n\n", b"event: data\n" + event({}, "stop"), b"event: done\ndata: {}\n\n", DONE]
    generation = await ended(chunked(*pieces))
    assert (await generation.message()).content == "Hello"
    assert generation.status.value == "completed"


@each(
    ("code", "expected"),
    [("content_filter", Code.CONTENT_FILTERED), ("context_length_exceeded", Code.CONTEXT_LENGTH_EXCEEDED)],
)
@each("name", [b"", b"event: error\n", b"event: exception\n"])
async def test_an_error_is_the_same_whatever_it_is_called(name, code, expected):
    error = name + b'data: {"error":{"message":"no","code":"' + code.encode() + b'"}}\n\n'
    generation = await ended(chunked(error))
    assert generation.error is not None
    assert (generation.error.http_status, generation.error.code) == (400, expected)


async def test_an_error_in_a_whole_answer():
    generation = await ended(response(200, b'{"error":{"code":"content_filter"}}', "application/json"))
    assert generation.error is not None
    assert generation.error.code is Code.CONTENT_FILTERED


@each("answer", [b"data: {}\n\n" * 3, b"data: nothing\n\n" + DONE, b'data: {"type":"ping"}\n\n', b"data: 1\n\n"])
async def test_nothing_but_garbage_is_a_bad_response(answer):
    generation = await ended(chunked(answer))
    assert generation.status.value == "failed"
    assert generation.attempts[0].failure == "bad_response"


@each("usage", [{"prompt_tokens": 0, "completion_tokens": 0}, {"prompt_tokens": 9, "completion_tokens": 0}])
@each("end", [b"", event({}, "stop") + DONE])
async def test_zeros_count_nothing(usage, end):
    generation = await ended(chunked(event({"content": "Some words of an answer."}, usage=usage), end))
    assert generation.usage_source is UsageSource.ESTIMATED
    assert generation.usage is not None
    assert generation.usage.completion_tokens > 0
    assert generation.usage.prompt_tokens > 0


async def test_zeros_replace_nothing():
    usage = {"prompt_tokens": 9, "completion_tokens": 4}
    zeros = {"prompt_tokens": 0, "completion_tokens": 0}
    generation = await ended(
        chunked(event({"content": "a"}, usage=usage), event({}, "stop", usage=zeros), event({}, usage=zeros), DONE)
    )
    assert generation.usage_source is UsageSource.PROVIDER
    assert generation.usage is not None
    assert (generation.usage.prompt_tokens, generation.usage.completion_tokens) == (9, 4)


async def test_an_answer_survives_a_hundred_thousand_odd_events():
    odd = b"data: {}\n\nevent: ping\ndata: 7\n\n" * 50_000
    generation = await ended(chunked(event({"content": "a"}), odd, event({}, "eos"), DONE))
    message = await generation.message()
    assert (message.content, message.finish_reason, message.native_finish_reason) == ("a", "stop", None)


async def test_an_odd_event_of_a_mebibyte():
    odd = b"data: " + b"x" * (1024 * 1024 - 6) + b"\n\n"
    generation = await ended(chunked(event({"content": "a"}), odd, event({}, "tired"), DONE))
    message = await generation.message()
    assert (message.content, message.finish_reason, message.native_finish_reason) == ("a", "stop", "tired")


async def test_an_error_after_the_finish_is_none():
    late = event({}, "length") + b'event: error\ndata: {"error":{"code":"server_error"}}\n\n'
    generation = await ended(chunked(event({"content": "a"}), event({}, "stop"), late, event({"content": "b"}), DONE))
    message = await generation.message()
    assert (message.content, message.finish_reason) == ("a", "stop")
    assert generation.status.value == "completed"


async def test_history_that_deepseek_would_refuse():
    call = {"id": "call_a", "type": "function", "function": {"name": "tide", "arguments": ""}}
    body: dict[str, Any] = {
        "messages": [
            {"role": "user", "content": "When?"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_a", "content": "At six."},
        ],
        "tools": [{"type": "function", "function": {"name": "tide"}}],
        "reasoning_effort": "high",
    }
    refusal = b'{"error":{"message":"The `reasoning_content` in the thinking mode must be passed back to the API.",'
    refusal += b'"type":"invalid_request_error","param":null,"code":"invalid_request_error"}}'
    for effort, sent in (("high", ""), ("none", None)):
        async with ScriptedUpstream(response(400, refusal, "application/json")) as upstream:
            async with provider_of("deepseek", upstream.base_url) as one:
                generation = await generation_by(one, body=json.dumps(body | {"reasoning_effort": effort}).encode())
                await generation.start()
            (request,) = upstream.received
        assert json.loads(request.body)["messages"][1].get("reasoning_content") == sent
        assert generation.attempts[0].failure == "reasoning_missing"
        assert generation.error is not None
        assert (generation.error.http_status, generation.error.param) == (400, "messages")
