"""The `messages` of a request: roles, text and image parts, tool calls and their results."""

from __future__ import annotations

import re
from typing import Any, cast

from apps.llm.wire.checks import array, invalid, json_object, missing, one_of, required, shown, string, unsupported
from apps.llm.wire.types import Message, Role

__all__ = ["MAX_MESSAGES", "parse_messages"]

MAX_MESSAGES = 1_000

_ROLES = ("system", "developer", "user", "assistant", "tool")
_ONE_OF_ROLES = f"one of {', '.join(_ROLES)}"
_PARTS_OF_ROLE = {"user": ("text", "image_url"), "assistant": ("text", "refusal")}
_PARTS_OF_OTHERS = ("text",)
# An assistant message with one of these may leave its content out.
_STANDS_FOR_CONTENT = ("tool_calls", "refusal", "reasoning_content")
# Parts of OpenAI's format that no provider of ours serves.
_UNSUPPORTED_PARTS = ("input_audio", "file", "audio", "video_url", "file_url")
_IMAGE_URL = re.compile(r"https?://[^\s]|data:image/[a-z0-9.+-]+;base64,[^\s]", re.IGNORECASE)


def parse_messages(value: Any) -> tuple[Message, ...]:
    """Check the messages of a body; None for absent. Raises InvalidRequest."""
    if value is None:
        raise missing("messages", "`messages` is missing. Send an array with at least one message.")
    items = array(value, "messages", max_items=MAX_MESSAGES)
    if not items:
        raise invalid("messages", "`messages` is empty. Send at least one message.")
    return tuple([_message(item, f"messages[{index}]") for index, item in enumerate(items)])


def _message(value: object, path: str) -> Message:
    wire = json_object(value, path)
    role = one_of(required(wire, "role", path, _ONE_OF_ROLES), f"{path}.role", _ROLES)
    text_chars = 0
    if wire.get("name") is not None:
        string(wire["name"], f"{path}.name")
    if role == "tool":
        string(
            required(wire, "tool_call_id", path, "the id of the call it answers"), f"{path}.tool_call_id", min_chars=1
        )
    elif role == "assistant":
        text_chars = _assistant_text_chars(wire, path)
    content = wire.get("content")
    if content is None:
        if role == "assistant" and any(wire.get(name) is not None for name in _STANDS_FOR_CONTENT):
            return Message(role="assistant", wire=wire, text_chars=text_chars)
        raise missing(f"{path}.content", f"`{path}.content` is missing. Send a string or an array of parts.")
    has_image = False
    if isinstance(content, str):
        text_chars += len(content)
    elif isinstance(content, list):
        chars, has_image = _parts(content, f"{path}.content", role)
        text_chars += chars
    else:
        raise invalid(
            f"{path}.content", f"`{path}.content` must be a string or an array of parts, not {shown(content)}."
        )
    return Message(role=cast(Role, role), wire=wire, has_image=has_image, text_chars=text_chars)


def _assistant_text_chars(wire: dict[str, Any], path: str) -> int:
    """Check what only an assistant says, and count its characters of text."""
    chars = 0
    for name in ("refusal", "reasoning_content"):
        if wire.get(name) is not None:
            chars += len(string(wire[name], f"{path}.{name}"))
    if wire.get("tool_calls") is not None:
        calls = array(wire["tool_calls"], f"{path}.tool_calls", min_items=1)
        for index, call in enumerate(calls):
            chars += _tool_call_chars(call, f"{path}.tool_calls[{index}]")
    return chars


def _tool_call_chars(value: object, path: str) -> int:
    call = json_object(value, path)
    string(required(call, "id", path, "the id that the tool message answers to"), f"{path}.id", min_chars=1)
    kind = string(required(call, "type", path, "`function`"), f"{path}.type")
    if kind != "function":
        raise unsupported(f"{path}.type", f"`{path}.type` {shown(kind)} is not supported. Only `function` is.")
    function_path = f"{path}.function"
    function = json_object(required(call, "function", path, "the function's name and arguments"), function_path)
    name = string(
        required(function, "name", function_path, "the function's name"), f"{function_path}.name", min_chars=1
    )
    arguments = string(
        required(function, "arguments", function_path, "its arguments as a string of JSON"),
        f"{function_path}.arguments",
    )
    return len(name) + len(arguments)


def _parts(parts: list[Any], path: str, role: str) -> tuple[int, bool]:
    """Return the characters of text in the parts, and whether one of them is an image."""
    array(parts, path, min_items=1)
    allowed = _PARTS_OF_ROLE.get(role, _PARTS_OF_OTHERS)
    chars, has_image = 0, False
    for index, item in enumerate(parts):
        part_path = f"{path}[{index}]"
        part = json_object(item, part_path)
        kind = string(required(part, "type", part_path, "`text` or `image_url`"), f"{part_path}.type")
        if kind in _UNSUPPORTED_PARTS:
            raise unsupported(part_path, f"Parts of type `{kind}` are not supported. Send text or image_url parts.")
        if kind not in allowed:
            raise invalid(
                f"{part_path}.type",
                f"`{part_path}.type` must be {' or '.join(allowed)} in a message of role {role}, not {shown(kind)}.",
            )
        if kind == "image_url":
            _check_image(part, part_path)
            has_image = True
        else:
            chars += len(string(required(part, kind, part_path, "a string"), f"{part_path}.{kind}"))
    return chars, has_image


def _check_image(part: dict[str, Any], part_path: str) -> None:
    path = f"{part_path}.image_url"
    image = json_object(required(part, "image_url", part_path, 'an object such as {"url": "https://..."}'), path)
    url = string(required(image, "url", path, "the image's address or data URL"), f"{path}.url")
    if not _IMAGE_URL.match(url):
        raise invalid(
            f"{path}.url",
            f"`{path}.url` must start with http://, https:// or data:image/...;base64, and go on; it is {shown(url)}.",
        )
    if image.get("detail") is not None:
        string(image["detail"], f"{path}.detail")
