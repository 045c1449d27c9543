"""Contract 1 and 3: members that nobody knows stay here, what has no effect is named, who lacks a field is skipped."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.contract.stream_fixtures import PROMPT, Relay
from tests.each import each
from tests.llm.providers.test_messages import DUMPED, MARK
from tests.sse_answer import collect
from tests.upstream import Scenario, Send, scripted
from tests.upstream.framing import response

IGNORED = "x-promptcraft-ignored"
FILE = {"type": "file", "file": {"file_id": "file-1"}}
TOOL = {"type": "function", "function": {"name": "tide"}}


class TestMembers:
    """What an SDK dumped goes to a provider without what that provider does not know."""

    @pytest.mark.parametrize("model", ["deepseek-flash", "gpt-6-luna"])
    def test_nobody_knows_them(self, relay: Relay, model: str):
        status, headers, _ = relay.whole(model=model, **DUMPED, fallback=False)
        (exchange,) = relay.upstream.exchanges()
        assert status == 200
        assert MARK not in str(exchange.json)
        assert "providerOptions" in headers[IGNORED]

    def test_an_assistant_that_said_nothing(self, relay: Relay):
        history = [*PROMPT, {"role": "assistant", "content": None}, {"role": "assistant", "refusal": "No."}, *PROMPT]
        assert relay.whole(messages=history)[0] == 200
        (exchange,) = relay.upstream.exchanges()
        assert [one["content"] for one in exchange.json["messages"][1:3]] == ["", "No."]

    def test_an_empty_content_is_told_what_to_send(self, relay: Relay):
        status, _, body = relay.whole(messages=[{"role": "user", "content": []}])
        assert (status, body["error"]["param"]) == (400, "messages[0].content")
        for content in ("", [{"type": "text", "text": ""}]):
            assert relay.whole(messages=[{"role": "user", "content": content}])[0] == 200


class TestIgnored:
    """`X-PromptCraft-Ignored` names what has no effect on the provider that serves."""

    @pytest.mark.parametrize("stream", [True, False])
    def test_they_are_named(self, relay: Relay, stream: bool):
        fields: dict[str, Any] = {
            "stream": stream,
            "seed": 7,
            "temperature": 0.5,
            "top_k": 3,
            "a\r\nb": 1,
            "user": None,
        }
        with relay.begin(**fields) as answer:
            assert answer.headers[IGNORED] == "seed, top_k"
            assert IGNORED in answer.headers.get("access-control-expose-headers", IGNORED).lower()
            answer.read()

    def test_without_any_there_is_no_header(self, relay: Relay):
        assert IGNORED not in relay.whole(temperature=0.5, max_tokens=9, tools=[TOOL], tool_choice="auto")[1]

    def test_of_the_one_that_serves(self, relay: Relay):
        relay.upstream.script("deepseek", "status-500")
        relay.upstream.script("zai", "status-500")
        _, headers, body = relay.whole(seed=7, temperature=0.5)
        assert headers["x-promptcraft-provider"] == "openai"
        assert headers[IGNORED] == "temperature"
        assert [one.get("ignored") for one in body["attempts"]] == [["seed"], None, ["temperature"]]

    def test_a_replay_says_the_same(self, relay: Relay):
        key = {"Idempotency-Key": "ignored-1"}
        first = relay.whole(headers=key, seed=7)[1]
        again = relay.whole(headers=key, seed=7)[1]
        assert (first[IGNORED], again[IGNORED], again["idempotent-replay"]) == ("seed", "seed", "true")


class TestLacking:
    """What a request needs and a provider cannot do skips the provider; if none can, the field is named."""

    @each(
        ("fields", "served"),
        [
            ({"messages": [{"role": "user", "content": [{"type": "text", "text": "?"}, FILE]}]}, "openai"),
            ({"web_search_options": {}}, "openai"),
            ({"logprobs": True, "model": "glm-4.7"}, "deepseek"),
        ],
    )
    def test_another_serves(self, relay: Relay, fields: Any, served: str):
        status, headers, _ = relay.whole(as_user=relay.user(), **fields)
        assert (status, headers["x-promptcraft-provider"]) == (200, served)

    @each(
        ("model", "fields", "param"),
        [
            ("deepseek-flash", {"messages": [{"role": "user", "content": [FILE]}]}, "messages[0].content[0]"),
            ("glm-4.7", {"logprobs": True}, "logprobs"),
            ("gpt-6-luna", {"modalities": ["text", "audio"]}, "modalities"),
            ("deepseek-flash", {"web_search_options": {}}, "web_search_options"),
        ],
    )
    def test_nobody_can(self, relay: Relay, model: str, fields: Any, param: str):
        status, _, body = relay.whole(as_user=relay.user(), model=model, fallback=False, **fields)
        assert (status, body["error"]["code"], body["error"]["param"]) == (400, "unsupported_parameter", param)
        assert not relay.upstream.exchanges()

    def test_openai_gets_what_it_knows(self, relay: Relay):
        known: dict[str, Any] = {"service_tier": "flex", "store": True, "metadata": {"a": "b"}, "verbosity": "low"}
        _, headers, _ = relay.whole(model="gpt-6-luna", reasoning_effort="low", **known)
        (exchange,) = relay.upstream.exchanges("openai")
        assert {name: exchange.json[name] for name in known} == known
        assert IGNORED not in headers

    def test_a_tier_has_its_price(self, relay: Relay):
        costs = {
            tier: relay.whole(as_user=relay.user(), model="gpt-6-luna", service_tier=tier)[2]["usage"]["cost"]
            for tier in ("auto", "flex", "priority", "scale")
        }
        assert costs["auto"] > 0
        assert costs["flex"] * 2 == pytest.approx(costs["auto"], rel=0.01)
        assert costs["priority"] == pytest.approx(costs["auto"] * 2, rel=0.01)
        assert costs["scale"] is None


class TestVendorsRefusal:
    def test_tools_that_may_be_refused_are_asked_for(self, relay: Relay):
        assert relay.whole(model="gpt-6.2-sol", tools=[TOOL], fallback=False)[0] == 200
        (exchange,) = relay.upstream.exchanges("openai")
        assert exchange.json["tools"]

    @pytest.mark.parametrize(
        "error",
        [
            {"message": "Unsupported.", "type": "invalid_request_error", "param": "tools", "code": None},
            {"message": "Function 'tools' are for another API.", "type": "invalid_request_error", "param": None},
        ],
    )
    def test_a_refusal_names_the_model_and_the_field(self, relay: Relay, error: dict[str, Any]):
        relay.upstream.script("openai", refusing(error))
        status, _, body = relay.whole(model="gpt-6.2-sol", tools=[TOOL], fallback=False)
        assert (status, body["error"]["code"], body["error"]["param"]) == (400, "rejected_by_provider", "tools")
        assert "gpt-6.2-sol" in body["error"]["message"]
        assert "another API" not in body["error"]["message"]


def refusing(error: dict[str, Any]) -> Scenario:
    body = json.dumps({"error": error}).encode()
    return scripted(Send(response(400, body, [("content-type", "application/json")])))


class TestStreams:
    def test_an_old_conversation_goes_on(self, relay: Relay):
        history = [
            *PROMPT,
            {"role": "assistant", "content": None, "function_call": {"name": "tide", "arguments": "{}"}},
            {"role": "function", "name": "tide", "content": "at six"},
        ]
        with relay.begin(messages=history) as stream:
            assert collect(stream).done
        (exchange,) = relay.upstream.exchanges()
        assert exchange.json["messages"][2]["role"] == "tool"

    @pytest.mark.parametrize("field", [{"functions": [{"name": "tide"}]}, {"function_call": "auto"}])
    def test_an_answer_in_the_old_form_is_refused(self, relay: Relay, field: dict[str, Any]):
        status, _, body = relay.whole(**field)
        assert (status, body["error"]["code"]) == (400, "unsupported_parameter")
        assert body["error"]["param"] in field
