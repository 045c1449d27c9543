"""An answer of a JSON Schema as the arguments of a tool, for vendors that have tools and no schemas."""

from __future__ import annotations

from typing import Any

from apps.llm.wire.openai import CompletionRequest, JsonObject

__all__ = ["answer_tool", "answer_tool_name"]

_MOST_NAME_CHARS = 64
_INSTRUCTION = "Give the answer by calling this function."


def answer_tool_name(request: CompletionRequest) -> str | None:
    """Return a name that none of the request's tools has; None if its schema is not that of an object."""
    schema = _schema_of(request)
    if schema.get("schema", {}).get("type", "object") != "object":
        return None
    taken = {tool["function"]["name"] for tool in request.tools}
    name: str = schema["name"]
    number = 1
    while name in taken:
        number += 1
        name = f"{schema['name'][: _MOST_NAME_CHARS - 4]}_{number}"
    return name


def answer_tool(request: CompletionRequest, name: str) -> JsonObject:
    """Return the tool to be called, as strict as the schema is."""
    schema = _schema_of(request)
    function: dict[str, Any] = {
        "name": name,
        "description": "\n\n".join(filter(None, (schema.get("description"), _INSTRUCTION))),
        "parameters": schema.get("schema") or {"type": "object"},
    }
    if schema.get("strict"):
        function["strict"] = True
    return {"type": "function", "function": function}


def _schema_of(request: CompletionRequest) -> JsonObject:
    assert request.response_format is not None
    schema: JsonObject = request.response_format["json_schema"]
    return schema
