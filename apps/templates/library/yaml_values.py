"""YAML as far as templates need it: strings, numbers, true, false, null, lists, and mappings whose keys are strings.

PyYAML's own loaders know more: numbers in base 60 whose cost is quadratic, dates, keys of any type, merged mappings.
Here libyaml cuts the text into events, and this module builds values from them in one pass. A plain scalar is read by
the core schema of YAML 1.2, section 10.3.2, without octal and hexadecimal numbers: all that it takes for something
else than a string, the writer of our exports puts in quotes where it is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

try:
    from yaml import CSafeLoader as SafeLoader
except ImportError:  # built without libyaml: the same, slower
    from yaml import SafeLoader  # type: ignore[assignment]

from apps.llm.errors import InvalidRequest

__all__ = ["parse_yaml"]

MAX_YAML_DEPTH = 32
MAX_YAML_EVENTS = 200_000
"""Keys, values and the beginnings and ends of what holds them, in one document: half a second of work."""
_MOST_DIGITS = 30
"""Of a number. More than any number has that a template keeps."""
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?[0-9]+\.[0-9]*([eE][-+][0-9]+)?")
# Each costs libyaml a look at all those before it.
_DIRECTIVE = re.compile(r"^%", re.MULTILINE)


def parse_yaml(data: bytes) -> object:
    """Return what a YAML document says, without anchors, aliases, tags and directives. Linear in its length.

    Raises InvalidRequest: it is not such a document, nests deeper than 32 levels or has more than 200,000 events.
    """
    try:
        text = data.decode()
        if _DIRECTIVE.search(text):
            raise InvalidRequest("YAML with directives is not taken. Indent a text's line that begins with `%`.")
        return _Builder(yaml.parse(text, Loader=SafeLoader)).document()
    except InvalidRequest:
        raise
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidRequest("The body is not valid YAML.") from error


class _Builder:
    """Builds one value from events, looking at each once."""

    def __init__(self, events: Iterator[yaml.Event]) -> None:
        self._events = events
        self._count = 0

    def document(self) -> object:
        """Return the value of the only document. Raises InvalidRequest."""
        self._next()
        if isinstance(self._next(), yaml.StreamEndEvent):
            raise InvalidRequest("The YAML is empty. Send a template or a list of them.")
        value = self._value(self._next(), 0)
        self._next()
        if not isinstance(self._next(), yaml.StreamEndEvent):
            raise InvalidRequest("The YAML has several documents. Send the templates as one list.")
        return value

    def _next(self) -> yaml.Event:
        self._count += 1
        if self._count > MAX_YAML_EVENTS:
            raise InvalidRequest("The YAML has too many values. Import fewer templates at once.")
        event: Any = next(self._events)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise InvalidRequest("YAML with anchors or aliases is not taken. Write each value out.")
        if getattr(event, "tag", None) is not None:
            raise InvalidRequest("YAML with tags is not taken. Write plain values.")
        return event  # type: ignore[no-any-return]

    def _value(self, event: yaml.Event, depth: int) -> object:
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event)
        if depth == MAX_YAML_DEPTH:
            raise InvalidRequest(f"The YAML nests deeper than {MAX_YAML_DEPTH} levels.")
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(depth + 1)
        return self._mapping(depth + 1)

    def _list(self, depth: int) -> list[object]:
        values: list[object] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            values.append(self._value(event, depth))
        return values

    def _mapping(self, depth: int) -> dict[str, object]:
        values: dict[str, object] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise InvalidRequest("A key of the YAML is a list or a mapping. Keys are strings.")
            key: str = event.value
            if key == "<<" and not event.style:
                raise InvalidRequest("YAML with merged mappings is not taken. Write each value out.")
            if key in values:
                raise InvalidRequest("The YAML names a key twice. Name each key once.")
            values[key] = self._value(self._next(), depth)
        return values


def _scalar(event: yaml.ScalarEvent) -> object:
    text: str = event.value
    if event.style:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(_short(text))
    return float(_short(text)) if _FLOAT.fullmatch(text) else text


def _short(number: str) -> str:
    if len(number) > _MOST_DIGITS:
        raise InvalidRequest(f"A number of the YAML has more than {_MOST_DIGITS} digits. Put a text in quotes.")
    return number
