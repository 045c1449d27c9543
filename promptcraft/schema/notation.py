"""The few words in which the schema is written: JSON Schema 2020-12, as OpenAPI 3.1 has it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

__all__ = [
    "Schema",
    "any_of",
    "array",
    "constant",
    "flag",
    "json_text",
    "number",
    "one_of",
    "optional",
    "record",
    "ref",
    "text",
    "whole",
    "words",
]

Schema = dict[str, Any]


def text(description: str = "", **limits: Any) -> Schema:
    """Describe a string."""
    return _described("string", description, limits)


def words(choices: Iterable[str], description: str = "") -> Schema:
    """Describe a string from a closed list."""
    return _described("string", description, {"enum": [str(choice) for choice in choices]})


def constant(value: str, description: str = "") -> Schema:
    """Describe a string that is always the same."""
    return _described("string", description, {"const": value})


def number(description: str = "", **limits: Any) -> Schema:
    """Describe a number."""
    return _described("number", description, limits)


def whole(description: str = "", **limits: Any) -> Schema:
    """Describe a whole number."""
    return _described("integer", description, limits)


def flag(description: str = "", **more: Any) -> Schema:
    """Describe true or false."""
    return _described("boolean", description, more)


def array(items: Schema, description: str = "", **limits: Any) -> Schema:
    """Describe an array of one kind of item."""
    return _described("array", description, {"items": items, **limits})


def record(
    properties: Mapping[str, Schema], description: str = "", *, absent: Collection[str] = (), **more: Any
) -> Schema:
    """Describe an object; every property is required but those that may be `absent`. Further ones may come."""
    required = [name for name in properties if name not in absent]
    shape: dict[str, Any] = {"properties": dict(properties)} if properties else {}
    if required:
        shape["required"] = required
    return _described("object", description, {**shape, **more})


def ref(name: str, description: str = "") -> Schema:
    """Point to a component's schema."""
    pointer = {"$ref": f"#/components/schemas/{name}"}
    return {**pointer, "description": description} if description else pointer


def one_of(*choices: Schema, description: str = "") -> Schema:
    """Describe a value that has exactly one of several shapes."""
    choice: Schema = {"oneOf": list(choices)}
    return {"description": description, **choice} if description else choice


def any_of(*choices: Schema, description: str = "") -> Schema:
    """Describe a value that has at least one of several shapes."""
    choice: Schema = {"anyOf": list(choices)}
    return {"description": description, **choice} if description else choice


def json_text(content: Schema) -> Schema:
    """Describe a string that holds JSON of one shape."""
    return {"type": "string", "contentMediaType": "application/json", "contentSchema": content}


def optional(schema: Schema) -> Schema:
    """Allow null besides."""
    if "type" not in schema:
        description = schema.get("description")
        bare = {name: value for name, value in schema.items() if name != "description"}
        choices = [*bare["oneOf"], {"type": "null"}] if set(bare) == {"oneOf"} else [bare, {"type": "null"}]
        return {**({"description": description} if description else {}), "oneOf": choices}
    allowed = {**schema, "type": [schema["type"], "null"]}
    if "enum" in schema:
        allowed["enum"] = [*schema["enum"], None]
    if "const" in schema:
        del allowed["const"]
        allowed["enum"] = [schema["const"], None]
    return allowed


def _described(kind: str, description: str, more: Mapping[str, Any]) -> Schema:
    schema: Schema = {"type": kind}
    if description:
        schema["description"] = description
    return {**schema, **more}
