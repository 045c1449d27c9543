"""Checks of single values in a request body, and the errors they raise.

Each takes the value and the path of its field, returns the value typed, and raises InvalidRequest with that path
as `param`. A client's value is quoted shortly, or not at all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from apps.llm.errors import Code, InvalidRequest

__all__ = [
    "array",
    "boolean",
    "integer",
    "invalid",
    "json_object",
    "missing",
    "number",
    "one_of",
    "required",
    "shown",
    "string",
    "unsupported",
]

_SHOWN_CHARS = 60


def invalid(param: str, message: str) -> InvalidRequest:
    """Make the error for a value that is wrong; `message` says what to send instead."""
    return InvalidRequest(message, code=Code.INVALID_VALUE, param=param)


def missing(param: str, message: str) -> InvalidRequest:
    """Make the error for a field that has to be there."""
    return InvalidRequest(message, code=Code.MISSING_FIELD, param=param)


def unsupported(param: str, message: str) -> InvalidRequest:
    """Make the error for a field that is right in OpenAI's format and not served here."""
    return InvalidRequest(message, code=Code.UNSUPPORTED_PARAMETER, param=param)


def shown(value: object) -> str:
    """Describe a client's value in at most 60 characters; objects and arrays by their kind alone."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    text = repr(value[:_SHOWN_CHARS] if isinstance(value, str) else value)
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…"


def required(parent: Mapping[str, Any], name: str, path: str, expected: str) -> Any:
    """Return a member that may be neither absent nor null; `path` is the parent's."""
    value = parent.get(name)
    if value is None:
        raise missing(f"{path}.{name}", f"`{path}.{name}` is missing. Send {expected}.")
    return value


def string(value: object, path: str, *, min_chars: int = 0, max_chars: int | None = None) -> str:
    """Check a string and its length in characters."""
    if not isinstance(value, str):
        raise invalid(path, f"`{path}` must be a string, not {shown(value)}.")
    if len(value) < min_chars:
        raise invalid(path, f"`{path}` is empty. Send at least {min_chars} character.")
    if max_chars is not None and len(value) > max_chars:
        raise invalid(path, f"`{path}` has {len(value)} characters. Send at most {max_chars}.")
    return value


def boolean(value: object, path: str) -> bool:
    """Check true or false."""
    if not isinstance(value, bool):
        raise invalid(path, f"`{path}` must be true or false, not {shown(value)}.")
    return value


def number(value: object, path: str, *, minimum: float, maximum: float) -> float:
    """Check a number within inclusive bounds; true and false are none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not minimum <= value <= maximum:
        raise invalid(path, f"`{path}` must be a number from {minimum:g} to {maximum:g}, not {shown(value)}.")
    return value


def integer(value: object, path: str, *, minimum: int, maximum: int) -> int:
    """Check a whole number, written without a fraction, within inclusive bounds."""
    if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
        raise invalid(path, f"`{path}` must be a whole number from {minimum} to {maximum}, not {shown(value)}.")
    return value


def one_of(value: object, path: str, choices: Collection[str]) -> str:
    """Check a word from a closed list."""
    if not isinstance(value, str) or value not in choices:
        raise invalid(path, f"`{path}` must be one of {', '.join(choices)}, not {shown(value)}.")
    return value


def json_object(value: object, path: str) -> dict[str, Any]:
    """Check an object."""
    if not isinstance(value, dict):
        raise invalid(path, f"`{path}` must be an object, not {shown(value)}.")
    return value


def array(value: object, path: str, *, max_items: int | None = None) -> list[Any]:
    """Check an array and the number of its items."""
    if not isinstance(value, list):
        raise invalid(path, f"`{path}` must be an array, not {shown(value)}.")
    if max_items is not None and len(value) > max_items:
        raise invalid(path, f"`{path}` has {len(value)} items. Send at most {max_items}.")
    return value
