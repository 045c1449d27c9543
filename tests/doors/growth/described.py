"""The doors of the API, from its own document: each path parameter, query parameter, header and member of a body.

A new route, parameter or member is measured as soon as it is described. What cannot be grown by its type alone, and the
body that a request needs to be looked at at all, are below.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import quote

from tests.doors.growth.application import SOMEBODY, TEMPLATE, Application
from tests.doors.growth.growing import Growing, Work
from tests.doors.growth.shapes import SHAPES, Shape, distinct_words
from tests.promptcraft.described import METHODS, document, resolve

__all__ = ["described_doors", "described_routes"]

_SIZE = 400
_SHAPES = ("one word", "line ends", "quotations", "placeholders", "marks above letters", "backslashes")
_READ_CLOSELY = ("prompt", "query", "text", "q", "search")
"""Members that are more than stored: in all these shapes."""
_OF_EVERY_REQUEST = frozenset({"X-Request-Id", "traceparent"})
"""Measured once, with the heads."""
_BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("post", "/api/v2/auth/token/"): {"username": SOMEBODY, "password": "a"},
    ("post", "/api/v2/chat/completions/"): {"model": "mock", "messages": [{"role": "user", "content": "hello"}]},
    ("post", "/api/v2/prompts/generate/"): {"model": "mock", "prompt": "hello"},
    ("post", "/api/v2/prompts/run/"): {"model": "mock", "query": "write a post about dogs"},
    ("put", "/api/v2/templates/{slug}/labels/{name}/"): {"version": 1},
}
"""Where a body of the required members, each as short as it may be, is refused before anything else is looked at."""
_AS_OF = {"/api/v2/prompts/generate/": "/api/v2/chat/completions/", "/api/v2/prompts/run/": "/api/v2/chat/completions/"}
"""Members of a completion that these hand on unread are measured there."""
_COUNTED = frozenset({("post", "/api/v2/auth/password/")})
"""Not measured: five guesses of one user's password are all there are in a minute. Passwords grow at `token/`."""
_OF_A_BODY = "application/json"
_NAMES = {"slug": TEMPLATE, "number": "1", "name": "production", "model": "mock", "completion_id": "chatcmpl-1"}


def described_routes() -> frozenset[str]:
    """Return the paths that are covered."""
    return frozenset(document()["paths"])


def described_doors(application: Application) -> Iterator[Growing]:
    """Yield whatever can grow."""
    for path, operations in document()["paths"].items():
        for method in METHODS:
            if method in operations and (method, path) not in _COUNTED:
                yield from _of_operation(application, method, path, operations[method])


def _of_operation(application: Application, method: str, path: str, operation: Mapping[str, Any]) -> Iterator[Growing]:
    base = _base(method, path, operation)
    for parameter in map(resolve, operation.get("parameters", ())):
        name = parameter["name"]
        if name not in _OF_EVERY_REQUEST:
            yield _growing(
                method,
                path,
                f"{parameter['in']} {name}",
                name,
                parameter.get("schema", {}),
                partial(_with_parameter, application, method, path, base, parameter["in"], name),
            )
    if base is None:
        return
    known = _members(_AS_OF[path], "post") if path in _AS_OF else {}
    for name, schema in _members(path, method).items():
        value = _grower(schema)
        if value is not None and known.get(name) != schema:
            make = partial(_with_member, application, method, path, base, name, value)
            yield _growing(method, path, f"body {name}", name, schema, make)
    yield Growing(
        door=_door(method, path),
        thing="members that nobody knows",
        size=_SIZE,
        works={"": partial(_with_more_members, application, method, path, base)},
    )


