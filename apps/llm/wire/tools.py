"""The tools of a request, which of them must be called, and the format its answer must have."""

from __future__ import annotations

import re
from typing import Any

from apps.llm.wire.checks import (
    array,
    boolean,
    invalid,
    json_object,
    missing,
    one_of,
    required,
    shown,
    string,
    unsupported,
)
from apps.llm.wire.shapes import RESPONSE_FORMAT, TOOL, TOOL_CHOICE, kept
from apps.llm.wire.types import JsonObject

__all__ = ["parse_response_format", "parse_tool_choice", "parse_tools"]

_MAX_TOOLS = 128
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CHOICES = ("none", "auto", "required")
_FORMATS = ("text", "json_object", "json_schema")


def parse_tools(value: Any) -> tuple[JsonObject, ...]:
    """Check the tools of a body; None for absent, which an empty array equals. Raises InvalidRequest."""
    if value is None:
        return ()
    tools = []
    for index, item in enumerate(array(value, "tools", max_items=_MAX_TOOLS)):
        path = f"tools[{index}]"
        tool: JsonObject = kept(json_object(item, path), TOOL)
        tools.append(tool)
        _check_function_type(tool, path)
        function = json_object(
            required(tool, "function", path, "the function's name and parameters"), f"{path}.function"
        )
        _check_named(function, f"{path}.function", schema="parameters")
    return tuple(tools)


def parse_tool_choice(value: Any, tools: tuple[JsonObject, ...]) -> str | JsonObject | None:
    """Check which tool must be called; None if nothing is asked for. Raises InvalidRequest."""
    if value is None:
        return None
    if isinstance(value, str):
        choice = one_of(value, "tool_choice", _CHOICES)
        if choice == "required" and not tools:
            raise invalid("tool_choice", "`tool_choice` is `required` without `tools`. Send tools, or leave it out.")
        return choice if tools else None
    if not isinstance(value, dict):
        raise invalid(
            "tool_choice",
            f"`tool_choice` must be one of {', '.join(_CHOICES)} or an object naming a function, not {shown(value)}.",
        )
    choice_of_one: JsonObject = kept(value, TOOL_CHOICE)
    _check_function_type(choice_of_one, "tool_choice")
    function = json_object(
        required(choice_of_one, "function", "tool_choice", "the function's name"), "tool_choice.function"
    )
    path = "tool_choice.function.name"
    name = string(required(function, "name", "tool_choice.function", "the function's name"), path)
    if all(tool["function"]["name"] != name for tool in tools):
        raise invalid(path, f"`{path}` is {shown(name)}, which is not among `tools`. Name one of them.")
    return choice_of_one


def parse_response_format(value: Any) -> JsonObject | None:
    """Check the format of the answer; None for absent. Raises InvalidRequest."""
    if value is None:
        return None
    path = "response_format"
    wanted: JsonObject = kept(json_object(value, path), RESPONSE_FORMAT)
    kind = one_of(required(wanted, "type", path, f"one of {', '.join(_FORMATS)}"), f"{path}.type", _FORMATS)
    if kind == "json_schema":
        schema_path = f"{path}.json_schema"
        schema = json_object(required(wanted, "json_schema", path, "the schema and its name"), schema_path)
        _check_named(schema, schema_path, schema="schema")
    else:
        wanted = {"type": kind}
    return wanted


def _check_function_type(owner: JsonObject, path: str) -> None:
    kind = string(required(owner, "type", path, "`function`"), f"{path}.type")
    if kind != "function":
        raise unsupported(f"{path}.type", f"`{path}.type` {shown(kind)} is not supported. Only `function` is.")


def _check_named(owner: dict[str, Any], path: str, *, schema: str) -> None:
    """Check what a function and a JSON schema have in common: a name, a description, a schema, strictness."""
    name = owner.get("name")
    if name is None:
        raise missing(f"{path}.name", f"`{path}.name` is missing. Send 1 to 64 of A-Z, a-z, 0-9, _ and -.")
    if not _NAME.fullmatch(string(name, f"{path}.name")):
        raise invalid(f"{path}.name", f"`{path}.name` must be 1 to 64 of A-Z, a-z, 0-9, _ and -, not {shown(name)}.")
    if owner.get("description") is not None:
        string(owner["description"], f"{path}.description")
    if owner.get(schema) is not None:
        json_object(owner[schema], f"{path}.{schema}")
    if owner.get("strict") is not None:
        boolean(owner["strict"], f"{path}.strict")
