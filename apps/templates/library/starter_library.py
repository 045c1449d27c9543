"""The starter library: the templates that come with the project, read from `starter/*.yaml`, one file a category."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

try:
    from yaml import CSafeLoader as SafeLoader
except ImportError:  # built without libyaml: the same, a dozen times slower
    from yaml import SafeLoader  # type: ignore[assignment]

from apps.templates.categories import CATEGORIES
from apps.templates.rendering import placeholders
from apps.templates.variables import NAME, Value, Variable, VariableType, written

__all__ = ["StarterTemplate", "read_library", "read_template"]

_DIRECTORY = Path(__file__).parent / "starter"
_KEYS = frozenset({"slug", "title", "description", "tags", "language", "variables", "text"})
_VARIABLE_KEYS = frozenset({"name", "type", "required", "default", "choices", "help"})


@dataclass(frozen=True, slots=True, kw_only=True)
class StarterTemplate:
    """One template of the library."""

    slug: str
    title: str
    description: str
    category: str
    tags: tuple[str, ...]
    language: str
    """ISO 639-1."""
    variables: tuple[Variable, ...]
    text: str


@functools.cache
def read_library() -> tuple[StarterTemplate, ...]:
    """Return every template, by category and then as the files have them. Raises ValueError naming what is wrong."""
    return tuple(
        read_template(item, category)
        for category in CATEGORIES
        for item in yaml.load((_DIRECTORY / f"{category}.yaml").read_text(encoding="utf-8"), Loader=SafeLoader)
    )


def read_template(item: Mapping[str, Any], category: str) -> StarterTemplate:
    """Return one template of a file. Raises ValueError naming what is wrong."""
    slug = str(item.get("slug", "?"))
    if set(item) != _KEYS:
        raise ValueError(f"{slug}: members are {sorted(item)}, not {sorted(_KEYS)}")
    variables = tuple(_read_variable(slug, variable) for variable in item["variables"])
    names = [variable.name for variable in variables]
    text: str = item["text"]
    if sorted(names) != sorted(placeholders(text)):
        raise ValueError(f"{slug}: the text uses {sorted(placeholders(text))}, declared are {sorted(names)}")
    return StarterTemplate(
        slug=slug,
        title=item["title"],
        description=item["description"],
        category=category,
        tags=tuple(item["tags"]),
        language=item["language"],
        variables=variables,
        text=text,
    )


def _read_variable(slug: str, item: Mapping[str, Any]) -> Variable:
    name = str(item.get("name", "?"))
    if not set(item) <= _VARIABLE_KEYS or not NAME.fullmatch(name):
        raise ValueError(f"{slug}: the variable {name} has members or a name that it may not have")
    default: Value | None = item.get("default")
    variable = Variable(
        name=name,
        type=VariableType(item["type"]),
        required=item["required"],
        default=default,
        choices=tuple(item.get("choices", ())),
        help=item["help"],
    )
    if variable.required != (default is None):
        raise ValueError(f"{slug}: {name} is required and has a default, or is neither")
    if (variable.type is VariableType.CHOICE) != bool(variable.choices):
        raise ValueError(f"{slug}: {name} has choices and is no choice, or the other way round")
    if default is not None:
        try:
            written(variable, default)
        except ValueError as error:
            raise ValueError(f"{slug}: the default of {name} is not {error}") from None
    return variable
