"""The schema of a completion's body and its parser: what the one takes, the other takes."""

from __future__ import annotations

import copy
import json
from typing import Any

from apps.llm.errors import InvalidRequest
from apps.llm.wire.openai import parse_request
from tests.each import each
from tests.promptcraft.described import document, fits, problems

BODY = document()["components"]["schemas"]["ChatCompletionRequest"]
EXAMPLES = document()["paths"]["/api/v2/chat/completions/"]["post"]["requestBody"]["content"]["application/json"][
    "examples"
]
TOOL: dict[str, Any] = {"type": "function", "function": {"name": "look_up"}}
HELLO = {"messages": [{"role": "user", "content": "Hello"}]}
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
SOUND = {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
FORMAT = {"type": "json_schema", "json_schema": {"name": "primes"}}
# Something of every kind, for every place.
POOL: list[Any] = [
    *(None, True, False, 0, 1, 2, -1, 0.5, -2.5, 2**70, "", "x", "7", "auto", "none", "text", "x" * 600),
    *([], {}, [None], [""], ["x"], ["x"] * 17, [{}], {"type": None}, {"type": "text"}, {"type": "enabled"}),
    *({"type": "json_schema"}, FORMAT, TOOL, [TOOL], [TOOL] * 129, CALL, [CALL], IMAGE, [IMAGE], {"include_usage": 1}),
    *(
        {"include_usage": None},
        [{"type": "text", "text": "x"}],
        [{"type": "text"}],
        [{"type": "refusal", "refusal": ""}],
    ),
    *("function", "image_url", "low", "json_object", "enabled", "https://example.org", "ftp://example.org"),
]


def refused(body):
    """Return the error that the parser raises, None if it takes the body."""
    try:
        parse_request(json.dumps(body).encode())
    except InvalidRequest as error:
        return error
    return None


def assert_agreement(body, error=...):
    error = refused(body) if error is ... else error
    assert fits(body, BODY) is (error is None), f"the parser says {error} of {json.dumps(body)[:500]}"


@each("name", EXAMPLES)
def test_examples_are_taken(name):
    assert refused(EXAMPLES[name]["value"]) is None
    assert problems(EXAMPLES[name]["value"], BODY) == []


@each("field", BODY["properties"])
def test_every_field_takes_the_same(field):
    for value in POOL:
        # Tools are there, so that choosing one is a matter of its form alone.
        assert_agreement({**HELLO, "tools": [TOOL], field: value})
    assert_agreement({"messages": HELLO["messages"], field: None} if field != "messages" else {})


def bounds_of(schema):
    """Yield values at, and just outside of, what a schema bounds: (value, whether it is inside)."""
    if "minimum" in schema:
        yield schema["minimum"], True
        yield schema["minimum"] - 1, False
    if "maximum" in schema:
        yield schema["maximum"], True
        yield schema["maximum"] + 1, False
    if "maxLength" in schema:
        yield "x" * schema["maxLength"], True
        yield "x" * (schema["maxLength"] + 1), False
    for word in schema.get("enum", ()):
        yield word, True
    if "enum" in schema:
        yield "another", False


BOUNDED = {name: schema for name, schema in BODY["properties"].items() if list(bounds_of(schema))}


def test_the_fields_that_have_bounds():
    assert set(BOUNDED) == {
        *("frequency_penalty", "max_completion_tokens", "max_tokens", "model", "n", "on_disconnect", "on_interrupt"),
        *("presence_penalty", "reasoning_effort", "seed", "temperature", "top_logprobs", "top_p", "user"),
    }


@each("field", BOUNDED)
def test_bounds_are_the_parsers(field):
    for value, inside in bounds_of(BOUNDED[field]):
        error = refused({**HELLO, field: value})
        assert (error is None) is inside, value
        assert error is None or error.param == field
        assert (problems({**HELLO, field: value}, BODY) == []) is inside


def _paths(value, path=()):
    if path:
        yield path
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, member in members:
        # What is inside a JSON schema is the caller's own.
        if name not in ("parameters", "schema"):
            yield from _paths(member, (*path, name))


MESSAGES: tuple[dict[str, Any], ...] = (
    {"role": "system", "content": [{"type": "text", "text": "x"}], "name": "a"},
    {"role": "developer", "content": "x"},
    {"role": "user", "content": [IMAGE, {"type": "text", "text": "x"}]},
    {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}], "refusal": "no"},
    {"role": "assistant", "reasoning_content": "x", "tool_calls": [CALL]},
    {"role": "assistant", "function_call": {"name": "look_up", "arguments": "{}"}},
    {"role": "tool", "content": [{"type": "text", "text": "x"}, IMAGE], "tool_call_id": "call_1"},
    {"role": "user", "content": [SOUND, {"type": "file", "file": {"file_id": "a", "filename": "b"}}]},
)
FIELDS: tuple[dict[str, Any], ...] = (
    {"tool_choice": TOOL, "tools": [TOOL]},
    {"tools": [{"type": "function", "function": {**TOOL["function"], "strict": True, "parameters": {}}}]},
    {"response_format": FORMAT},
    {"stop": ["x", "y"]},
    {"thinking": {"type": "enabled"}},
    {"stream_options": {"include_usage": True}},
)
PLACES = [
    *(({"messages": [message]}, ("messages", 0, *path)) for message in MESSAGES for path in _paths(message)),
    *(({**HELLO, **fields}, path) for fields in FIELDS for path in _paths(fields)),
]
"""Bodies, and the way to each member in them."""


def replaced(body, path, value):
    """Return a body with something else at a path; ... takes the member away."""
    changed = copy.deepcopy(body)
    place = changed
    for part in path[:-1]:
        place = place[part]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return changed


def is_about_two_fields(error):
    """Whether a body is wrong in a way that no schema says: what it names is not there."""
    words = ("among `tools`", "without `tools`", "no `function_call` before it")
    return error is not None and any(word in error.message for word in words)


def test_every_nested_member_takes_the_same():
    compared = 0
    # What is large costs most, and is looked at in `test_every_field_takes_the_same`.
    values = [value for value in POOL if len(str(value)) < 2_000]
    for body, path in PLACES:
        for value in [*values, ...]:
            changed = replaced(body, path, value)
            error = refused(changed)
            if not is_about_two_fields(error):
                assert_agreement(changed, error)
                compared += 1
    assert compared > 2_000, compared


def test_a_choice_is_among_the_tools():
    for choice in ("required", TOOL):
        error = refused({**HELLO, "tool_choice": choice})
        assert error is not None
        assert str(error.param).startswith("tool_choice")


@each(("count", "inside"), [(1, True), (1_000, True), (1_001, False), (0, False)])
def test_the_number_of_messages(count, inside):
    body = {"messages": HELLO["messages"] * count}
    assert (refused(body) is None) is inside
    assert (problems(body, BODY) == []) is inside


@each(("count", "inside"), [(0, True), (128, True), (129, False)])
def test_the_number_of_tools(count, inside):
    body = {**HELLO, "tools": [TOOL] * count}
    assert (refused(body) is None) is inside
    assert (problems(body, BODY) == []) is inside
