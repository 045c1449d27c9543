"""Contract 4: upstream bytes are read generously, streamed and whole."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.contract.stream_fixtures import Relay
from tests.sse_answer import collect
from tests.upstream import Send, scripted
from tests.upstream.framing import response

DONE = b"data: [DONE]\n\n"


def event(delta: Any, finish: str | None = None, **members: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice], **members}).encode() + b"\n\n"


def call(name: str) -> dict[str, Any]:
    return {"id": f"call_{name}", "type": "function", "function": {"name": name, "arguments": f'{{"a":"{name}"}}'}}


class TestGenerousReading:
    """Each answer is asked for twice: as a stream, and whole."""

    def both(self, relay: Relay, *pieces: bytes) -> tuple[Any, dict[str, Any]]:
        body = b"".join(pieces)
        for _ in range(2):
            relay.upstream.script(
                "deepseek", scripted(Send(response(200, body, [("content-type", "text/event-stream")])))
            )
        with relay.begin(fallback=False, stream_options={"include_usage": True}) as stream:
            answer = collect(stream)
        return answer, relay.whole(fallback=False)[2]

    def test_named_events(self, relay: Relay):
        answer, whole = self.both(
            relay,
            b'event: ping\ndata: {"type":"ping"}\n\n',
            b"event: data\n" + event({"content": "Hel"}),
            b"event: data\n" + event({"content": "lo"}),
            event({}, "stop"),
            b"event: done\n" + DONE,
        )
        assert (answer.text, answer.finish, answer.done) == ("Hello", "stop", True)
        assert whole["choices"][0]["message"]["content"] == "Hello"

    def test_tool_calls_without_an_index(self, relay: Relay):
        answer, whole = self.both(
            relay,
            event({"tool_calls": [call("tide")]}),
            event({"tool_calls": [call("moon")]}),
            event({}, "tool_calls"),
            DONE,
        )
        assert sorted(answer.tool_calls) == [0, 1]
        assert whole["choices"][0]["message"]["tool_calls"] == [call("tide"), call("moon")]

    @pytest.mark.parametrize("zeros_last", [True, False])
    def test_usage_of_zeros(self, relay: Relay, zeros_last: bool):
        zeros, counts = ({"prompt_tokens": count, "completion_tokens": count} for count in (0, 7))
        answer, whole = self.both(
            relay,
            event({"content": "Some words."}, usage=counts if zeros_last else zeros),
            event({}, "stop", usage=zeros),
            DONE,
        )
        assert whole["usage_source"] == ("provider" if zeros_last else "estimated")
        assert whole["usage"]["completion_tokens"] == answer.usage["completion_tokens"] > 0

    @pytest.mark.parametrize(("word", "native"), [("eos", None), ("end_turn", None), ("tired", "tired")])
    def test_finish_words(self, relay: Relay, word: str, native: str | None):
        answer, whole = self.both(relay, event({"content": "a"}), event({}, word), DONE)
        assert (answer.finish, whole["choices"][0]["finish_reason"]) == ("stop", "stop")
        assert whole["choices"][0].get("native_finish_reason") == native
