"""A template's variables: their types, and how each value is written into a prompt."""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = ["MAX_VALUE_CHARACTERS", "NAME", "Value", "Variable", "VariableType", "written"]

NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
MAX_VALUE_CHARACTERS = 1_000_000
"""Of one value as it is written; a longer one is refused."""

Value = str | int | float | bool | list[str]


class VariableType(enum.StrEnum):
    """What a variable takes."""

    STRING = "string"
    """One line."""
    TEXT = "text"
    """Any number of lines."""
    NUMBER = "number"
    CHOICE = "choice"
    """One of `choices`."""
    LIST = "list"
    """Strings; written as one line each, `- item`."""
    BOOLEAN = "boolean"
    """Written as yes or no."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One variable. `default` is None for a required one; `choices` are for CHOICE alone."""

    name: str
    type: VariableType
    required: bool
    default: Value | None = None
    choices: tuple[str, ...] = ()
    help: str = ""


def written(variable: Variable, value: object) -> str:
    """Return a value as it stands in the prompt. Raises ValueError, saying what the variable takes instead."""
    text = _WRITERS[variable.type](variable, value)
    if len(text) > MAX_VALUE_CHARACTERS:
        raise ValueError(f"at most {MAX_VALUE_CHARACTERS:,} characters")
    return text


def _string(_: Variable, value: object) -> str:
    if not isinstance(value, str) or "\n" in value or "\r" in value:
        raise ValueError("one line of text")
    return value


def _text(_: Variable, value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("text")
    return value


def _number(_: Variable, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("a number")
    if isinstance(value, int) and abs(value) >= 10**18:
        raise ValueError("a number of at most 18 digits")
    return repr(value)


def _choice(variable: Variable, value: object) -> str:
    if not isinstance(value, str) or value not in variable.choices:
        raise ValueError(f"one of {', '.join(variable.choices)}")
    return value


def _list(_: Variable, value: object) -> str:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError("a list of strings")
    return "\n".join(f"- {item}" for item in value)


def _boolean(_: Variable, value: object) -> str:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return "yes" if value else "no"


_WRITERS: Mapping[VariableType, Callable[[Variable, object], str]] = {
    VariableType.STRING: _string,
    VariableType.TEXT: _text,
    VariableType.NUMBER: _number,
    VariableType.CHOICE: _choice,
    VariableType.LIST: _list,
    VariableType.BOOLEAN: _boolean,
}
