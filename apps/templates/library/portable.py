"""Templates as files: JSON or YAML, one template or a list, with all their versions, labels and notes.

What is read back and written again is the same bytes. Who made a template, when, and how often it was used stays here.
A file is written piece by piece, the head and then each version, so that it is never in memory as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import orjson
import yaml

try:
    from yaml import CSafeDumper as SafeDumper
except ImportError:  # built without libyaml: the same, slower
    from yaml import SafeDumper  # type: ignore[assignment]

from apps.llm.errors import Code, InvalidRequest
from apps.llm.wire.keys import keys_repeat
from apps.templates.library.drafts import TemplateDraft, template_draft
from apps.templates.library.presentation import said_json, version_variables_json
from apps.templates.models import Version
from apps.templates.selectors import Described

__all__ = [
    "MAX_IMPORTED",
    "MAX_IMPORTED_VERSIONS",
    "WRITERS",
    "Writer",
    "drafts_read",
    "head_json",
    "parse_json",
    "portable_version_json",
    "write_json",
    "write_yaml",
]

MAX_IMPORTED = 200
"""Templates in one import."""
MAX_IMPORTED_VERSIONS = 2_000
"""Of all the templates in one import."""


class Writer(Protocol):
    """One form of file, in pieces: the beginning, each version, the end."""

    media_type: str

    def begin(self, head: Mapping[str, Any]) -> bytes:
        """Return the members before the versions."""

    def version(self, version: Mapping[str, Any]) -> bytes:
        """Return one version; the first one has the number 1."""

    def end(self) -> bytes:
        """Return what follows the last version."""


def head_json(described: Described, *, hidden: int, may_publish: bool) -> dict[str, Any]:
    """Return what a file says of a template before its versions.

    `hidden` is how many of its first versions are left out: numbers begin at 1 all the same. For somebody who may not
    publish it is a private template, or they could not import it.
    """
    said = said_json(described)
    if not may_publish:
        said |= {"is_public": False, "public_from": None}
    return {**said, "labels": {name: number - hidden for name, number in sorted(described.labels.items())}}


def portable_version_json(version: Version, *, hidden: int) -> dict[str, Any]:
    """Return a version as it is written to a file; see `head_json`."""
    return {
        "number": version.number - hidden,
        "note": version.note,
        "variables": version_variables_json(version),
        "text": version.text,
    }


def drafts_read(value: object) -> list[TemplateDraft]:
    """Return the templates that a parsed file holds, one or a list. Raises InvalidRequest naming the field."""
    if not isinstance(value, list):
        return [template_draft(value)]
    if not 1 <= len(value) <= MAX_IMPORTED:
        raise InvalidRequest(f"A list has from 1 to {MAX_IMPORTED} templates. Import more in several requests.")
    drafts = [template_draft(item, f"[{index}]") for index, item in enumerate(value)]
    if sum(len(draft.versions) for draft in drafts) > MAX_IMPORTED_VERSIONS:
        raise InvalidRequest(
            f"The templates of a list have at most {MAX_IMPORTED_VERSIONS:,} versions together. "
            "Import them in several requests."
        )
    return drafts


def parse_json(data: bytes) -> object:
    """Return what a JSON text says. Raises InvalidRequest."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest("The body is not valid JSON.", code=Code.INVALID_JSON) from error
    if keys_repeat(data, value):
        raise InvalidRequest("The body names a key twice. Name each key once.", code=Code.INVALID_JSON)
    return value


def write_json(value: object) -> bytes:
    """Return a value as indented JSON."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def write_yaml(value: object) -> bytes:
    """Return a value as YAML, texts of several lines as blocks."""
    text: str = yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=2**20
    )
    return text.encode()


class _JsonWriter:
    """Indented JSON: the same bytes as of the whole at once."""

    media_type = "application/json"

    def begin(self, head: Mapping[str, Any]) -> bytes:
        """Return the members before the versions."""
        return write_json(head).removesuffix(b"\n}\n") + b',\n  "versions": ['

    def version(self, version: Mapping[str, Any]) -> bytes:
        """Return one version."""
        # A line end in a string is written as an escape: each one here is between two members.
        indented = write_json(version).rstrip().replace(b"\n", b"\n    ")
        return (b"" if version["number"] == 1 else b",") + b"\n    " + indented

    def end(self) -> bytes:
        """Return what follows the last version."""
        return b"\n  ]\n}\n"


class _YamlWriter:
    """YAML in blocks."""

    media_type = "application/yaml"

    def begin(self, head: Mapping[str, Any]) -> bytes:
        """Return the members before the versions."""
        return write_yaml(dict(head)) + b"versions:\n"

    def version(self, version: Mapping[str, Any]) -> bytes:
        """Return one version."""
        return write_yaml([dict(version)])

    def end(self) -> bytes:
        """Return nothing: a block ends where the text does."""
        return b""


WRITERS: Mapping[str, Writer] = {"json": _JsonWriter(), "yaml": _YamlWriter()}


class _Dumper(SafeDumper):
    """Without aliases; texts of several lines as blocks where YAML can say them so."""

    def ignore_aliases(self, data: object) -> bool:
        """Write everything out."""
        return True


def _write_text(dumper: Any, text: str) -> Any:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _write_text)
