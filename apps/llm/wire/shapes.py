"""The members that OpenAI's format has at each place: what is kept of a client's JSON, everything else stays here.

Clients send back what an SDK dumped, members of other vendors and of their own (`cache_control`, `index`,
`copilot_cache_control`), and nulls. Vendors refuse some of them, so that a provider gets what is built of these shapes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = [
    "FREE",
    "PARAMETERS",
    "PARTS",
    "RESPONSE_FORMAT",
    "TOOL",
    "TOOL_CALL",
    "TOOL_CHOICE",
    "Free",
    "Shape",
    "kept",
]


class Free:
    """JSON that is the client's own, such as a JSON Schema, in which null has a meaning."""


FREE = Free()
Shape = Free | None | Mapping[str, Any]
"""A free value, a plain one (of an object the members that are not null), or the members of an object by name.

An array has the shape of its items.
"""

PARTS: Mapping[str, Shape] = {
    "text": {"type": None, "text": None},
    "refusal": {"type": None, "refusal": None},
    "image_url": {"type": None, "image_url": {"url": None, "detail": None}},
    "input_audio": {"type": None, "input_audio": {"data": None, "format": None}},
    "file": {"type": None, "file": {"file_data": None, "file_id": None, "filename": None}},
}
TOOL: Shape = {"type": None, "function": {"name": None, "description": None, "parameters": FREE, "strict": None}}
TOOL_CALL: Shape = {"id": None, "type": None, "function": {"name": None, "arguments": None}}
TOOL_CHOICE: Shape = {"type": None, "function": {"name": None}}
RESPONSE_FORMAT: Shape = {
    "type": None,
    "json_schema": {"name": None, "description": None, "schema": FREE, "strict": None},
}
PARAMETERS: Mapping[str, Shape] = {
    "prediction": {"type": None, "content": PARTS["text"]},
    "web_search_options": {
        "search_context_size": None,
        "user_location": {
            "type": None,
            "approximate": {"city": None, "country": None, "region": None, "timezone": None},
        },
    },
}


def kept(value: Any, shape: Shape) -> Any:
    """Return what a value says in a shape: a copy without nulls and without members that the shape does not have.

    The depth of the value is the caller's to bound.
    """
    if shape is FREE:
        return value
    if isinstance(value, list):
        return [kept(item, shape) for item in value]
    if not isinstance(value, dict):
        return value
    if isinstance(shape, Mapping):
        return {
            name: inner if shape[name] is FREE else kept(inner, shape[name])
            for name, inner in value.items()
            if inner is not None and name in shape
        }
    return {name: kept(inner, None) for name, inner in value.items() if inner is not None}
