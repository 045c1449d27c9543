"""Real answers, held against what the OpenAPI document says of them; and its examples, sent."""

from __future__ import annotations

from typing import Any

import pytest

from apps.llm.errors import InvalidRequest
from apps.llm.wire import json
from apps.llm.wire.request import parse_request
from apps.templates.prompts.requests import read_generate, read_intent, read_optimize, read_run
from promptcraft.schema.prompts import PATHS
from tests.promptcraft.described import document, fits, problems
from tests.templates.prompts.test_optimize import BETTER, PROMPT
from tests.templates.workbench import PROMPTS, Workbench, events_of, intent_of
from tests.upstream import Answer

READERS: Any = {"intent": read_intent, "optimize": read_optimize, "generate": read_generate, "run": read_run}
SCHEMAS = {"intent": "IntentOfRun", "templates": "MatchingTemplates", "optimization": "Optimization"}


def is_a(answer: Any, schema: str) -> None:
    assert problems(answer, {"$ref": f"#/components/schemas/{schema}"}) == []


def test_answers(workbench: Workbench, by_rules: Workbench):
    workbench.says(intent_of(), BETTER)
    is_a(workbench.answer("intent", {"query": "when does the tide turn"}), "Intent")
    is_a(workbench.answer("optimize", {"prompt": PROMPT}), "Optimization")
    is_a(by_rules.answer("intent", {"query": "when does the tide turn"}), "Intent")
    saved = {"prompt": PROMPT, "save": {"template": "unlabelled"}}
    is_a(by_rules.answer("optimize", saved), "Optimization")
    is_a(by_rules.answer("run", {"query": "when does the tide turn", "stream": False}), "Run")
    is_a(by_rules.answer("generate", {"prompt": "Tell me.", "stream": False}), "ChatCompletion")


def test_steps(workbench: Workbench):
    workbench.says(intent_of(), BETTER, Answer(text="At six."))
    with workbench.open("run", {"query": "when does the tide turn"}) as stream:
        events = events_of(stream)
    for name, data in events:
        if name in SCHEMAS:
            is_a(data, SCHEMAS[name])
        elif name is None and data != "[DONE]":
            is_a(data, "ChatCompletionChunk")
    assert {name for name, _ in events} == {*SCHEMAS, "completion", None}


@pytest.mark.parametrize("route", READERS)
def test_examples_are_taken(route: str):
    described = PATHS[f"{PROMPTS}{route}/"]["post"]["requestBody"]["content"]["application/json"]
    assert READERS[route](described["example"])
    assert problems(described["example"], described["schema"]) == []


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("intent", {"query": " "}),
        ("intent", {"query": "a", "stream": "yes"}),
        ("optimize", {"prompt": ""}),
        ("optimize", {"prompt": "a", "save": {"note": "b"}}),
        ("generate", {"prompt": "a", "temperature": 3}),
        ("generate", {"prompt": "a", "tools": "all"}),
        ("generate", {"prompt": "a", "messages": []}),
        ("run", {"query": "a", "messages": []}),
        ("generate", {"template": "a", "version": 0}),
        ("run", {"query": "a" * 8_001}),
    ],
    ids=str,
)
def test_bodies_that_are_refused_do_not_fit(route: str, body: dict[str, Any]):
    with pytest.raises(InvalidRequest):
        check(route, body)
    assert not fits(body, schema_of(route))


@pytest.mark.parametrize("route", READERS)
def test_bodies_with_members_of_their_own_fit(route: str):
    described = PATHS[f"{PROMPTS}{route}/"]["post"]["requestBody"]["content"]["application/json"]
    body = described["example"] | {"session_id": "s-1", "timestamp": 7, "messages": None}
    check(route, body)
    assert fits(body, schema_of(route))


def check(route: str, body: dict[str, Any]) -> None:
    """Read a body as its route does, what goes on to the completion included."""
    request = READERS[route](body)
    if route in ("generate", "run"):
        parse_request(json.dumps({**request.chat, "messages": [{"role": "user", "content": "a"}]}))


def schema_of(route: str) -> Any:
    paths = document()["paths"][f"{PROMPTS}{route}/"]["post"]
    return paths["requestBody"]["content"]["application/json"]["schema"]
