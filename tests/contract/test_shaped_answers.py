"""Contract 1 and 3: schemas served by a forced tool, and stop strings that we cut at, streamed and whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.contract.stream_fixtures import PROMPT, Relay
from tests.sse_answer import collect
from tests.upstream import Answer, Gate, ToolCall, healthy

if TYPE_CHECKING:
    import openai
    import pydantic

PIECES = ('{"port":', '"Brest",', '"hour":6}')
JSON = "".join(PIECES)


SCHEMA = {
    "type": "object",
    "properties": {"port": {"type": "string"}, "hour": {"type": "integer"}},
    "required": ["port", "hour"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "Tide", "schema": SCHEMA, "strict": True}}
OTHER_TOOL = {"type": "function", "function": {"name": "moon", "parameters": {"type": "object"}}}
ANSWER = ToolCall("call_a", "Tide", PIECES)
MESSAGES: Any = PROMPT


@pytest.fixture
def client(relay: Relay) -> Iterator[openai.OpenAI]:
    # It takes seconds, and every process collects what is here.
    import openai

    key = relay.headers(relay.user())["Authorization"].removeprefix("Bearer ")
    with openai.OpenAI(base_url=relay.server.url("/api/v2"), api_key=key, max_retries=0) as client:
        yield client


@pytest.fixture
def tide() -> type[pydantic.BaseModel]:
    import pydantic

    class Tide(pydantic.BaseModel):
        port: str
        hour: int

    return Tide


def calling(*calls: ToolCall, **more: Any) -> Any:
    return healthy(answer=Answer(**{"tool_calls": calls, "reasoning": "", **more}))


class TestSchemas:
    def test_whole(self, relay: Relay):
        relay.upstream.script("deepseek", calling(ANSWER))
        _, _, body = relay.whole(response_format=FORMAT)
        (choice,) = body["choices"]
        assert (choice["message"]["content"], choice["finish_reason"]) == (JSON, "stop")
        assert "tool_calls" not in choice["message"]
        assert (body["usage_source"], body["usage"]["completion_tokens"] > 0) == ("provider", True)
        (exchange,) = relay.upstream.exchanges()
        (tool,) = exchange.json["tools"]
        assert (tool["function"]["name"], tool["function"]["strict"]) == ("Tide", True)
        assert exchange.json["tool_choice"] == {"type": "function", "function": {"name": "Tide"}}
        assert "response_format" not in exchange.json
        assert relay.detail(body["id"])[2]["choices"] == body["choices"]

    def test_streamed_as_it_comes_and_resumed(self, relay: Relay):
        gate = Gate()
        answer = Answer(tool_calls=(ANSWER,), reasoning="")
        relay.upstream.script("deepseek", healthy(answer=answer, gate=gate, gate_after=2))
        with relay.begin(response_format=FORMAT, on_disconnect="continue") as stream:
            events = stream.events()
            first = next(events)
            assert '\\"port\\":' in str(first.data)
            gate.release()
            completion_id = stream.headers["x-promptcraft-completion-id"]
            list(events)
        with relay.events(completion_id, 0) as again:
            answered = collect(again)
        assert (answered.text, answered.finish, answered.done) == (JSON, "stop", True)

    def test_reasoning_and_the_clients_own_tools(self, relay: Relay):
        relay.upstream.script("deepseek", calling(ToolCall("call_m", "moon"), reasoning="Which moon?"))
        with relay.begin(response_format=FORMAT, tools=[OTHER_TOOL], reasoning_effort="low") as stream:
            answered = collect(stream)
        assert (answered.text, answered.reasoning, answered.finish) == ("", "Which moon?", "tool_calls")
        assert list(answered.tool_calls) == [0]
        (exchange,) = relay.upstream.exchanges()
        assert "tool_choice" not in exchange.json

    @pytest.mark.parametrize("text", ["I cannot say.", JSON])
    def test_text_all_the_same(self, relay: Relay, text: str):
        relay.upstream.script("deepseek", healthy(answer=Answer(text=text, reasoning="")))
        with relay.begin(response_format=FORMAT) as stream:
            answered = collect(stream)
        assert (answered.text, answered.finish, answered.done) == (text, "stop", True)

    def test_a_failure_before_the_answer_moves_on(self, relay: Relay):
        relay.upstream.script("deepseek", "status-500")
        relay.upstream.script("openai", healthy(answer=Answer(text=JSON)))
        _, headers, body = relay.whole(response_format=FORMAT)
        assert headers["x-promptcraft-provider"] == "openai"
        assert body["choices"][0]["message"]["content"] == JSON
        (exchange,) = relay.upstream.exchanges("openai")
        assert exchange.json["response_format"] == FORMAT


class TestOpenAIsParse:
    def test_whole(self, relay: Relay, client: openai.OpenAI, tide: type[pydantic.BaseModel]):
        relay.upstream.script("deepseek", calling(ANSWER))
        answer = client.chat.completions.parse(model="deepseek-flash", messages=MESSAGES, response_format=tide)
        assert answer.choices[0].message.parsed == tide(port="Brest", hour=6)
        assert not answer.choices[0].message.tool_calls

    def test_streamed(self, relay: Relay, client: openai.OpenAI, tide: type[pydantic.BaseModel]):
        relay.upstream.script("deepseek", calling(ANSWER))
        with client.chat.completions.stream(model="deepseek-flash", messages=MESSAGES, response_format=tide) as stream:
            for _ in stream:
                pass
            answer = stream.get_final_completion()
        assert answer.choices[0].message.parsed == tide(port="Brest", hour=6)


class TestStops:
    """`gpt-6-luna` refuses `stop`."""

    FIELDS: dict[str, Any] = {"model": "gpt-6-luna", "stop": ["Observation:"], "fallback": False}
    SAID = ("Thought: look.\n", "Obser", "vation", ": made up", " and more")

    def test_whole(self, relay: Relay):
        relay.upstream.script("openai", healthy(answer=Answer(pieces=self.SAID)))
        _, _, body = relay.whole(**self.FIELDS)
        (choice,) = body["choices"]
        assert (choice["message"]["content"], choice["finish_reason"]) == ("Thought: look.\n", "stop")
        assert (body["status"], body["usage_source"], body["attempts"][0]["end"]) == (
            "completed",
            "estimated",
            "complete",
        )
        (exchange,) = relay.upstream.exchanges("openai")
        assert "stop" not in exchange.json

    def test_the_upstream_is_closed(self, relay: Relay):
        gate = Gate()
        relay.upstream.script("openai", healthy(answer=Answer(pieces=self.SAID), gate=gate, gate_after=4))
        with relay.begin(**self.FIELDS, stream_options={"include_usage": True}) as stream:
            answered = collect(stream)
        assert (answered.text, answered.finish, answered.done) == ("Thought: look.\n", "stop", True)
        assert answered.usage is not None
        assert relay.upstream.soon_hung_up(relay.active_streams, "openai")

    def test_what_only_begins_like_one_is_there_in_the_end(self, relay: Relay):
        said = ("Obser", "vatory", " Observation")
        relay.upstream.script("openai", healthy(answer=Answer(pieces=said)))
        with relay.begin(**self.FIELDS) as stream:
            answered = collect(stream)
        assert (answered.text, answered.finish) == ("".join(said), "stop")

    def test_nothing_but_the_stop_string(self, relay: Relay):
        relay.upstream.script("openai", healthy(answer=Answer(pieces=("Observation:",))))
        with relay.begin(**self.FIELDS) as stream:
            answered = collect(stream)
        assert (answered.text, answered.finish, answered.done) == ("", "stop", True)

    def test_more_than_the_vendor_takes(self, relay: Relay):
        relay.upstream.script("zai", healthy(answer=Answer(pieces=("one ", "t", "wo"), reasoning="")))
        _, _, body = relay.whole(model="glm-4.7", stop=["three", "two"], fallback=False)
        assert body["choices"][0]["message"]["content"] == "one "
        (exchange,) = relay.upstream.exchanges("zai")
        assert exchange.json["stop"] == ["three"]
