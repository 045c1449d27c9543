"""What the workbench is asked for, read member by member; the same over HTTP and WebSockets.

Every `read_…` takes a JSON object and raises InvalidRequest whose `param` is the member that is wrong. A null member is
an absent one; one that nobody knows is ignored.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from apps.llm.errors import Code, InvalidRequest
from apps.llm.wire import json
from apps.llm.wire.checks import boolean, json_object, one_of, shown
from apps.llm.wire.request import parse_request
from apps.templates.categories import CATEGORIES, UNKNOWN
from apps.templates.models import Label

__all__ = [
    "GENERATE_MEMBERS",
    "MAX_PROMPT_CHARACTERS",
    "MAX_QUERY_CHARACTERS",
    "RUN_MEMBERS",
    "GenerateRequest",
    "IntentRequest",
    "OptimizeRequest",
    "RunRequest",
    "SaveTo",
    "TemplateChoice",
    "completion_members",
    "known_members",
    "read_generate",
    "read_intent",
    "read_optimize",
    "read_run",
]

MAX_QUERY_CHARACTERS = 8_000
MAX_PROMPT_CHARACTERS = 100_000
_MAX_WORD_CHARACTERS = 200
_MAX_SLUG_CHARACTERS = 100
_MAX_NOTE_CHARACTERS = 500
_MAX_VERSION = 2**31 - 1

GENERATE_MEMBERS = frozenset({"prompt", "template", "variables", "label", "version", "stream"})
RUN_MEMBERS = frozenset({"query", "variables", "stream"})


@dataclass(frozen=True, slots=True, kw_only=True)
class IntentRequest:
    """A query whose intent is asked for."""

    query: str
    stream: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveTo:
    """An own template that gets a rewritten prompt as a new version."""

    template: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizeRequest:
    """A prompt that is to be made stronger."""

    prompt: str
    category: str | None = None
    """None if nobody has looked what it is for."""
    tone: str | None = None
    audience: str | None = None
    stream: bool = False
    save: SaveTo | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateChoice:
    """A template by its slug, in the version that a label stands at or a number names; neither: the default one."""

    slug: str
    label: str | None = None
    version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateRequest:
    """A prompt, a template or both, and how the completion is asked for."""

    prompt: str | None
    template: TemplateChoice | None
    variables: Mapping[str, object] | None
    """None if none were sent: then a prompt's `{{ names }}` are text."""
    stream: bool = True
    chat: Mapping[str, Any] = field(default_factory=dict)
    """All other members that were sent: they go on to the completion's body as they are, and are checked there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """A query that is to become an answer, by way of its intent, templates and a better prompt."""

    query: str
    variables: Mapping[str, object]
    stream: bool = True
    chat: Mapping[str, Any] = field(default_factory=dict)


def known_members(body: Mapping[str, object], names: Collection[str]) -> dict[str, Any]:
    """Return those of an object's members that are among the names and are not null."""
    return {name: body[name] for name in names if body.get(name) is not None}


def completion_members(body: Mapping[str, object], own: Collection[str], *, instead: str) -> dict[str, Any]:
    """Return what goes on to a completion's body: all members but null ones and the operation's own.

    Raises InvalidRequest for `messages`, which the operation writes itself; `instead` says what to send.
    """
    if body.get("messages") is not None:
        raise InvalidRequest(f"`messages` is not taken here. Send {instead}.", param="messages")
    return {name: value for name, value in body.items() if name not in own and value is not None}


def read_intent(body: Mapping[str, object]) -> IntentRequest:
    """Read `{query, stream?}`."""
    members = known_members(body, {"query", "stream"})
    return IntentRequest(query=_query(members), stream=_stream(members, default=False))


def read_optimize(body: Mapping[str, object]) -> OptimizeRequest:
    """Read `{prompt, intent_data?, tone?, audience?, stream?, save?}`.

    Of `intent_data`, which is an answer about intent as a whole, category, tone and audience are used; the members
    of the request itself win.
    """
    members = known_members(body, {"prompt", "intent_data", "tone", "audience", "stream", "save"})
    intent = json_object(members.get("intent_data", {}), "intent_data")
    entities = intent.get("entities")
    found = entities if isinstance(entities, dict) else {}
    category = intent.get("category")
    return OptimizeRequest(
        prompt=_required_text(members, "prompt", MAX_PROMPT_CHARACTERS),
        category=category if isinstance(category, str) and category in (*CATEGORIES, UNKNOWN) else None,
        tone=_word(members, "tone") or _word(found, "tone", "intent_data.entities."),
        audience=_word(members, "audience") or _word(found, "audience", "intent_data.entities."),
        stream=_stream(members, default=False),
        save=_save(members["save"]) if "save" in members else None,
    )


