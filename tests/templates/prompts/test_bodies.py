"""Bodies that are wrong: each is a 400 that names the member, and no model hears of it."""

from __future__ import annotations

from typing import Any

from tests.each import each
from tests.templates.workbench import PROMPTS, Workbench

FIRST_MEMBER = {"intent": "query", "optimize": "prompt", "generate": "prompt", "run": "query"}
MOST = {"intent": 8_000, "optimize": 100_000, "generate": 100_000, "run": 8_000}
ROUTES = tuple(FIRST_MEMBER)
each_route = each("route", ROUTES)


def refused(workbench: Workbench, route: str, body: Any) -> dict[str, Any]:
    status, _, answer = workbench.ask(route, body)
    assert status == 400, answer
    error = answer["error"]
    assert error["type"] == "invalid_request_error"
    assert error["message"]
    assert not workbench.asked()
    return dict(error)


@each_route
def test_nothing_is_missing_by_name(workbench, route):
    for body in ({}, {FIRST_MEMBER[route]: None}):
        error = refused(workbench, route, body)
        assert (error["code"], error["param"]) == ("missing_field", FIRST_MEMBER[route])


@each_route
@each("value", ["", " \n\t", 7, True, ["a"], {"a": 1}, "a\0b"], ids=repr)
def test_first_member_is_a_text_with_something_in_it(workbench, route, value):
    error = refused(workbench, route, {FIRST_MEMBER[route]: value})
    assert (error["code"], error["param"]) == ("invalid_value", FIRST_MEMBER[route])


@each_route
def test_length_is_bounded_to_the_character(by_rules, route):
    member, most = FIRST_MEMBER[route], MOST[route]
    error = refused(by_rules, route, {member: "ж" * (most + 1)})
    assert error["param"] == member
    assert f"{most:,}" in error["message"]
    # A body that is cut short by its reader says that what was asked for had begun.
    with by_rules.open(route, {member: "ж" * most, "stream": True}) as stream:
        assert stream.status == 200


@each_route
def test_unknown_members_are_ignored(by_rules, route):
    more = {"session_id": "s-1", "timestamp": 1_690_000_000, "promt": ["b"], "": None, "x" * 500: {"y": 1}}
    with by_rules.open(route, {FIRST_MEMBER[route]: "a recipe", **more}) as stream:
        assert stream.status == 200


def test_unknown_members_of_save_are_ignored(by_rules):
    answer = by_rules.answer("optimize", {"prompt": "a recipe", "save": {"template": "unlabelled", "session_id": 7}})
    assert answer["saved"]["slug"] == "unlabelled"


@each_route
def test_not_json(workbench, route):
    for data, code in ((b"{", "invalid_json"), (b"[1]", "invalid_value"), (b'{"a":1,"a":2}', "invalid_json")):
        with workbench.server.open(f"{PROMPTS}{route}/", method="POST", body=data) as stream:
            assert (stream.status, stream.json()["error"]["code"]) == (400, code)


@each_route
def test_nested_too_deeply(workbench, route):
    deep: Any = 1
    for _ in range(70):
        deep = [deep]
    assert refused(workbench, route, {FIRST_MEMBER[route]: deep})["code"] == "invalid_json"


@each_route
def test_stream_is_a_flag(workbench, route):
    assert refused(workbench, route, {FIRST_MEMBER[route]: "a", "stream": "yes"})["param"] == "stream"


@each_route
def test_over_a_mebibyte(workbench, route):
    status, _, answer = workbench.ask(route, {FIRST_MEMBER[route]: "x" * 1_100_000})
    assert (status, answer["error"]["code"]) == (413, "body_too_large")


@each_route
def test_without_a_token(workbench, route):
    status, headers, answer = workbench.server.call(f"{PROMPTS}{route}/", user=None, json={FIRST_MEMBER[route]: "a"})
    assert (status, answer["error"]["code"]) == (401, "missing_token")
    assert headers["www-authenticate"] == "Bearer"


