"""The `messages` of a request: roles, parts, tool calls and their results."""

from __future__ import annotations

import re
from typing import Any, cast

from apps.llm.wire.checks import array, invalid, json_object, missing, one_of, required, shown, string, unsupported
from apps.llm.wire.old_calls import OldCalls
from apps.llm.wire.shapes import PARTS, TOOL_CALL, kept
from apps.llm.wire.types import Message, Role

__all__ = ["MAX_MESSAGES", "parse_messages"]

MAX_MESSAGES = 1_000

_ROLES = ("system", "developer", "user", "assistant", "tool")
_ONE_OF_ROLES = f"one of {', '.join(_ROLES)}"
_PARTS_OF_ROLE = {
    "user": ("text", "image_url", "input_audio", "file"),
    "assistant": ("text", "refusal"),
    "tool": ("text", "image_url"),
}
_PARTS_OF_OTHERS = ("text",)
_SAID_BESIDES = ("refusal", "reasoning_content")
# Parts of other formats that no provider here serves.
_UNSUPPORTED_PARTS = ("audio", "video_url", "file_url")
_IMAGE_URL = re.compile(r"https?://[^\s]|data:image/[a-z0-9.+-]+;base64,[^\s]", re.IGNORECASE)


def parse_messages(value: Any) -> tuple[Message, ...]:
    """Check the messages of a body; None for absent. Raises InvalidRequest.

    Those in the form before `tools` (`function_call`, the role `function`) become tool calls and their results.
    """
    if value is None:
        raise missing("messages", "`messages` is missing. Send an array with at least one message.")
    items = array(value, "messages", max_items=MAX_MESSAGES)
    if not items:
        raise invalid("messages", "`messages` is empty. Send at least one message.")
    old = OldCalls()
    return tuple([_message(item, f"messages[{index}]", old) for index, item in enumerate(items)])


def _message(value: object, path: str, old: OldCalls) -> Message:
    said = json_object(value, path)
    role = required(said, "role", path, _ONE_OF_ROLES)
    if role != "function":
        one_of(role, f"{path}.role", _ROLES)
    wire: dict[str, Any] = {"role": role}
    if said.get("name") is not None:
        wire["name"] = string(said["name"], f"{path}.name")
    text_chars = 0
    if role == "function":
        wire = {"role": "tool", "tool_call_id": old.id_of_result(wire.get("name"), path)}
    elif role == "tool":
        wire = {
            "role": "tool",
            "tool_call_id": string(
                required(said, "tool_call_id", path, "the id of the call it answers"),
                f"{path}.tool_call_id",
                min_chars=1,
            ),
        }
    elif role == "assistant":
        text_chars = _assistant_text_chars(said, wire, path, old)
    content = said.get("content")
    media: dict[str, str] = {}
    if content is None or (role == "assistant" and content == []):
        # What a function returned may be nothing, and an assistant may have said nothing.
        if role not in ("assistant", "function"):
            raise missing(f"{path}.content", f"`{path}.content` is missing. Send a string or an array of parts.")
        if role == "function":
            wire["content"] = ""
    elif isinstance(content, str):
        wire["content"] = content
        text_chars += len(content)
    elif isinstance(content, list):
        wire["content"], chars = _parts(content, f"{path}.content", role, media)
        text_chars += chars
    else:
        raise invalid(
            f"{path}.content", f"`{path}.content` must be a string or an array of parts, not {shown(content)}."
        )
    return Message(role=cast(Role, wire["role"]), wire=wire, media=media, text_chars=text_chars)


def _assistant_text_chars(said: dict[str, Any], wire: dict[str, Any], path: str, old: OldCalls) -> int:
    """Add what only an assistant says to `wire`, and count its characters of text."""
    chars = 0
    for name in _SAID_BESIDES:
        if said.get(name) is not None:
            wire[name] = string(said[name], f"{path}.{name}")
            chars += len(wire[name])
    calls: list[Any] = []
    if said.get("tool_calls") is not None:
        calls = [
            _tool_call(call, f"{path}.tool_calls[{index}]")
            for index, call in enumerate(array(said["tool_calls"], f"{path}.tool_calls"))
        ]
    if not calls and said.get("function_call") is not None:
        function = _called(said["function_call"], f"{path}.function_call")
        calls = [{"id": old.new_id(function["name"]), "type": "function", "function": function}]
    if calls:
        wire["tool_calls"] = calls
    return chars + sum(len(call["function"]["name"]) + len(call["function"]["arguments"]) for call in calls)


