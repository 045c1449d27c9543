"""The OpenAPI document by itself: valid, whole, and about the routes that there are."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import drf_spectacular.validation
import pytest
import yaml
from django.core.management import call_command
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from apps.accounts.access import Access
from apps.llm.errors import Code, Failure
from promptcraft.schema.document import rendered
from promptcraft.version import VERSION
from tests.each import each
from tests.promptcraft.described import METHODS, all_references, check_stream, document, events_of, problems, resolve
from tests.promptcraft.surface import API_ROUTES

OPERATIONS = [
    pytest.param(path, method, id=f"{method} {path}")
    for path, item in document()["paths"].items()
    for method in METHODS
    if method in item
]
each_operation = each(("path", "method"), OPERATIONS)


def schemas_in(thing):
    """Yield every schema object of the document, those inside others aside."""
    if isinstance(thing, dict):
        for name, value in thing.items():
            if name == "schema":
                yield value
            elif name not in ("example", "examples"):
                yield from schemas_in(value)
    elif isinstance(thing, list):
        for value in thing:
            yield from schemas_in(value)


def test_is_openapi_3_1():
    meta_schema = Path(drf_spectacular.validation.__file__).with_name("openapi_3_1_schema.json")
    errors = Draft202012Validator(json.loads(meta_schema.read_text())).iter_errors(document())
    assert [f"{error.json_path}: {error.message[:200]}" for error in errors] == []
    assert re.fullmatch(r"3\.1\.\d", document()["openapi"])
    assert document()["info"]["version"] == VERSION


def test_every_schema_is_json_schema():
    schemas = [*document()["components"]["schemas"].values(), *schemas_in(document())]
    assert len(schemas) > 100
    for schema in schemas:
        Draft202012Validator.check_schema(schema)


def test_every_reference_leads_somewhere_and_nothing_is_left_over():
    used = set(all_references(document()))
    for reference in used:
        assert resolve({"$ref": reference}), reference
    components = {
        f"#/components/{kind}/{name}"
        for kind, members in document()["components"].items()
        for name in members
        if kind != "securitySchemes"
    }
    mapped = {name for schema in document()["components"]["schemas"].values() for name in _mapping(schema)}
    # No operation names it; the list of errors is whole all the same.
    apart = {"#/components/responses/MethodNotAllowed"}
    assert components - used - mapped == apart


def _mapping(schema):
    return schema.get("discriminator", {}).get("mapping", {}).values()


def test_routes_and_paths_are_the_same():
    assert set(document()["paths"]) == {route.path for route in API_ROUTES}


def test_operations_and_methods_are_the_same(production, clients):
    caller = clients(production, signed_in=True)
    for route in API_ROUTES:
        methods = {method.upper() for method in METHODS if method in document()["paths"][route.path]}
        allow = set(caller.options(route.sample).headers["Allow"].split(", "))
        assert allow - {"OPTIONS", "HEAD"} == methods, route.path


@each("route", API_ROUTES, ids=lambda route: route.path)
def test_says_who_may(route):
    assert document()["security"] == [{"bearer": []}]
    (scheme,) = document()["components"]["securitySchemes"].items()
    assert (scheme[0], scheme[1]["type"], scheme[1]["scheme"]) == ("bearer", "http", "bearer")
    for method, operation in document()["paths"][route.path].items():
        security = operation.get("security", document()["security"])
        assert security == ([] if route.access is Access.PUBLIC else [{"bearer": []}]), method
        assert {"401", "403"} <= {*operation["responses"]} or route.access is Access.PUBLIC


@each_operation
def test_operations_are_whole(path, method):
    operation = document()["paths"][path][method]
    assert operation["summary"]
    assert not operation["summary"].endswith(".")
    assert operation["tags"][0] in {tag["name"] for tag in document()["tags"]}
    parameters = [resolve(parameter) for parameter in operation["parameters"]]
    assert {one["name"] for one in parameters if one["in"] == "path"} == set(re.findall(r"\{(\w+)\}", path))
    assert {"X-Request-Id", "traceparent"} <= {one["name"] for one in parameters}
    assert operation["responses"]["default"] == {"$ref": "#/components/responses/AnyError"}
    assert list(operation["responses"]) == sorted(operation["responses"])
    for status, reference in operation["responses"].items():
        response = resolve(reference)
        assert response["description"], status
        assert {"X-Request-Id", "traceparent"} <= set(response["headers"])
        if status[0] in "45" and not path.startswith("/api/v2/chat/health/"):
            assert response["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Error"}


def test_names_of_operations_are_unique():
    names = Counter(item[method]["operationId"] for item in document()["paths"].values() for method in item)
    assert set(names.values()) == {1}


def media_types():
    responses = [
        resolve(response)
        for item in document()["paths"].values()
        for operation in item.values()
        for response in operation["responses"].values()
    ]
    bodies = [operation.get("requestBody", {}) for item in document()["paths"].values() for operation in item.values()]
    for holder in [*responses, *bodies]:
        yield from holder.get("content", {}).items()


def test_every_example_is_of_its_schema():
    seen = 0
    for media_type, described in media_types():
        examples = [example["value"] for example in described.get("examples", {}).values()]
        examples += [described["example"]] if "example" in described else []
        for example in examples:
            seen += 1
            values = events_of(example) if media_type == "text/event-stream" else [example]
            assert [found for value in values for found in problems(value, described["schema"])] == []
            if media_type == "text/event-stream":
                check_stream(example)
    assert seen > 30


def test_every_code_has_one_example_with_its_status():
    examples = [
        (name, example["value"]["error"])
        for response in document()["components"]["responses"].values()
        for name, example in response["content"]["application/json"].get("examples", {}).items()
    ]
    assert sorted(name for name, _ in examples) == sorted(Code)
    assert all(error["code"] == name for name, error in examples)
    schemas = document()["components"]["schemas"]
    assert schemas["ErrorCode"]["enum"] == list(Code)
    assert schemas["FailureReason"]["enum"] == list(Failure)


def test_yaml_and_json_are_the_same():
    assert yaml.safe_load(rendered("yaml")) == document()


def test_the_management_command_writes_the_same(tmp_path):
    written = tmp_path / "openapi.json"
    call_command("spectacular", format="openapi-json", file=str(written), validate=True, fail_on_warn=True)
    assert json.loads(written.read_text()) == document()


def test_says_nothing_of_a_machine():
    text = rendered("json").decode()
    assert re.findall(r"https?://(?!example\.org)[^\"\\ )|]+", text) == []
    assert "localhost" not in text