def read_generate(body: Mapping[str, object]) -> GenerateRequest:
    """Read `{prompt?, template?, variables?, label?, version?, stream?}` and members of a completion's body."""
    members = known_members(body, GENERATE_MEMBERS)
    prompt = _required_text(members, "prompt", MAX_PROMPT_CHARACTERS) if "prompt" in members else None
    template = _template(members)
    if prompt is None and template is None:
        raise _missing("prompt", "`prompt` is required, or `template`, or both.")
    variables = json_object(members["variables"], "variables") if "variables" in members else None
    return GenerateRequest(
        prompt=prompt,
        template=template,
        variables=variables,
        stream=_stream(members, default=True),
        chat=completion_members(body, GENERATE_MEMBERS, instead="`prompt`"),
    )


def read_run(body: Mapping[str, object]) -> RunRequest:
    """Read `{query, variables?, stream?}` and members of a completion's body."""
    members = known_members(body, RUN_MEMBERS)
    query = _query(members)
    chat = completion_members(body, RUN_MEMBERS, instead="`query`")
    # The completion comes last, after answers that cost something: what is wrong with it is said first.
    parse_request(json.dumps({**chat, "messages": [{"role": "user", "content": query}]}))
    return RunRequest(
        query=query,
        variables=json_object(members.get("variables", {}), "variables"),
        stream=_stream(members, default=True),
        chat=chat,
    )


def _query(members: Mapping[str, object]) -> str:
    return _required_text(members, "query", MAX_QUERY_CHARACTERS)


def _stream(members: Mapping[str, object], *, default: bool) -> bool:
    return boolean(members["stream"], "stream") if "stream" in members else default


def _template(members: Mapping[str, object]) -> TemplateChoice | None:
    if "template" not in members:
        lonely = next((name for name in ("label", "version") if name in members), None)
        if lonely is not None:
            raise InvalidRequest(f"`{lonely}` says which version of a `template`. Send that too.", param=lonely)
        return None
    slug = _required_text(members, "template", _MAX_SLUG_CHARACTERS)
    if "label" in members and "version" in members:
        raise InvalidRequest("Send `label` or `version`, not both.", param="version")
    version = members.get("version")
    if version is not None and (
        isinstance(version, bool) or not isinstance(version, int) or not 1 <= version <= _MAX_VERSION
    ):
        raise InvalidRequest(f"`version` must be a whole number from 1 on, not {shown(version)}.", param="version")
    label = one_of(members["label"], "label", Label.Name.values) if "label" in members else None
    return TemplateChoice(slug=slug, label=label, version=version)


def _save(value: object) -> SaveTo:
    members = known_members(json_object(value, "save"), {"template", "note"})
    return SaveTo(
        template=_required_text(members, "template", _MAX_SLUG_CHARACTERS, "save."),
        note=_text(members["note"], "save.note", _MAX_NOTE_CHARACTERS) if "note" in members else "",
    )


def _word(members: Mapping[str, object], name: str, path: str = "") -> str | None:
    value = members.get(name)
    return None if value is None else _text(value, path + name, _MAX_WORD_CHARACTERS).strip() or None


def _required_text(members: Mapping[str, object], name: str, most_characters: int, path: str = "") -> str:
    if name not in members:
        raise _missing(path + name, f"`{path}{name}` is required.")
    text = _text(members[name], path + name, most_characters)
    if not text.strip():
        raise InvalidRequest(f"`{path}{name}` is empty. Write something in it.", param=path + name)
    return text


def _text(value: object, path: str, most_characters: int) -> str:
    if not isinstance(value, str):
        raise InvalidRequest(f"`{path}` must be a string, not {shown(value)}.", param=path)
    if len(value) > most_characters:
        raise InvalidRequest(f"`{path}` has {len(value):,} characters. Send at most {most_characters:,}.", param=path)
    if "\0" in value:
        raise InvalidRequest(f"`{path}` must not contain the NUL character.", param=path)
    return value


def _missing(param: str, message: str) -> InvalidRequest:
    return InvalidRequest(message, code=Code.MISSING_FIELD, param=param)
