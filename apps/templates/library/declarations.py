"""Variables as callers declare them and as versions keep them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from apps.llm.errors import InvalidRequest
from apps.templates.library.fields import Fields, fields_of, param_of
from apps.templates.rendering import placeholders
from apps.templates.variables import MAX_VALUE_CHARACTERS, NAME, Value, Variable, VariableType, written

__all__ = ["MAX_VARIABLES", "variables_agreed", "variables_json", "variables_of", "variables_read"]

MAX_VARIABLES = 10_000
MAX_HELP_CHARACTERS = 1_000
MAX_CHOICES = 1_000
MAX_CHOICE_CHARACTERS = 200
_MOST_NAMED = 10
# What an optional variable is without a default, for those types whose nothing can be written.
_NOTHING: Mapping[VariableType, Value] = {VariableType.STRING: "", VariableType.TEXT: "", VariableType.LIST: []}


def variables_read(fields: Fields) -> tuple[Variable, ...]:
    """Return what `variables` declares, each name once. Raises InvalidRequest naming the field."""
    items = fields.items("variables", most=MAX_VARIABLES)
    variables = tuple(_variable(item, f"{fields.param('variables')}[{index}]") for index, item in enumerate(items))
    seen: set[str] = set()
    for index, variable in enumerate(variables):
        if variable.name in seen:
            raise fields.refusal(f"variables[{index}].name", "is the name of another variable")
        seen.add(variable.name)
    return variables


def _variable(item: object, at: str) -> Variable:
    fields = fields_of(item, at)
    name = fields.text("name", most=64)
    if not NAME.fullmatch(name):
        raise fields.refusal("name", "takes small letters, digits and `_`, a letter first")
    kind = fields.text("type", most=16)
    if kind not in set(VariableType):
        raise fields.refusal("type", f"must be one of {', '.join(VariableType)}")
    default = fields.body.get("default")
    required = fields.flag("required", default=default is None)
    if required and default is not None:
        raise fields.refusal("required", "is true, and there is a default; leave one of them out")
    choices = tuple(fields.strings("choices", most=MAX_CHOICES, most_characters=MAX_CHOICE_CHARACTERS))
    if (kind == VariableType.CHOICE) != bool(choices) or len(set(choices)) < len(choices):
        raise fields.refusal("choices", "belongs to the type `choice`, which has at least one, each once")
    variable = Variable(
        name=name,
        type=VariableType(kind),
        required=required,
        choices=choices,
        help=fields.text("help", most=MAX_HELP_CHARACTERS, optional=True),
    )
    return variable if required else _with_default(variable, default, fields)


def _with_default(variable: Variable, default: object, fields: Fields) -> Variable:
    value = _NOTHING.get(variable.type) if default is None else _stored_number(default)
    if value is None:
        raise fields.refusal("default", "is needed: the variable is not required")
    try:
        text = written(variable, value)
    except ValueError as error:
        raise fields.refusal("default", f"must be {str(error)[:300]}") from None
    fields.check_string("default", text, MAX_VALUE_CHARACTERS)
    return Variable(
        name=variable.name,
        type=variable.type,
        required=False,
        default=value,  # type: ignore[arg-type]  # `written` has just taken it
        choices=variable.choices,
        help=variable.help,
    )


def _stored_number(value: object) -> object:
    """Return a number as every database gives it back: PostgreSQL keeps neither 1e+17 nor -0.0 as it is written."""
    if not isinstance(value, float) or not math.isfinite(value):
        return value
    return int(value) if value.is_integer() and abs(value) >= 1e15 else value + 0.0


def variables_agreed(text: str, variables: Sequence[Variable], at: str = "") -> tuple[Variable, ...]:
    """Return the variables of a text: those declared, then each other placeholder as a required string.

    Raises InvalidRequest if one is declared that the text does not use, or if there are too many.
    """
    used, declared = placeholders(text), {variable.name for variable in variables}
    unused = sorted(declared.difference(used))
    if unused:
        said = f"`variables` declares what the text does not use: {_listed(unused)}."
        raise InvalidRequest(said, param=param_of(at, "variables"))
    if len(used) > MAX_VARIABLES:
        raise InvalidRequest(f"A text has at most {MAX_VARIABLES:,} variables.", param=param_of(at, "text"))
    undeclared = (name for name in used if name not in declared)
    return (*variables, *(Variable(name=name, type=VariableType.STRING, required=True) for name in undeclared))


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MOST_NAMED])
    return shown if len(names) <= _MOST_NAMED else f"{shown} and {len(names) - _MOST_NAMED} more"


def variables_json(variables: Sequence[Variable]) -> list[dict[str, Any]]:
    """Return variables as they are stored and answered."""
    return [
        {
            "name": variable.name,
            "type": variable.type.value,
            "required": variable.required,
            "default": variable.default,
            "choices": list(variable.choices),
            "help": variable.help,
        }
        for variable in variables
    ]


def variables_of(stored: Sequence[Mapping[str, Any]]) -> tuple[Variable, ...]:
    """Return the variables that `variables_json` wrote."""
    return tuple(
        Variable(**{**item, "type": VariableType(item["type"]), "choices": tuple(item["choices"])}) for item in stored
    )