@each_route
def test_other_methods(workbench, route):
    status, headers, answer = workbench.server.call(f"{PROMPTS}{route}/", method="GET")
    assert (status, answer["error"]["code"]) == (405, "method_not_allowed")
    assert headers["allow"] == "OPTIONS, POST"


@each_route
def test_without_its_trailing_slash(by_rules, route):
    with by_rules.server.open(f"{PROMPTS}{route}", json={FIRST_MEMBER[route]: "a recipe"}) as stream:
        assert stream.status == 200


@each(
    ("body", "param"),
    [
        ({"tone": 1}, "tone"),
        ({"audience": "x" * 201}, "audience"),
        ({"intent_data": "blog"}, "intent_data"),
        ({"intent_data": {"entities": {"tone": 1}}}, "intent_data.entities.tone"),
        ({"save": "mine"}, "save"),
        ({"save": {}}, "save.template"),
        ({"save": {"note": "a", "label": "production"}}, "save.template"),
        ({"save": {"template": "a", "note": "x" * 501}}, "save.note"),
    ],
    ids=str,
)
def test_members_of_optimize(workbench, body, param):
    assert refused(workbench, "optimize", {"prompt": "Write."} | body)["param"] == param


@each(
    ("body", "param"),
    [
        ({"prompt": "a", "variables": [1]}, "variables"),
        ({"prompt": "a", "label": "production"}, "label"),
        ({"prompt": "a", "version": 1}, "version"),
        ({"template": ""}, "template"),
        ({"template": "a", "label": "latest"}, "label"),
        ({"template": "a", "version": 0}, "version"),
        ({"template": "a", "version": True}, "version"),
        ({"template": "a", "version": 1, "label": "staging"}, "version"),
        ({"prompt": "a {{ b }}", "variables": {}}, "variables.b"),
        ({"prompt": "a", "variables": {"b": "c"}}, "variables.b"),
        ({"prompt": "a {{ b }}", "variables": {"b": {"c": 1}}}, "variables.b"),
        ({"prompt": "a", "temperature": 3}, "temperature"),
        ({"prompt": "a", "max_tokens": 0}, "max_tokens"),
        ({"prompt": "a", "on_disconnect": "stay"}, "on_disconnect"),
        ({"prompt": "a", "messages": []}, "messages"),
        ({"prompt": "a", "n": 2}, "n"),
        ({"prompt": "a", "functions": []}, "functions"),
        ({"prompt": "a", "tools": "all"}, "tools"),
    ],
    ids=str,
)
def test_members_of_generate(workbench, body, param):
    assert refused(workbench, "generate", body)["param"] == param


def test_a_model_that_nobody_serves(workbench):
    status, _, answer = workbench.ask("generate", {"prompt": "a", "model": "nobody-7"})
    assert (status, answer["error"]["code"], answer["error"]["param"]) == (404, "model_not_found", "model")
    assert not workbench.asked()


@each("route", ["generate", "run"])
def test_messages_are_not_taken_and_what_is_instead_is_said(workbench, route):
    body = {FIRST_MEMBER[route]: "a", "messages": [{"role": "user", "content": "b"}]}
    error = refused(workbench, route, body)
    assert (error["code"], error["param"]) == ("invalid_value", "messages")
    assert f"`{FIRST_MEMBER[route]}`" in error["message"]


def test_all_that_is_wrong_is_that_variables_are_missing(workbench):
    body: dict[str, Any] = {"prompt": "{{ a }} {{ b }} {{ c }}", "variables": {"b": "x"}}
    error = refused(workbench, "generate", body)
    assert (error["code"], error["param"], error["message"]) == ("missing_field", "variables.a", "Missing: a, c.")
    body["variables"]["moon"] = "new"
    assert refused(workbench, "generate", body)["code"] == "invalid_value"


def test_a_null_member_is_an_absent_one(by_rules):
    answer = by_rules.answer("optimize", {"prompt": "Write a haiku.", "tone": None, "save": None, "intent_data": None})
    assert answer["original"] == "Write a haiku."
    assert "saved" not in answer