def _tool_call(value: object, path: str) -> dict[str, Any]:
    call: dict[str, Any] = kept(json_object(value, path), TOOL_CALL)
    string(required(call, "id", path, "the id that the tool message answers to"), f"{path}.id", min_chars=1)
    kind = string(required(call, "type", path, "`function`"), f"{path}.type")
    if kind != "function":
        raise unsupported(f"{path}.type", f"`{path}.type` {shown(kind)} is not supported. Only `function` is.")
    function = required(call, "function", path, "the function's name and arguments")
    call["function"] = _called(function, f"{path}.function")
    return call


def _called(value: object, path: str) -> dict[str, Any]:
    """Return the name and the arguments of a call; some servers leave out arguments that are empty."""
    function = json_object(value, path)
    name = string(required(function, "name", path, "the function's name"), f"{path}.name", min_chars=1)
    arguments = function.get("arguments")
    return {"name": name, "arguments": "" if arguments is None else string(arguments, f"{path}.arguments")}


def _parts(parts: list[Any], path: str, role: str, media: dict[str, str]) -> tuple[list[Any], int]:
    """Return the parts and their characters of text; note the types and paths of those that are no text."""
    if not parts:
        raise invalid(path, f"`{path}` is an empty array. Send a string, which may be empty, or at least one part.")
    allowed = _PARTS_OF_ROLE.get(role, _PARTS_OF_OTHERS)
    checked: list[Any] = []
    chars = 0
    for index, item in enumerate(parts):
        part_path = f"{path}[{index}]"
        part = json_object(item, part_path)
        kind = string(required(part, "type", part_path, f"one of {', '.join(allowed)}"), f"{part_path}.type")
        if kind in _UNSUPPORTED_PARTS:
            raise unsupported(
                part_path, f"Parts of type `{kind}` are not supported. Send {' or '.join(allowed)} parts."
            )
        if kind not in allowed:
            raise invalid(
                f"{part_path}.type",
                f"`{part_path}.type` must be {' or '.join(allowed)} in a message of role {role}, not {shown(kind)}.",
            )
        part = kept(part, PARTS[kind])
        checked.append(part)
        if kind in ("text", "refusal"):
            chars += len(string(required(part, kind, part_path, "a string"), f"{part_path}.{kind}"))
            continue
        media.setdefault(kind, part_path)
        inner = json_object(required(part, kind, part_path, "an object"), f"{part_path}.{kind}")
        _MEDIA_CHECKS[kind](inner, f"{part_path}.{kind}")
    return checked, chars


def _check_image(image: dict[str, Any], path: str) -> None:
    url = string(required(image, "url", path, "the image's address or data URL"), f"{path}.url")
    if not _IMAGE_URL.match(url):
        raise invalid(
            f"{path}.url",
            f"`{path}.url` must start with http://, https:// or data:image/...;base64, and go on; it is {shown(url)}.",
        )
    if "detail" in image:
        string(image["detail"], f"{path}.detail")


def _check_audio(audio: dict[str, Any], path: str) -> None:
    for name, expected in (("data", "the sound in base64"), ("format", "the format of the sound, such as `wav`")):
        string(required(audio, name, path, expected), f"{path}.{name}", min_chars=1)


def _check_file(file: dict[str, Any], path: str) -> None:
    for name, value in file.items():
        string(value, f"{path}.{name}", min_chars=1)
    if "file_data" not in file and "file_id" not in file:
        raise missing(
            f"{path}.file_data", f"`{path}.file_data` is missing. Send it, or the `file_id` of a stored file."
        )


_MEDIA_CHECKS = {"image_url": _check_image, "input_audio": _check_audio, "file": _check_file}
