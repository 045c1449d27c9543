"""The messages, parts and tools that each vendor is sent: built of what it knows, whatever a client's SDK dumped."""

from __future__ import annotations

from typing import Any

from apps.llm.providers import DIALECTS, VENDOR_NAMES
from apps.llm.providers.base import Target
from apps.llm.providers.dialect import Dialect
from apps.llm.providers.plain import Plain
from apps.llm.wire.json import dumps
from tests.each import each
from tests.llm.providers.asking import call_of, request_of

MARK = "not-known-here"
HELLO = {"role": "user", "content": "Hello"}
CALL: dict[str, Any] = {"id": "c1", "type": "function", "function": {"name": "tide", "arguments": "{}"}}
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.test/a.png"}}
FILE = {"type": "file", "file": {"file_id": "file-1"}}
SOUND = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
CACHED = {"cache_control": {"type": MARK}}
DUMPED: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": [{"type": "text", "text": "Be brief. Write JSON.", **CACHED}], "id": MARK},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "a", "image_url": {"url": MARK}, "annotations": [MARK], **CACHED},
                {"type": "image_url", "image_url": {"url": "https://example.test/a.png", "detail": None, "x": MARK}},
            ],
            "copilot_cache_control": {"type": MARK},
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {**CALL, "index": 0, "extra_content": MARK, "function": {**CALL["function"], "parsed": MARK}}
            ],
            "annotations": [MARK],
            "audio": None,
            "function_call": None,
            "refusal": None,
        },
        {"role": "tool", "tool_call_id": "c1", "name": MARK, "content": "high", "status": MARK},
    ],
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "tide",
                "description": None,
                "parameters": {"type": "object", "properties": {"port": {"default": None}}},
                "strict": None,
                "metadata": MARK,
            },
            **CACHED,
        }
    ],
    "tool_choice": {"type": "function", "function": {"name": "tide", "description": MARK}, "extra": MARK},
    "response_format": {"type": "json_object", "schema": {"title": MARK}},
    "stream_options": {"include_usage": True, "continuous_usage_stats": MARK},
    "metadata": {"ticket": "1", "empty": None},
    "providerOptions": {"any": MARK},
}
PLAIN = Plain("any", "http://127.0.0.1/v1", "any")
EVERYBODY: list[Dialect] = [*DIALECTS.values(), PLAIN]


def body(dialect: Dialect, model: str | None = None, **fields: Any) -> dict[str, Any]:
    return dialect.body(call_of(target(dialect, model), **fields))


def target(dialect: Dialect, model: str | None = None) -> Target:
    return dialect.target(model or dialect.default_model)


def sent(dialect: Dialect, *messages: dict[str, Any], model: str | None = None) -> list[dict[str, Any]]:
    built: list[dict[str, Any]] = body(dialect, model, messages=list(messages))["messages"]
    return built


def nulls_in(value: Any, path: str = "") -> list[str]:
    if isinstance(value, dict):
        return [found for name, inner in value.items() for found in nulls_in(inner, f"{path}.{name}")]
    if isinstance(value, list):
        return [found for index, inner in enumerate(value) for found in nulls_in(inner, f"{path}[{index}]")]
    return [path] if value is None else []


@each("dialect", EVERYBODY)
def test_what_nobody_knows_stays_here_at_every_level(dialect):
    built = body(dialect, **DUMPED)
    assert MARK not in dumps(built).decode()
    # Beside tool calls a content of null is the format's; inside a JSON Schema null is the client's.
    assert nulls_in(built) == [".messages[2].content", ".tools[0].function.parameters.properties.port.default"]


@each("dialect", EVERYBODY)
def test_what_is_known_is_sent_as_it_came(dialect):
    built = body(dialect, **DUMPED)
    assert built["messages"][2]["tool_calls"] == [CALL]
    assert built["messages"][3] == {"role": "tool", "tool_call_id": "c1", "content": "high"}
    assert built["tools"][0]["function"]["parameters"] == DUMPED["tools"][0]["function"]["parameters"]
    assert built["tool_choice"] == {"type": "function", "function": {"name": "tide"}}
    assert built["response_format"] == {"type": "json_object"}


