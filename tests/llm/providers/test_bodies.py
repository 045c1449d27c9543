"""The JSON body that each vendor is asked with, and what each says it cannot serve."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from apps.llm.providers import DIALECTS, VENDOR_NAMES
from tests.each import each
from tests.llm.providers.asking import USER_HASH, body_of, call_of, request_of, target_of

TOOL = {"type": "function", "function": {"name": "tide", "parameters": {"type": "object"}}}
FORCED = {"type": "function", "function": {"name": "tide"}}
LIST_SCHEMA = {"type": "json_schema", "json_schema": {"name": "tides", "schema": {"type": "array"}}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "tide", "schema": {"type": "object"}}}
IMAGE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.test/a.png"}}]}]
PARTS: list[dict[str, Any]] = [
    {"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]}
]


def lacking(vendor: str, model: str | None = None, **fields: Any) -> str | None:
    return DIALECTS[vendor].lacks(request_of(**fields), target_of(vendor, model))


# --- every vendor


@each("name", ["max_tokens", "max_completion_tokens"])
@each(("vendor", "taken"), [("deepseek", "max_tokens"), ("zai", "max_tokens"), ("openai", "max_completion_tokens")])
def test_both_names_of_the_limit_become_the_vendors(vendor, taken, name):
    limit: dict[str, Any] = {name: 77}
    body = body_of(vendor, **limit)
    assert {key: value for key, value in body.items() if key.startswith("max_")} == {taken: 77}


@each(
    ("vendor", "model", "asked", "sent"),
    [
        ("deepseek", None, 400_000, 384_000),
        ("zai", None, 100_000, 16_000),
        ("openai", "gpt-4o-mini", 20_000, 16_384),
        ("openai", "gpt-unknown", 20_000_000, 20_000_000),
    ],
)
def test_limits_over_what_the_model_writes_are_its_own(vendor, model, asked, sent):
    body = body_of(vendor, model, max_tokens=asked)
    assert body.get("max_tokens", body.get("max_completion_tokens")) == sent


@each(("vendor", "name"), [("deepseek", "user_id"), ("zai", "user_id"), ("openai", "safety_identifier")])
def test_user_is_replaced_by_the_hashed_tenant(vendor, name):
    body = body_of(vendor, user="alice@example.test", safety_identifier="alice", user_id="alice")
    assert body[name] == USER_HASH
    assert "alice" not in str(body)
    assert "user" not in body


@each(
    ("vendor", "user_hash", "sent"),
    [("deepseek", "", None), ("zai", "abcde", None), ("zai", "abcdef", "abcdef"), ("openai", "a" * 99, "a" * 64)],
)
def test_tenants_that_the_vendor_would_refuse(vendor, user_hash, sent):
    call = replace(call_of(target_of(vendor)), user_hash=user_hash)
    body = DIALECTS[vendor].body(call)
    assert body.get("user_id", body.get("safety_identifier")) == sent


@each("vendor", VENDOR_NAMES)
def test_fields_that_are_not_the_vendors_are_dropped(vendor):
    body = body_of(
        vendor,
        n=1,
        fallback=False,
        on_interrupt="error",
        on_disconnect="continue",
        invented={"x": 1},
        stream_options={"include_usage": False},
    )
    assert set(body) <= {
        *("model", "messages", "stream", "stream_options", "thinking", "reasoning_effort"),
        *("user_id", "safety_identifier"),
    }
    assert body["stream_options"]["include_usage"] is True


@each(("vendor", "role"), [("deepseek", "system"), ("zai", "system"), ("openai", "developer")])
def test_developer_role_is_the_vendors(vendor, role):
    body = body_of(vendor, messages=[{"role": "developer", "content": "Be brief."}])
    assert body["messages"] == [{"role": role, "content": "Be brief."}]


@each("vendor", VENDOR_NAMES)
def test_messages_lose_fields_that_are_null_or_unknown(vendor):
    calls = [{"id": "c1", "type": "function", "function": {"name": "tide", "arguments": "{}"}}]
    message = {
        "role": "assistant",
        "content": None,
        "tool_calls": calls,
        "refusal": None,
        "annotations": [],
        "audio": None,
        "function_call": None,
    }
    body = body_of(vendor, messages=[message, {"role": "tool", "tool_call_id": "c1", "content": "high"}])
    assert body["messages"][0] == {"role": "assistant", "content": None, "tool_calls": calls}
    assert body["messages"][1] == {"role": "tool", "tool_call_id": "c1", "content": "high"}


@each(
    ("vendor", "model", "kept"),
    [
        ("deepseek", None, True),
        ("zai", None, False),
        ("zai", "glm-4.7", True),
        ("openai", None, False),
        ("openai", "gpt-4o", False),
    ],
)
def test_reasoning_of_the_history_goes_to_those_who_take_it(vendor, model, kept):
    history = [
        {"role": "assistant", "content": "Six.", "reasoning_content": "Count."},
        {"role": "user", "content": "?"},
    ]
    assert ("reasoning_content" in body_of(vendor, model, messages=history)["messages"][0]) is kept


@each(
    ("vendor", "model", "content"),
    [
        ("deepseek", None, PARTS[0]["content"]),
        ("deepseek", "deepseek-v4-pro", "one\ntwo"),
        ("zai", None, "one\ntwo"),
        ("zai", "glm-next", PARTS[0]["content"]),
        ("openai", None, PARTS[0]["content"]),
    ],
)
def test_text_parts_become_a_string_for_models_without_vision(vendor, model, content):
    assert body_of(vendor, model, messages=PARTS)["messages"][0]["content"] == content


@each(
    ("vendor", "model", "fields", "name"),
    [
        ("deepseek", None, {"messages": IMAGE}, None),
        ("deepseek", "deepseek-v4-pro", {"messages": IMAGE}, "messages[0].content[0]"),
        ("zai", None, {"messages": IMAGE}, "messages[0].content[0]"),
        ("zai", "glm-9v", {"messages": IMAGE}, None),
        ("openai", None, {"messages": IMAGE}, None),
        ("deepseek", None, {"response_format": {"type": "json_object"}}, None),
        ("deepseek", None, {"response_format": {"type": "text"}}, None),
        ("deepseek", None, {"response_format": SCHEMA}, None),
        ("zai", None, {"response_format": SCHEMA}, None),
        ("deepseek", None, {"response_format": LIST_SCHEMA}, "response_format"),
        ("openai", None, {"response_format": LIST_SCHEMA}, None),
        ("zai", None, {"response_format": {"type": "json_object"}}, None),
        ("openai", None, {"response_format": SCHEMA}, None),
        ("deepseek", None, {"tools": [TOOL], "tool_choice": "required"}, None),
        ("deepseek", None, {"tools": [TOOL], "tool_choice": FORCED}, None),
        (
            "deepseek",
            None,
            {"tools": [TOOL], "tool_choice": "required", "thinking": {"type": "enabled"}},
            "tool_choice",
        ),
        ("deepseek", "deepseek-reasoner", {"tools": [TOOL], "tool_choice": FORCED}, "tool_choice"),
        ("deepseek", "deepseek-reasoner", {"tools": [TOOL], "tool_choice": "auto"}, None),
        ("zai", None, {"tools": [TOOL], "tool_choice": "auto"}, None),
        ("zai", None, {"tools": [TOOL], "tool_choice": "none"}, None),
        ("zai", None, {"tools": [TOOL], "tool_choice": "required"}, None),
        ("zai", "glm-next", {"tools": [TOOL], "tool_choice": FORCED}, None),
        ("openai", None, {"tools": [TOOL], "tool_choice": FORCED}, None),
        ("openai", None, {"tools": [TOOL], "reasoning_effort": "none"}, None),
        ("openai", None, {"tools": [TOOL], "reasoning_effort": "low"}, "reasoning_effort"),
        ("openai", None, {"tools": [TOOL], "thinking": {"type": "enabled"}}, "thinking"),
        ("openai", "gpt-5", {"tools": [TOOL], "reasoning_effort": "low"}, None),
        ("openai", "gpt-6.2-sol", {"tools": [TOOL]}, None),
        ("openai", "gpt-6-astra", {"tools": [TOOL]}, None),
        ("openai", "gpt-5.5", {"tools": [TOOL], "reasoning_effort": "low"}, None),
        ("openai", None, {"stop": ["END"]}, None),
        ("openai", None, {"stop": ["x" * 1_024]}, None),
        ("openai", None, {"stop": ["x" * 1_025]}, "stop"),
        ("deepseek", None, {"stop": ["x" * 1_025]}, None),
        ("zai", None, {"stop": ["a", "x" * 1_025]}, "stop"),
        ("zai", None, {"logprobs": True}, "logprobs"),
        ("zai", None, {"logprobs": False, "top_logprobs": 3, "temperature": 2}, None),
        ("openai", None, {"logprobs": True}, None),
        ("deepseek", None, {"web_search_options": {}}, "web_search_options"),
        ("openai", None, {"web_search_options": {}}, None),
        ("openai", None, {"modalities": ["text", "audio"]}, "modalities"),
        ("openai", None, {"modalities": ["text"]}, None),
    ],
)
def test_what_a_target_lacks_is_named(vendor, model, fields, name):
    assert lacking(vendor, model, **fields) == name


def test_tools_stop_and_format_are_passed_on():
    body = body_of(
        "deepseek", tools=[TOOL], tool_choice=FORCED, stop="END", response_format={"type": "json_object"}, top_p=0.5
    )
    assert body["tools"] == [TOOL]
    assert body["tool_choice"] == FORCED
    assert body["stop"] == ["END"]
    assert body["response_format"] == {"type": "json_object"}
    assert body["top_p"] == 0.5


@each(
    ("model", "owner"),
    [
        ("deepseek-chat", "deepseek"),
        ("deepseek-next", "deepseek"),
        ("glm-4.7", "zai"),
        ("gpt-4o-2024-08-06", "openai"),
        ("o3-mini", "openai"),
        ("chatgpt-4o-latest", "openai"),
        ("mock", None),
        ("claude-x", None),
        ("", None),
        ("gpt- 4", None),
    ],
)
def test_models_have_owners(model, owner):
    assert [name for name, dialect in DIALECTS.items() if dialect.knows(model)] == ([owner] if owner else [])


# --- DeepSeek


@each(
    ("model", "fields", "thinking", "effort"),
    [
        (None, {}, False, None),
        ("deepseek-v4-pro", {}, False, None),
        ("deepseek-chat", {}, False, None),
        ("deepseek-v4-flash", {}, False, None),
        ("deepseek-reasoner", {}, True, None),
        ("deepseek-reasoner", {"thinking": {"type": "disabled"}}, False, None),
        ("deepseek-reasoner", {"reasoning_effort": "none"}, False, None),
        ("deepseek-chat", {"thinking": {"type": "enabled"}}, True, None),
        (None, {"reasoning_effort": "low"}, True, "low"),
        (None, {"reasoning_effort": "none"}, False, None),
        (None, {"thinking": {"type": "enabled"}, "reasoning_effort": "max"}, True, "max"),
        (None, {"thinking": {"type": "enabled"}, "reasoning_effort": "none"}, True, None),
        (None, {"thinking": {"type": "disabled"}, "reasoning_effort": "max"}, False, None),
    ],
)
def test_deepseek_thinks_when_asked_to(model, fields, thinking, effort):
    body = body_of("deepseek", model, **fields)
    assert body["thinking"] == {"type": "enabled" if thinking else "disabled"}
    assert body.get("reasoning_effort") == effort
    assert body["model"] == ("deepseek-v4-pro" if model == "deepseek-v4-pro" else "deepseek-flash")


def test_deepseek_gets_no_seed():
    body = body_of("deepseek", seed=7, logit_bias={"1": 2}, parallel_tool_calls=True, temperature=0.3, logprobs=True)
    assert not {"seed", "logit_bias", "parallel_tool_calls"} & set(body)
    assert "temperature" not in body_of("deepseek", temperature=0.3, reasoning_effort="low")
    assert (body["temperature"], body["logprobs"]) == (0.3, True)


# --- Z.AI


@each(("asked", "sent"), [(0, 0.01), (0.01, 0.01), (0.5, 0.5), (0.999, 0.99), (1, 0.99), (2, 0.99)])
def test_zai_sampling_stays_inside_its_open_interval(asked, sent):
    body = body_of("zai", temperature=asked, top_p=min(asked, 1))
    assert (body["temperature"], body["top_p"]) == (sent, sent)


def test_zai_drops_what_it_does_not_know():
    body = body_of("zai", logprobs=True, top_logprobs=2, presence_penalty=1, logit_bias={"1": 1}, seed=7)
    assert not {"logprobs", "top_logprobs", "presence_penalty", "logit_bias"} & set(body)
    assert body["seed"] == 7


def test_zai_serves_tool_choice_none_without_tools():
    assert not {"tools", "tool_choice"} & set(body_of("zai", tools=[TOOL], tool_choice="none"))
    body = body_of("zai", tools=[TOOL], tool_choice="auto")
    assert body["tools"] == [TOOL]
    assert "tool_choice" not in body


@each(
    ("model", "fields", "thinking", "effort"),
    [
        (None, {}, None, None),
        (None, {"thinking": {"type": "enabled"}}, None, None),
        ("glm-4.7", {}, None, None),
        ("glm-4.7", {"thinking": {"type": "disabled"}}, "disabled", None),
        ("glm-4.7", {"reasoning_effort": "high"}, "enabled", None),
        ("glm-5.3", {"reasoning_effort": "high"}, "enabled", "high"),
        ("glm-5.3", {"reasoning_effort": "none"}, "disabled", None),
        ("glm-5.3-flash", {"reasoning_effort": "none"}, None, None),
        ("glm-5.3-flash", {"thinking": {"type": "enabled"}}, "enabled", None),
    ],
)
def test_zai_thinking(model, fields, thinking, effort):
    body = body_of("zai", model, **fields)
    assert body.get("thinking") == (None if thinking is None else {"type": thinking})
    assert body.get("reasoning_effort") == effort


# --- OpenAI


@each(
    ("model", "fields", "effort"),
    [
        (None, {}, "none"),
        (None, {"tools": [TOOL]}, "none"),
        (None, {"thinking": {"type": "enabled"}}, "medium"),
        (None, {"thinking": {"type": "enabled"}, "reasoning_effort": "low"}, "low"),
        (None, {"thinking": {"type": "disabled"}}, "none"),
        (None, {"reasoning_effort": "high"}, "high"),
        ("gpt-5.5", {}, None),
        ("gpt-5.5", {"tools": [TOOL]}, "none"),
        ("gpt-5", {}, None),
        ("gpt-5", {"reasoning_effort": "none"}, "minimal"),
        ("gpt-6.2-sol", {}, None),
        ("gpt-6.2-sol", {"reasoning_effort": "none"}, "low"),
        ("gpt-6-astra", {"thinking": {"type": "disabled"}}, "low"),
        ("o3-mini", {"thinking": {"type": "enabled"}}, "medium"),
        ("gpt-4o", {"reasoning_effort": "high"}, None),
        ("gpt-4o", {"thinking": {"type": "enabled"}}, None),
        ("fake-model", {"reasoning_effort": "high"}, "high"),
        ("fake-model", {}, None),
    ],
)
def test_openai_effort(model, fields, effort):
    body = body_of("openai", model, **fields)
    assert body.get("reasoning_effort") == effort
    assert "thinking" not in body


SAMPLING = {
    "temperature": 0.3,
    "top_p": 0.5,
    "presence_penalty": 1,
    "frequency_penalty": 1,
    "logit_bias": {"1": 2},
}


@each("model", [None, "gpt-5", "gpt-5.9-next", "o4-mini"])
def test_openai_reasoning_models_get_no_sampling_fields(model):
    body = body_of("openai", model, **SAMPLING, seed=7, verbosity="low")
    assert not set(SAMPLING) & set(body)
    assert (body["seed"], body["verbosity"]) == (7, "low")


@each("model", ["gpt-4o", "gpt-4.1-mini", "fake-model"])
def test_openai_other_models_get_them(model):
    body = body_of("openai", model, **SAMPLING)
    assert {name: body[name] for name in SAMPLING} == SAMPLING
    assert "verbosity" not in body_of("openai", "gpt-4o", verbosity="low")


def test_openai_is_asked_for_no_padding_and_no_lonely_parallel_tool_calls():
    assert body_of("openai")["stream_options"] == {"include_usage": True, "include_obfuscation": False}
    assert "parallel_tool_calls" not in body_of("openai", parallel_tool_calls=False)
    assert body_of("openai", parallel_tool_calls=False, tools=[TOOL])["parallel_tool_calls"] is False


@each("vendor", ["deepseek", "zai"])
def test_padding_is_openais(vendor):
    assert body_of(vendor)["stream_options"] == {"include_usage": True}
