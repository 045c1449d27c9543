"""What is answered is what the OpenAPI document says."""

from __future__ import annotations

import json

from tests.promptcraft.described import document, fits, problems, resolve
from tests.templates.api import LETTER, SLUG

PATHS = {path: item for path, item in document()["paths"].items() if path.startswith("/api/v2/templates/")}


def operation(method, path):
    return PATHS[f"/api/v2/templates/{path}"][method.lower()]


def test_every_answer_is_as_described(ada):
    sent = {**LETTER, "labels": {"production": 1}}
    shorter = {"text": "{{ name }}", "variables": [LETTER["variables"][0]]}
    exported = {**LETTER, "slug": "another"}
    asked = [
        ("POST", "", "", 201, sent),
        ("POST", "{slug}/versions/", f"{SLUG}/versions/", 201, shorter),
        ("GET", "", "", 200, None),
        ("GET", "{slug}/", f"{SLUG}/", 200, None),
        ("PATCH", "{slug}/", f"{SLUG}/", 200, {"title": "Letter"}),
        ("GET", "{slug}/versions/", f"{SLUG}/versions/", 200, None),
        ("GET", "{slug}/versions/{number}/", f"{SLUG}/versions/1/", 200, None),
        ("GET", "{slug}/versions/diff/", f"{SLUG}/versions/diff/?from=1&to=2", 200, None),
        ("PUT", "{slug}/labels/{name}/", f"{SLUG}/labels/staging/", 200, {"version": 2}),
        ("GET", "{slug}/labels/", f"{SLUG}/labels/", 200, None),
        ("POST", "{slug}/render/", f"{SLUG}/render/", 200, {"variables": {"name": "Eve"}, "label": "staging"}),
        ("GET", "{slug}/export/", f"{SLUG}/export/", 200, None),
        ("POST", "import/", "import/", 201, exported),
        ("GET", "quota/", "quota/", 200, None),
        ("GET", "search/", "search/?q=letter", 200, None),
        ("GET", "categories/", "categories/", 200, None),
        ("GET", "tags/", "tags/", 200, None),
        ("DELETE", "{slug}/labels/{name}/", f"{SLUG}/labels/staging/", 204, None),
        ("DELETE", "{slug}/", f"{SLUG}/", 204, None),
    ]
    assert {(method.lower(), f"/api/v2/templates/{path}") for method, path, *_ in asked} == {
        (method, path) for path, item in PATHS.items() for method in item
    }
    for method, path, target, status, body in asked:
        described = operation(method, path)
        if body is not None:
            schema = described["requestBody"]["content"]["application/json"]["schema"]
            assert fits(body, schema), (method, path)
        answer = ada.call(method, target, body, status=status)
        response = resolve(described["responses"][str(status)])
        if status == 204:
            assert (answer, "content" in response) == (b"", False)
            continue
        assert problems(answer, response["content"]["application/json"]["schema"]) == [], (method, path)
        assert json.dumps(answer)


def test_what_is_refused_does_not_fit():
    schema = operation("POST", "")["requestBody"]["content"]["application/json"]["schema"]
    assert fits(LETTER, schema)
    for changes in ({"title": ""}, {"category": "letters"}, {"tags": ["x"] * 21}, {"language": "English"}):
        assert not fits({**LETTER, **changes}, schema), changes
