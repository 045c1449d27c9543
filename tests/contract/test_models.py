"""Contract 3 and 4: the models there are, and where a named one starts the chain."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.stream_fixtures import Relay
from tests.each import each
from tests.sse_answer import collect

PIXEL = "data:image/png;base64,iVBORw0KGgo="
IMAGE = [
    {
        "role": "user",
        "content": [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": PIXEL}}],
    }
]
SCHEMA = {"type": "json_schema", "json_schema": {"name": "tide", "schema": {"type": "object"}}}
WEATHER = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]


class TestCatalogue:
    @each("path", ["/api/v2/models/", "/api/v2/models"])
    def test_list_has_openais_shape_and_ours(self, relay: Relay, path: str):
        status, _, body = relay.call(path)
        assert (status, body["object"], set(body)) == (200, "list", {"object", "data"})
        for model in body["data"]:
            assert set(model) == {
                "id",
                "object",
                "created",
                "owned_by",
                "provider",
                "context_window",
                "max_output_tokens",
                "pricing",
                "available",
            }
            assert model["object"] == "model"
            assert isinstance(model["created"], int)
            assert model["available"] is True
            assert model["provider"] in {"deepseek", "zai", "openai"}
        assert len({model["id"] for model in body["data"]}) == len(body["data"])

    @each(
        ("model", "provider", "context_window", "max_output_tokens", "prices"),
        [
            ("glm-4.7", "zai", 200_000, 128_000, [(0.60, 0.11, 2.20)]),
            ("glm-4-32b-0414-128k", "zai", 128_000, 16_000, [(0.10, 0.10, 0.10)]),
            ("gpt-6-luna", "openai", 1_050_000, 128_000, [(0.10, 0.01, 0.50)]),
            ("deepseek-flash", "deepseek", 1_000_000, 384_000, [(0.15, 0.003, 0.60), (0.30, 0.006, 1.20)]),
        ],
    )
    def test_facts_and_prices(
        self, relay: Relay, model: str, provider: str, context_window: int, max_output_tokens: int, prices: Any
    ):
        status, _, body = relay.call(f"/api/v2/models/{model}/")
        assert (status, body["id"], body["provider"]) == (200, model, provider)
        assert (body["context_window"], body["max_output_tokens"]) == (context_window, max_output_tokens)
        assert tuple(body["pricing"][name] for name in ("input", "cached_input", "output")) in prices
        assert body in relay.call("/api/v2/models/")[2]["data"]

    @each("model", ["owl-1", "a/b", "..", "mock"])
    def test_absent_one_is_404(self, relay: Relay, model: str):
        status, _, body = relay.call(f"/api/v2/models/{model}/")
        assert (status, body["error"]["code"]) == (404, "model_not_found")

    def test_needs_a_token(self, relay: Relay):
        assert relay.call("/api/v2/models/", as_user=None)[0] == 401


class TestNaming:
    @pytest.mark.parametrize(
        ("model", "provider", "really"),
        [
            (None, "deepseek", "deepseek-flash"),
            ("auto", "deepseek", "deepseek-flash"),
            ("deepseek-v4-pro", "deepseek", "deepseek-v4-pro"),
            ("glm-5.3-flash", "zai", "glm-5.3-flash"),
            ("gpt-4o-mini", "openai", "gpt-4o-mini"),
        ],
    )
    def test_chain_starts_at_the_models_provider(self, relay: Relay, model: str | None, provider: str, really: str):
        with relay.begin(model=model) as stream:
            answer = collect(stream)
        assert stream.headers["x-promptcraft-provider"] == provider
        assert {chunk["model"] for chunk in answer.chunks} == {stream.headers["x-promptcraft-model"]} == {really}
        assert [exchange.vendor for exchange in relay.upstream.exchanges()] == [provider]

    def test_others_follow_with_their_defaults(self, relay: Relay):
        relay.upstream.script("openai", "status-503")
        relay.upstream.script("deepseek", "status-503")
        with relay.begin(model="gpt-4o") as stream:
            answer = collect(stream)
        asked = [(exchange.vendor, exchange.model) for exchange in relay.upstream.exchanges()]
        assert asked == [("openai", "gpt-4o"), ("deepseek", "deepseek-flash"), ("zai", "glm-4-32b-0414-128k")]
        assert {chunk["model"] for chunk in answer.chunks} == {"glm-4-32b-0414-128k"}
        assert stream.headers["x-promptcraft-fallback-count"] == "2"

    @pytest.mark.parametrize("model", ["gpt-4o", None])
    def test_nobody_follows_without_fallback(self, relay: Relay, model: str | None):
        first = "openai" if model else "deepseek"
        relay.upstream.script(first, "status-503")
        status, _, body = relay.whole(model=model, fallback=False)
        assert (status, body["error"]["code"]) == (502, "all_providers_failed")
        assert [one["provider"] for one in body["error"]["attempts"]] == [first]
        assert [exchange.vendor for exchange in relay.upstream.exchanges()] == [first]

    @pytest.mark.parametrize(("alias", "thinking"), [("deepseek-chat", "disabled"), ("deepseek-reasoner", "enabled")])
    def test_retired_id_is_its_successor_with_the_thinking_it_stood_for(self, relay: Relay, alias: str, thinking: str):
        with relay.begin(model=alias) as stream:
            answer = collect(stream)
        (exchange,) = relay.upstream.exchanges("deepseek")
        assert (exchange.model, exchange.json["thinking"]) == ("deepseek-flash", {"type": thinking})
        assert {chunk["model"] for chunk in answer.chunks} == {"deepseek-flash"}
        assert bool(answer.reasoning) is (thinking == "enabled")

    def test_default_does_not_think_unless_asked(self, relay: Relay):
        with relay.begin() as stream:
            assert collect(stream).reasoning == ""
        with relay.begin(thinking={"type": "enabled"}) as stream:
            assert collect(stream).reasoning != ""

    @each(("model", "stream"), [("owl-1", True), ("owl-1", False), ("mock", True), ("gpt", True), ("deepseek", True)])
    def test_unknown_model_is_refused_before_anybody_is_asked(self, relay: Relay, model: str, stream: bool):
        relay.upstream.reset()
        status, _, body = relay.whole(model=model, stream=stream)
        assert (status, body["error"]["code"], body["error"]["param"]) == (404, "model_not_found", "model")
        assert relay.upstream.exchanges() == ()


class TestWhoCanServe:
    """A provider that cannot serve what is asked for is skipped; if none can, 400 names the field."""

    @pytest.mark.parametrize(
        ("fields", "provider"),
        [
            # Z.AI's default sees no images, DeepSeek's does.
            ({"model": "glm-4.7", "messages": IMAGE}, "deepseek"),
            ({"model": "deepseek-v4-pro", "messages": IMAGE}, "openai"),
        ],
    )
    def test_next_one_that_can(self, relay: Relay, fields: dict[str, Any], provider: str):
        status, headers, body = relay.whole(**fields)
        assert (status, headers.get("x-promptcraft-provider")) == (200, provider), body
        (exchange,) = relay.upstream.exchanges()
        assert exchange.vendor == provider

    @pytest.mark.parametrize(
        ("fields", "provider"),
        [
            # Where schemas are not known, a tool stands for one.
            ({"response_format": SCHEMA}, "deepseek"),
            ({"model": "glm-4.7", "response_format": SCHEMA}, "zai"),
            # That it cannot is not known for certain.
            ({"model": "gpt-6.2-sol", "tools": WEATHER}, "openai"),
            ({"model": "glm-4.7", "tools": WEATHER, "tool_choice": "required"}, "zai"),
        ],
    )
    def test_the_one_that_is_named_serves_what_may_do(self, relay: Relay, fields: dict[str, Any], provider: str):
        status, headers, body = relay.whole(**fields)
        assert (status, headers.get("x-promptcraft-provider")) == (200, provider), body
        (exchange,) = relay.upstream.exchanges()
        if "tools" in fields:
            assert (exchange.json["tools"], exchange.json.get("tool_choice")) == (WEATHER, fields.get("tool_choice"))
        else:
            assert [tool["type"] for tool in exchange.json["tools"]] == ["function"]

    def test_image_arrives_whole(self, relay: Relay):
        relay.whole(messages=IMAGE)
        (exchange,) = relay.upstream.exchanges("deepseek")
        assert exchange.json["messages"] == IMAGE

    @pytest.mark.parametrize(
        ("fields", "param"),
        [
            ({"model": "glm-4.7", "messages": IMAGE}, "messages[0].content[1]"),
            ({"model": "deepseek-v4-pro", "messages": IMAGE}, "messages[0].content[1]"),
            ({"model": "deepseek-flash", "web_search_options": {}}, "web_search_options"),
        ],
    )
    def test_none_that_can(self, relay: Relay, fields: dict[str, Any], param: str):
        status, _, body = relay.whole(fallback=False, stream=True, **fields)
        error = body["error"]
        assert (status, error["code"], error["param"]) == (400, "unsupported_parameter", param)
        assert relay.upstream.exchanges() == ()

    def test_one_that_fails_is_not_followed_by_one_that_cannot(self, relay: Relay):
        relay.upstream.script("deepseek", "status-503")
        relay.upstream.script("openai", "status-503")
        status, _, body = relay.whole(messages=IMAGE)
        assert status == 502
        assert [one["provider"] for one in body["error"]["attempts"]] == ["deepseek", "openai"]
        assert relay.upstream.exchanges("zai") == ()