def _growing(method: str, path: str, thing: str, name: str, schema: Mapping[str, Any], make: Any) -> Growing:
    size = min(_SIZE, resolve(schema).get("maxLength", _SIZE) // 4)
    shapes = _SHAPES if name in _READ_CLOSELY else ("words",)
    return Growing(
        door=_door(method, path),
        thing=thing,
        size=size,
        works={shape: partial(make, SHAPES[shape]) for shape in shapes},
    )


def _door(method: str, path: str) -> str:
    return f"{method.upper()} {path}"


def _members(path: str, method: str) -> Mapping[str, Any]:
    """Return the members of a body by name, of all its alternatives."""
    content = resolve(document()["paths"][path][method]["requestBody"])["content"]
    schema = resolve(content[_OF_A_BODY]["schema"])
    members: dict[str, Any] = {}
    for alternative in (schema, *map(resolve, schema.get("oneOf", ()))):
        for name, member in alternative.get("properties", {}).items():
            members[name] = resolve(member)
    return members


def _base(method: str, path: str, operation: Mapping[str, Any]) -> dict[str, Any] | None:
    if "requestBody" not in operation:
        return None
    schema = resolve(resolve(operation["requestBody"])["content"][_OF_A_BODY]["schema"])
    base = _BODIES.get((method, path)) or _sample(schema)
    if not isinstance(base, dict):
        raise AssertionError(f"Say in _BODIES of {__file__} what {_door(method, path)} is to be sent.")
    return base


# --- requests


def _with_parameter(
    application: Application,
    method: str,
    path: str,
    base: dict[str, Any] | None,
    place: str,
    name: str,
    shape: Shape,
    size: int,
) -> Work:
    value = quote(shape(size), safe="")
    sent = _existing(path.replace(f"{{{name}}}", value) if place == "path" else path)
    query = f"{name}={value}".encode() if place == "query" else b""
    headers = [(name.lower().encode(), value.encode())] if place == "header" else []
    return partial(application.ask, method.upper(), sent, base, query=query, headers=headers)


def _with_member(
    application: Application,
    method: str,
    path: str,
    base: dict[str, Any],
    name: str,
    value: Any,
    shape: Shape,
    size: int,
) -> Work:
    return partial(application.ask, method.upper(), _existing(path), {**base, name: value(shape, size)})


def _with_more_members(application: Application, method: str, path: str, base: dict[str, Any], size: int) -> Work:
    return partial(
        application.ask,
        method.upper(),
        _existing(path),
        {**base, **{f"member{number}": number for number in range(size)}},
    )


def _existing(path: str) -> str:
    """Return a path whose parameters name what there is."""
    for name, value in _NAMES.items():
        path = path.replace(f"{{{name}}}", value)
    if "{" in path:
        raise AssertionError(f"Say in _NAMES of {__file__} what the parameters of {path} may name.")
    return path


# --- values


def _sample(schema: Mapping[str, Any]) -> Any:
    """Return a value that a schema takes, as small as it may be."""
    schema = resolve(schema)
    for name in ("const", "default", "example"):
        if name in schema:
            return schema[name]
    for name in ("enum", "examples"):
        if schema.get(name):
            return schema[name][0]
    for name in ("oneOf", "anyOf", "allOf"):
        if schema.get(name):
            return _sample(schema[name][0])
    match _kind(schema):
        case "object":
            return {name: _sample(schema["properties"][name]) for name in schema.get("required", ())}
        case "array":
            return [_sample(schema["items"])] * schema.get("minItems", 0)
        case "string":
            return "a"
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
    return None


def _grower(schema: Mapping[str, Any]) -> Any:
    """Return what makes a value of a size of it; None for flags, numbers and closed lists of words."""
    schema = resolve(schema)
    if "const" in schema or "enum" in schema:
        return None
    for name in ("oneOf", "anyOf", "allOf"):
        if schema.get(name):
            growers = [grower for one in schema[name] if (grower := _grower(one)) is not None]
            return growers[0] if growers else None
    match _kind(schema):
        case "string":
            return lambda shape, size: shape(size)
        case "array":
            item = _sample(schema.get("items", {"type": "string"})) or "a"
            return lambda shape, size: [item] * (size // 8)
        case "object":
            return lambda shape, size: {
                **_sample(schema),
                **{f"a{number}": distinct_words(8) for number in range(size // 8)},
            }
        case "integer" | "number" | "boolean" | "null":
            return None
    raise AssertionError(f"Say in {__file__} how a value of {dict(schema)} grows.")


def _kind(schema: Mapping[str, Any]) -> str | None:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), None)
    return kind or ("object" if "properties" in schema else None)
