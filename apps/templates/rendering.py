"""Templates with `{{ names }}` in them, filled in. Pure: no template engine, no formatting language, no attributes.

A placeholder is a name in double braces, with up to 64 spaces and tabs on either side. Everything else is text and
stays as it is, and so is what a value holds: it is written once and never looked at again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from apps.llm.errors import Code, InvalidRequest
from apps.templates.variables import Variable, written

__all__ = ["MAX_RENDERED_CHARACTERS", "PLACEHOLDER", "placeholders", "render"]

MAX_RENDERED_CHARACTERS = 4_000_000
"""Of a prompt and its template together; a template that repeats a long value often is refused at this."""
_MOST_NAMED = 10
PLACEHOLDER = re.compile(r"(\{\{[ \t]{0,64}[a-z][a-z0-9_]{0,63}[ \t]{0,64}\}\})")
"""One placeholder, braces included, wherever one is read."""


def placeholders(text: str) -> tuple[str, ...]:
    """Return the names in a template, each once, in the order of their first places. Linear in its length."""
    return tuple(dict.fromkeys(map(_name, PLACEHOLDER.findall(text))))


def render(text: str, variables: Sequence[Variable], values: Mapping[str, object]) -> str:
    """Return a template with its variables filled in: given values, else defaults. Linear in what comes out.

    A name in the text that is no variable stays as it is. Raises InvalidRequest, naming every variable that is
    missing, unknown or of another type, or if the prompt would be too long. Its code is `missing_field` where some are
    missing and nothing else is wrong.
    """
    filled = _filled(variables, values)
    # Text, placeholder, text, …, placeholder, text.
    parts = PLACEHOLDER.split(text)
    # Few differ, however many there are.
    written_out = {whole: filled.get(_name(whole), whole) for whole in set(parts[1::2])}
    parts[1::2] = [written_out[whole] for whole in parts[1::2]]
    length = len(text) + sum(map(len, parts[1::2]))
    if length > MAX_RENDERED_CHARACTERS:
        raise InvalidRequest(
            f"The prompt would be over {MAX_RENDERED_CHARACTERS:,} characters. Send shorter values.",
            param="variables",
        )
    return "".join(parts)


def _name(placeholder: str) -> str:
    return placeholder[2:-2].strip(" \t")


def _filled(variables: Sequence[Variable], values: Mapping[str, object]) -> dict[str, str]:
    filled: dict[str, str] = {}
    missing: list[str] = []
    mistyped: list[str] = []
    for variable in variables:
        value = values.get(variable.name, variable.default)
        if value is None:
            missing.append(variable.name)
            continue
        try:
            filled[variable.name] = written(variable, value)
        except ValueError as error:
            mistyped.append(f"{variable.name} ({error})")
    known = {variable.name for variable in variables}
    unknown = [name for name in values if name not in known]
    if missing or mistyped or unknown:
        raise _refusal(missing, mistyped, unknown)
    return filled


def _refusal(missing: Sequence[str], mistyped: Sequence[str], unknown: Sequence[str]) -> InvalidRequest:
    said = [
        f"{what}: {_listed(names)}."
        for what, names in (("Missing", missing), ("Of another type", mistyped), ("Unknown", unknown))
        if names
    ]
    first = (*missing, *(name.partition(" ")[0] for name in mistyped), *unknown)[0]
    code = Code.INVALID_VALUE if mistyped or unknown else Code.MISSING_FIELD
    return InvalidRequest(" ".join(said), code=code, param=f"variables.{first[:64]}")


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"{name[:200]}" for name in names[:_MOST_NAMED])
    return shown if len(names) <= _MOST_NAMED else f"{shown} and {len(names) - _MOST_NAMED} more"