def test_strictness_goes_to_those_who_know_it():
    tool = {"type": "function", "function": {"name": "tide", "strict": True}}
    strict = {name: body(DIALECTS[name], tools=[tool])["tools"][0]["function"].get("strict") for name in VENDOR_NAMES}
    assert strict == {"deepseek": True, "zai": None, "openai": True}


# --- assistants that say nothing, refuse, or only think


@each("dialect", EVERYBODY)
@each("said", [{}, {"content": None}, {"content": []}, {"content": None, "tool_calls": []}, {"content": ""}])
def test_an_assistant_that_said_nothing(dialect, said):
    assert sent(dialect, HELLO, {"role": "assistant", **said}, HELLO)[1] == {"role": "assistant", "content": ""}


@each("content", [None, ""])
def test_a_refusal_is_what_the_assistant_said(content):
    said = {"role": "assistant", "content": content, "refusal": "No."}
    for dialect in EVERYBODY:
        (message,) = sent(dialect, said)
        known = dialect in (PLAIN, DIALECTS["openai"])
        assert message == {"role": "assistant", **({"content": "", "refusal": "No."} if known else {"content": "No."})}


@each("dialect", EVERYBODY)
def test_a_part_that_refuses_goes_as_text_where_it_is_not_known(dialect):
    (message,) = sent(dialect, {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]})
    as_sent = dumps(message["content"]).decode()
    assert "No." in as_sent
    assert ("refusal" in as_sent) is (dialect in (PLAIN, DIALECTS["openai"]))


@each(("vendor", "kept"), [("deepseek", True), ("zai", False), ("openai", False)])
def test_thoughts_alone(vendor, kept):
    (message,) = sent(DIALECTS[vendor], {"role": "assistant", "content": None, "reasoning_content": "Hm."})
    assert message == {"role": "assistant", "content": "", **({"reasoning_content": "Hm."} if kept else {})}


# --- images, files and sounds


def test_images_of_tool_results_follow_them():
    calls = [CALL, {**CALL, "id": "c2"}]
    text = {"type": "text", "text": "a chart"}
    history: list[dict[str, Any]] = [
        HELLO,
        {"role": "assistant", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c1", "content": [text, IMAGE]},
        {"role": "tool", "tool_call_id": "c2", "content": [IMAGE]},
    ]
    for dialect in (DIALECTS["deepseek"], DIALECTS["openai"], PLAIN):
        for behind in ([], [HELLO]):
            built = sent(dialect, *history, *behind)
            assert built[2]["content"] == [text]
            assert built[3]["content"] == ""
            assert built[4] == {"role": "user", "content": [IMAGE, IMAGE]}
            assert built[5:] == behind


@each(
    ("part", "able"),
    [(IMAGE, {"deepseek", "openai", "any"}), (FILE, {"openai", "any"}), (SOUND, {"openai", "any"})],
)
def test_parts_go_to_those_who_know_them(part, able):
    message = {"role": "user", "content": [{"type": "text", "text": "What is it?"}, part]}
    request = request_of(messages=[HELLO, message])
    for dialect in EVERYBODY:
        lacks = dialect.lacks(request, target(dialect))
        assert lacks == (None if dialect.name in able else "messages[1].content[1]")
        if lacks is None:
            assert sent(dialect, message)[0]["content"][1] == part


# --- the form before tools


@each("dialect", EVERYBODY)
def test_old_calls_become_tool_calls(dialect):
    old: list[dict[str, Any]] = [
        HELLO,
        {"role": "assistant", "content": None, "function_call": {"name": "tide", "arguments": '{"port":"Brest"}'}},
        {"role": "function", "name": "tide", "content": "high"},
        {"role": "assistant", "content": None, "function_call": {"name": "tide"}},
        {"role": "function", "name": "tide", "content": None},
    ]
    built = sent(dialect, *old)
    calls = [built[1]["tool_calls"][0], built[3]["tool_calls"][0]]
    assert [call["function"] for call in calls] == [
        {"name": "tide", "arguments": '{"port":"Brest"}'},
        {"name": "tide", "arguments": ""},
    ]
    assert calls[0]["id"] != calls[1]["id"]
    assert [built[2], built[4]] == [
        {"role": "tool", "tool_call_id": calls[0]["id"], "content": "high"},
        {"role": "tool", "tool_call_id": calls[1]["id"], "content": ""},
    ]
