"""Contract 3: whether an answer streams, the one that does not, and what a request becomes at each vendor."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.contract.stream_fixtures import COMPLETIONS, PROMPT, Relay
from tests.each import each
from tests.sse_answer import collect
from tests.upstream import Answer, Tokens, ToolCall, healthy

USAGE = Tokens(prompt=1000, completion=200, cached=640, reasoning=120)
WEATHER = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
MODELS = {"deepseek": "deepseek-flash", "zai": "glm-4.7", "openai": "gpt-6-luna"}


class TestShape:
    def test_chat_completion(self, relay: Relay):
        relay.upstream.script("zai", healthy(answer=Answer(text="At six.", reasoning="", usage=USAGE)))
        before = int(time.time())
        status, headers, body = relay.whole(model="glm-4.7")
        assert status == 200
        assert headers["content-type"] == "application/json"
        completion_id = headers["x-promptcraft-completion-id"]
        attempts = body.pop("attempts")
        assert before <= body.pop("created") <= int(time.time())
        assert body == {
            "id": completion_id,
            "object": "chat.completion",
            "model": "glm-4.7",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "At six.", "refusal": None},
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": {
                "prompt_tokens": 1000,
                "completion_tokens": 200,
                "total_tokens": 1200,
                "prompt_tokens_details": {"cached_tokens": 640},
                "completion_tokens_details": {"reasoning_tokens": 120},
                "cost": 0.0007264,
            },
            "usage_source": "provider",
            "provider": "zai",
            "status": "completed",
            "error_code": None,
        }
        (attempt,) = attempts
        assert (attempt["provider"], attempt["model"], attempt["end_reason"]) == ("zai", "glm-4.7", "complete")
        assert before <= attempt["started_at"] <= attempt["ended_at"] <= time.time()
        assert attempt["ttft_ms"] >= 0
        assert (attempt["prompt_tokens"], attempt["completion_tokens"], attempt["cost"]) == (1000, 200, 0.0007264)

    def test_headers(self, relay: Relay):
        _, headers, body = relay.whole()
        assert headers["content-type"] == "application/json"
        assert headers["x-promptcraft-completion-id"] == body["id"]
        assert headers["x-promptcraft-provider"] == "deepseek"
        assert headers["x-promptcraft-model"] == body["model"] == "deepseek-flash"
        assert headers["x-promptcraft-fallback-count"] == "0"
        assert {"ratelimit", "ratelimit-policy", "x-ratelimit-remaining", "x-request-id", "traceparent"} <= set(headers)
        assert "content-encoding" not in headers

    def test_is_what_get_answers_afterwards(self, relay: Relay):
        _, _, body = relay.whole()
        assert relay.detail(body["id"])[2] == body

    def test_tool_calls(self, relay: Relay):
        call = ToolCall("call_a", "weather", ('{"port":', '"Brest"}'))
        relay.upstream.script("openai", healthy(answer=Answer(tool_calls=(call,))))
        _, _, body = relay.whole(model="gpt-6-luna", tools=WEATHER)
        (choice,) = body["choices"]
        assert choice["finish_reason"] == "tool_calls"
        assert choice["message"]["content"] is None
        assert choice["message"]["tool_calls"] == [
            {"id": "call_a", "type": "function", "function": {"name": "weather", "arguments": '{"port":"Brest"}'}}
        ]

    def test_reasoning_and_refusal_have_places_of_their_own(self, relay: Relay):
        relay.upstream.script("zai", healthy(answer=Answer(text="six", reasoning="Count the hens.")))
        message = relay.whole(model="glm-4.7", thinking={"type": "enabled"})[2]["choices"][0]["message"]
        assert (message["content"], message["reasoning_content"]) == ("six", "Count the hens.")
        relay.upstream.script("openai", healthy(answer=Answer(refusal="No owls.")))
        message = relay.whole(model="gpt-6-luna")[2]["choices"][0]["message"]
        assert (message["content"], message["refusal"]) == (None, "No owls.")

    def test_failure_has_its_true_status(self, relay: Relay):
        for vendor in MODELS:
            relay.upstream.script(vendor, "status-500")
        status, headers, body = relay.whole()
        assert (status, body["error"]["code"]) == (502, "all_providers_failed")
        assert [one["provider"] for one in body["error"]["attempts"]] == ["deepseek", "zai", "openai"]
        assert headers["content-type"] == "application/json"


class TestWhetherItStreams:
    @pytest.mark.parametrize(
        ("stream", "accept", "streams"),
        [
            (True, None, True),
            (True, "application/json", True),
            (False, "text/event-stream", False),
            (None, "text/event-stream", True),
            (None, "application/json, text/event-stream;q=0.5", True),
            (None, "Text/Event-Stream", True),
            (None, "application/json", False),
            (None, "*/*", False),
            (None, "text/*", False),
            (None, None, False),
            (False, None, False),
        ],
    )
    def test_body_first_then_the_accept_header(self, relay: Relay, stream: Any, accept: str | None, streams: bool):
        body = {"messages": PROMPT, "stream": stream}
        with relay.open(COMPLETIONS, json=body, headers={"Accept": accept} if accept else None) as answer:
            text = answer.read()
        assert answer.status == 200
        kind = "text/event-stream; charset=utf-8" if streams else "application/json"
        assert answer.headers["content-type"] == kind
        assert text.endswith(b"data: [DONE]\n\n") is streams

    def test_absent_is_as_null(self, relay: Relay):
        with relay.open(COMPLETIONS, json={"messages": PROMPT}, headers={"Accept": "text/event-stream"}) as answer:
            assert answer.read().startswith(b"id: 1\n")

    @pytest.mark.parametrize("path", [COMPLETIONS, COMPLETIONS.rstrip("/")])
    def test_with_and_without_the_slash(self, relay: Relay, path: str):
        with relay.open(path, json={"messages": PROMPT, "stream": True}) as stream:
            assert stream.status == 200
            assert collect(stream).done


@pytest.mark.parametrize("vendor", list(MODELS))
class TestTranslation:
    """What each vendor is really sent; the simulator refuses what the vendor would."""

    def sent(self, relay: Relay, vendor: str, **fields: Any) -> dict[str, Any]:
        status, _, body = relay.whole(model=MODELS[vendor], fallback=False, **fields)
        assert status == 200, body
        (exchange,) = relay.upstream.exchanges(vendor)
        sent: dict[str, Any] = exchange.json
        return sent

    @pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
    def test_both_names_of_max_tokens(self, relay: Relay, vendor: str, name: str):
        sent = self.sent(relay, vendor, **{name: 7})
        taken = "max_completion_tokens" if vendor == "openai" else "max_tokens"
        assert {key: value for key, value in sent.items() if key.startswith("max_")} == {taken: 7}

    def test_newer_name_wins(self, relay: Relay, vendor: str):
        sent = self.sent(relay, vendor, max_tokens=7, max_completion_tokens=5)
        assert [value for key, value in sent.items() if key.startswith("max_")] == [5]

    def test_model_and_messages_arrive(self, relay: Relay, vendor: str):
        messages = [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "caf\u00e9 🦉"},
            {"role": "assistant", "content": "Yes?"},
            {"role": "user", "content": [{"type": "text", "text": "When?"}]},
        ]
        sent = self.sent(relay, vendor, messages=messages)
        assert sent["model"] == MODELS[vendor]
        assert [one["role"] for one in sent["messages"]] == ["system", "user", "assistant", "user"]
        assert sent["messages"][1]["content"] == "caf\u00e9 🦉"
        assert "When?" in str(sent["messages"][3]["content"])

    def test_developer_role_is_the_vendors_word(self, relay: Relay, vendor: str):
        sent = self.sent(relay, vendor, messages=[{"role": "developer", "content": "Be brief."}, *PROMPT])
        assert sent["messages"][0]["role"] == ("developer" if vendor == "openai" else "system")

    def test_our_own_fields_stay_here(self, relay: Relay, vendor: str):
        sent = self.sent(relay, vendor, on_interrupt="error", on_disconnect="continue", user="customer-7")
        assert {"fallback", "on_interrupt", "on_disconnect", "user"} & set(sent) == set()
        assert "customer-7" not in str(sent)

    def test_unknown_field_is_ignored(self, relay: Relay, vendor: str):
        sent = self.sent(relay, vendor, x_unheard_of={"a": 1})
        assert "x_unheard_of" not in sent

    def test_known_field_is_passed_on(self, relay: Relay, vendor: str):
        sent = self.sent(relay, vendor, tools=WEATHER, seed=11, temperature=0.5)
        assert sent["tools"] == WEATHER
        # DeepSeek knows no seed, and OpenAI's model takes no temperature.
        assert sent.get("seed") == (None if vendor == "deepseek" else 11)
        assert sent.get("temperature") == (None if vendor == "openai" else 0.5)

    def test_json_mode(self, relay: Relay, vendor: str):
        asked = [{"role": "user", "content": "Answer in JSON."}]
        sent = self.sent(relay, vendor, response_format={"type": "json_object"}, messages=asked)
        assert sent["response_format"] == {"type": "json_object"}

    def test_tool_turns_go_back_as_they_came(self, relay: Relay, vendor: str):
        call = {"id": "call_a", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
        messages = [
            *PROMPT,
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_a", "content": "rain"},
        ]
        sent = self.sent(relay, vendor, messages=messages, tools=WEATHER)
        assert sent["messages"][1]["tool_calls"] == [call]
        assert sent["messages"][2] == {"role": "tool", "tool_call_id": "call_a", "content": "rain"}

    def test_no_proxy_no_cookie_no_clients_header(self, relay: Relay, vendor: str):
        relay.whole(model=MODELS[vendor], headers={"Cookie": "a=b", "X-Request-Id": "mine", "Forwarded": "for=me"})
        (exchange,) = relay.upstream.exchanges(vendor)
        assert exchange.headers["authorization"] == "Bearer sk-upstream-0001"
        assert {"cookie", "forwarded", "x-request-id", "x-forwarded-for"} & set(exchange.headers) == set()


@each(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": -0.1}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": 1.5}, "max_completion_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [*PROMPT, {"role": "owl", "content": "hoo"}]}, "messages[1].role"),
        ({"messages": [{"role": "user", "content": [{"type": "smell"}]}]}, "messages[0].content[0].type"),
        ({"stream_options": {"include_usage": "yes"}}, "stream_options.include_usage"),
        ({"on_disconnect": "wait"}, "on_disconnect"),
        ({"fallback": "no"}, "fallback"),
    ],
)
def test_known_fields_are_checked_before_any_provider_is_called(relay: Relay, fields: dict[str, Any], param: str):
    relay.upstream.reset()
    status, _, body = relay.whole(**({"stream": True} | fields))
    assert (status, body["error"]["type"], body["error"]["param"]) == (400, "invalid_request_error", param)
    assert relay.upstream.exchanges() == ()
