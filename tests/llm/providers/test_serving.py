"""What a target is asked for, what has no effect on it, and what is done here in its place."""

from __future__ import annotations

from typing import Any

from apps.llm.breaker import BreakerPolicy, ProcessBreaker
from apps.llm.chain import Chain
from apps.llm.providers import DIALECTS, ProviderConfig
from apps.llm.providers.mock import MockProvider
from apps.llm.providers.openai_compatible import OpenAICompatibleProvider
from apps.llm.providers.plain import Plain
from apps.llm.wire.shaping import Shaping
from tests.each import each
from tests.llm.providers.asking import body_of, request_of, target_of

TOOL = {"type": "function", "function": {"name": "tide", "parameters": {"type": "object"}}}
FORCED = {"type": "function", "function": {"name": "tide"}}
OBJECT = {"type": "object", "properties": {"hour": {"type": "integer"}}}


def format_of(name: str = "answer", **more: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": name, "schema": OBJECT, **more}}


def ignored(vendor: str, model: str | None = None, **fields: Any) -> list[str]:
    return list(DIALECTS[vendor].ignored(request_of(**fields), target_of(vendor, model)))


def shaping(vendor: str, model: str | None = None, **fields: Any) -> Shaping | None:
    return DIALECTS[vendor].shaping(request_of(**fields), target_of(vendor, model))


@each(
    ("vendor", "model", "fields", "names"),
    [
        ("deepseek", None, {}, []),
        ("deepseek", None, {"temperature": 0.2, "logprobs": True, "max_tokens": 5, "stop": "x"}, []),
        ("deepseek", None, {"seed": 7, "logit_bias": {"1": 1}, "user": "ann"}, ["seed", "logit_bias", "user"]),
        ("deepseek", None, {"temperature": 0.2, "reasoning_effort": "low"}, ["temperature"]),
        ("deepseek", "deepseek-reasoner", {"presence_penalty": 1, "top_p": 0.9}, ["presence_penalty"]),
        ("deepseek", None, {"parallel_tool_calls": False}, []),
        ("deepseek", None, {"parallel_tool_calls": False, "tools": [TOOL]}, ["parallel_tool_calls"]),
        (
            "deepseek",
            None,
            {"service_tier": "flex", "store": True, "metadata": {"a": "b"}},
            ["service_tier", "store", "metadata"],
        ),
        ("deepseek", None, {"service_tier": "auto", "store": False, "metadata": {}, "modalities": ["text"]}, []),
        ("deepseek", None, {"verbosity": "low", "prompt_cache_key": "k"}, ["verbosity", "prompt_cache_key"]),
        ("deepseek", None, {"top_k": 5, "a b": 1, "x" * 65: 1, "é": 1, "x\r\ny": 1, "ok.1-2": 1}, ["top_k", "ok.1-2"]),
        ("zai", None, {"temperature": 0.2, "seed": 7, "frequency_penalty": 1}, ["frequency_penalty"]),
        ("zai", None, {"reasoning_effort": "high"}, ["reasoning_effort"]),
        ("zai", None, {"reasoning_effort": "none"}, []),
        ("zai", None, {"thinking": {"type": "enabled"}}, ["thinking"]),
        ("zai", "glm-4.7", {"thinking": {"type": "enabled"}}, []),
        ("zai", "glm-5.3-flash", {"thinking": {"type": "disabled"}}, ["thinking"]),
        ("openai", None, {"temperature": 0.2, "top_p": 0.5, "seed": 7}, ["temperature", "top_p"]),
        ("openai", None, {"temperature": 1, "top_p": 1}, []),
        ("openai", "gpt-4o", {"temperature": 0.2, "verbosity": "low"}, ["verbosity"]),
        (
            "openai",
            "gpt-4o",
            {"reasoning_effort": "low", "thinking": {"type": "enabled"}},
            ["thinking", "reasoning_effort"],
        ),
        ("openai", "fine-tuned", {"reasoning_effort": "low", "thinking": {"type": "enabled"}}, ["thinking"]),
        ("openai", None, {"service_tier": "flex", "store": True, "metadata": {"a": "b"}, "prompt_cache_key": "k"}, []),
        ("openai", None, {"safety_identifier": "ann"}, ["safety_identifier"]),
        ("openai", None, {"audio": {"voice": "a"}, "prediction": {"type": "content"}}, ["audio", "prediction"]),
    ],
)
def test_what_has_no_effect_is_named(vendor, model, fields, names):
    assert ignored(vendor, model, **fields) == names


def test_a_configured_server_has_no_thinking():
    plain = Plain("any", "http://127.0.0.1/v1", "any")
    request = request_of(thinking={"type": "disabled"}, reasoning_effort="low", temperature=0.2)
    assert plain.ignored(request, plain.target("any")) == ("thinking",)


def test_so_many_names_and_no_more():
    fields: dict[str, Any] = {f"field_{number}": 1 for number in range(1_000)}
    assert len(ignored("deepseek", **fields)) == 32


def test_openai_gets_what_it_knows():
    known: dict[str, Any] = {
        "logprobs": True,
        "top_logprobs": 2,
        "reasoning_effort": "low",
        "service_tier": "flex",
        "store": True,
        "metadata": {"ticket": "1"},
        "verbosity": "low",
        "prompt_cache_key": "k",
        "modalities": ["text"],
        "seed": 7,
    }
    body = body_of("openai", **known)
    assert {name: body[name] for name in known} == known
    options = {
        "search_context_size": "low",
        "x": 1,
        "user_location": {"type": "approximate", "approximate": {"city": "Brest", "x": 1}, "y": None},
    }
    assert body_of("openai", web_search_options=options)["web_search_options"] == {
        "search_context_size": "low",
        "user_location": {"type": "approximate", "approximate": {"city": "Brest"}},
    }
    prediction = {"type": "content", "content": [{"type": "text", "text": "a", "cache_control": {}}], "x": 1}
    assert body_of("openai", "gpt-4o", prediction=prediction)["prediction"] == {
        "type": "content",
        "content": [{"type": "text", "text": "a"}],
    }


# --- stop strings


@each(
    ("vendor", "model", "stop", "sent", "cut"),
    [
        ("deepseek", None, [str(number) for number in range(16)], 16, 0),
        ("openai", None, ["END"], 0, 1),
        ("openai", "gpt-5.9-next", ["END", "\n"], 0, 2),
        ("openai", "gpt-4o", ["a", "b", "c", "d"], 4, 0),
        ("openai", "gpt-4o", ["a", "b", "c", "d", "e"], 4, 1),
        ("zai", None, ["a"], 1, 0),
        ("zai", None, ["a", "b"], 1, 1),
    ],
)
def test_stop_strings_over_what_is_taken_are_cut_at_here(vendor, model, stop, sent, cut):
    assert len(body_of(vendor, model, stop=stop).get("stop", [])) == sent
    shaped = shaping(vendor, model, stop=stop)
    assert (() if shaped is None else shaped.stop) == tuple(stop[len(stop) - cut :])


# --- JSON Schemas


def asked(vendor: str, model: str | None = None, **fields: Any) -> tuple[list[str], Any, str | None]:
    """Return the names of the tools sent, the choice, and the tool that is the answer."""
    body = body_of(vendor, model, **fields)
    shaped = shaping(vendor, model, **fields)
    assert "response_format" not in body
    return (
        [tool["function"]["name"] for tool in body.get("tools", [])],
        body.get("tool_choice"),
        None if shaped is None else shaped.answer_tool,
    )


def test_a_schema_is_one_forced_strict_tool():
    body = body_of("deepseek", response_format=format_of(strict=True, description="The hour."))
    (tool,) = body["tools"]
    assert tool["function"].pop("description").startswith("The hour.")
    assert tool == {"type": "function", "function": {"name": "answer", "parameters": OBJECT, "strict": True}}
    assert body["tool_choice"] == {"type": "function", "function": {"name": "answer"}}
    assert "response_format" not in body


def named(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


@each(
    ("fields", "expected"),
    [
        ({}, (["answer"], named("answer"), "answer")),
        ({"tools": [TOOL]}, (["tide", "answer"], "required", "answer")),
        ({"tools": [TOOL], "tool_choice": "auto"}, (["tide", "answer"], "required", "answer")),
        ({"tools": [TOOL], "tool_choice": "none"}, (["answer"], named("answer"), "answer")),
        ({"tools": [TOOL], "tool_choice": "required"}, (["tide"], "required", None)),
        ({"tools": [TOOL], "tool_choice": FORCED}, (["tide"], FORCED, None)),
        ({"reasoning_effort": "low"}, (["answer"], None, "answer")),
        ({"tools": [TOOL], "thinking": {"type": "enabled"}}, (["tide", "answer"], None, "answer")),
        ({"response_format": format_of("tide"), "tools": [TOOL]}, (["tide", "tide_2"], "required", "tide_2")),
        (
            {"response_format": format_of("x" * 64), "tools": [named("x" * 64)]},
            (["x" * 64, "x" * 60 + "_2"], "required", "x" * 60 + "_2"),
        ),
    ],
)
def test_a_schema_beside_the_clients_own_tools(fields, expected):
    assert asked("deepseek", **{"response_format": format_of(), **fields}) == expected


def test_zai_is_told_nothing_of_strictness():
    (tool,) = body_of("zai", response_format=format_of(strict=True))["tools"]
    assert "strict" not in tool["function"]


def test_whoever_takes_schemas_gets_them():
    assert body_of("openai", response_format=format_of())["response_format"] == format_of()
    assert shaping("openai", response_format=format_of()) is None


def test_stop_strings_are_not_sent_with_a_tool_that_is_the_answer():
    fields: dict[str, Any] = {"response_format": format_of(), "stop": ["}"]}
    assert "stop" not in body_of("deepseek", **fields)
    assert shaping("deepseek", **fields) == Shaping(stop=("}",), answer_tool="answer")


# --- who is asked after whom


def order(*names: str, **fields: Any) -> list[str]:
    """Return who would be asked, in order."""
    config = ProviderConfig(api_key="sk-1")
    providers = [
        MockProvider() if name == "mock" else OpenAICompatibleProvider(DIALECTS[name], config) for name in names
    ]
    chain = Chain(providers, {name: ProcessBreaker(BreakerPolicy()) for name in names})
    return [one.provider.name for one in chain.plan(request_of(**fields))]


@each(
    ("names", "fields", "expected"),
    [
        (("zai", "openai"), {}, ["zai", "openai"]),
        (("zai", "openai"), {"tools": [TOOL], "tool_choice": "required"}, ["openai", "zai"]),
        (("zai", "openai"), {"response_format": format_of()}, ["openai", "zai"]),
        (("zai",), {"tools": [TOOL], "tool_choice": "required"}, ["zai"]),
        (("zai", "mock"), {"tools": [TOOL], "tool_choice": "required"}, ["zai", "mock"]),
        (("zai", "openai", "mock"), {"tools": [TOOL], "tool_choice": FORCED}, ["openai", "zai", "mock"]),
        (("deepseek", "openai"), {"model": "gpt-6.2-sol", "tools": [TOOL]}, ["openai", "deepseek"]),
        (("deepseek", "zai"), {"model": "glm-4.7", "response_format": format_of()}, ["zai", "deepseek"]),
    ],
)
async def test_whoever_may_refuse_is_asked_last_unless_named(names, fields, expected):
    assert order(*names, **fields) == expected
