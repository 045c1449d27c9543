"""Templates as files: JSON or YAML, one template or a list, with all their versions, labels and notes.

What is read back and written again is the same bytes. Who made a template, when, and how often it was used stays here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import yaml

try:
    from yaml import CSafeDumper as SafeDumper
    from yaml import CSafeLoader as SafeLoader
except ImportError:  # built without libyaml: the same, slower
    from yaml import SafeDumper, SafeLoader  # type: ignore[assignment]

from apps.llm.errors import Code, InvalidRequest
from apps.llm.wire.keys import keys_repeat
from apps.templates.library.drafts import TemplateDraft, template_draft
from apps.templates.library.presentation import said_json, version_variables_json
from apps.templates.models import Version
from apps.templates.selectors import Described

__all__ = ["MAX_IMPORTED", "drafts_read", "exported", "parse_json", "parse_yaml", "write_json", "write_yaml"]

MAX_IMPORTED = 200
"""Templates in one import."""
MAX_YAML_DEPTH = 32
MAX_YAML_EVENTS = 200_000
"""Keys, values and the beginnings and ends of what holds them, in one document."""


def exported(described: Described, versions: Sequence[Version]) -> dict[str, Any]:
    """Return a template as it is written to a file; versions from the first on."""
    return {
        **said_json(described),
        "labels": dict(sorted(described.labels.items())),
        "versions": [
            {
                "number": version.number,
                "note": version.note,
                "variables": version_variables_json(version),
                "text": version.text,
            }
            for version in versions
        ],
    }


def drafts_read(value: object) -> list[TemplateDraft]:
    """Return the templates that a parsed file holds, one or a list. Raises InvalidRequest naming the field."""
    if not isinstance(value, list):
        return [template_draft(value)]
    if not 1 <= len(value) <= MAX_IMPORTED:
        raise InvalidRequest(f"A list has from 1 to {MAX_IMPORTED} templates. Import more in several requests.")
    return [template_draft(item, f"[{index}]") for index, item in enumerate(value)]


def write_json(template: Mapping[str, Any]) -> bytes:
    """Return a template as indented JSON."""
    return orjson.dumps(template, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def write_yaml(template: Mapping[str, Any]) -> bytes:
    """Return a template as YAML, texts of several lines as blocks."""
    text: str = yaml.dump(
        template, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=2**20
    )
    return text.encode()


def parse_json(data: bytes) -> object:
    """Return what a JSON text says. Raises InvalidRequest."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest("The body is not valid JSON.", code=Code.INVALID_JSON) from error
    if keys_repeat(data, value):
        raise InvalidRequest("The body names a key twice. Name each key once.", code=Code.INVALID_JSON)
    return value


def parse_yaml(data: bytes) -> object:
    """Return what a YAML document says: plain values alone, without anchors, aliases and tags. Raises InvalidRequest.

    Its events are looked at before anything is built from them: an alias could stand for a value of any size.
    """
    try:
        text = data.decode()
        _check_events(text)
        return yaml.load(text, Loader=_Loader)
    except InvalidRequest:
        raise
    except (yaml.YAMLError, ValueError, LookupError, ArithmeticError, TypeError) as error:
        raise InvalidRequest("The body is not valid YAML.") from error


def _check_events(text: str) -> None:
    depth = 0
    for number, event in enumerate(yaml.parse(text, Loader=_Loader)):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise InvalidRequest("YAML with anchors or aliases is not taken. Write each value out.")
        if getattr(event, "tag", None) is not None:
            raise InvalidRequest("YAML with tags is not taken. Write plain values.")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_YAML_DEPTH:
            raise InvalidRequest(f"The YAML nests deeper than {MAX_YAML_DEPTH} levels.")
        if number > MAX_YAML_EVENTS:
            raise InvalidRequest("The YAML has too many values. Import fewer templates at once.")


class _Loader(SafeLoader):
    """Plain values; a key that stands twice is an error, as it is in JSON."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build one mapping."""
        mapping: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        if len(mapping) < len(node.value):
            raise yaml.constructor.ConstructorError(None, None, "a key stands twice", node.start_mark)
        return mapping


class _Dumper(SafeDumper):
    """Without aliases; texts of several lines as blocks where YAML can say them so."""

    def ignore_aliases(self, data: object) -> bool:
        """Write everything out."""
        return True


def _write_text(dumper: Any, text: str) -> Any:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _write_text)
