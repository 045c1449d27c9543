"""What `/api/v2/schema/` says of this app's operations. Bodies only: errors are the same everywhere."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse

from apps.templates.categories import TEMPLATE_CATEGORIES
from apps.templates.library import declarations, drafts, queries
from apps.templates.library.cursors import Ordering
from apps.templates.library.portable import MAX_IMPORTED
from apps.templates.variables import VariableType

__all__ = [
    "CATEGORIES_LIST",
    "CREATE",
    "DELETE",
    "EXPORT",
    "IMPORT",
    "LABEL_LIST",
    "LABEL_MOVE",
    "LABEL_REMOVE",
    "LIST",
    "QUOTA",
    "READ",
    "RENDER",
    "SEARCH",
    "TAG_LIST",
    "UPDATE",
    "VERSION_CREATE",
    "VERSION_DIFFERENCE",
    "VERSION_LIST",
    "VERSION_READ",
]

_Schema = dict[str, Any]


def _object(absent: tuple[str, ...] = (), /, **properties: _Schema) -> _Schema:
    required = [name for name in properties if name not in absent]
    return {"type": "object", "properties": properties, **({"required": required} if required else {})}


def _sent(absent: tuple[str, ...], /, **properties: _Schema) -> _Schema:
    """Describe an object that callers send: those of its members that may be absent may be null as well."""
    return _object(
        absent, **{name: _or_null(schema) if name in absent else schema for name, schema in properties.items()}
    )


def _or_null(schema: _Schema) -> _Schema:
    if not isinstance(schema.get("type"), str):
        return schema
    allowed = {**schema, "type": [schema["type"], "null"]}
    return {**allowed, "enum": [*schema["enum"], None]} if "enum" in schema else allowed


def _array(items: _Schema, **limits: Any) -> _Schema:
    return {"type": "array", "items": items, **limits}


def _text(**limits: Any) -> _Schema:
    return {"type": "string", **limits}


def _body(schema: _Schema) -> _Schema:
    return {"application/json": schema}


def _path(name: str, description: str) -> OpenApiParameter:
    return OpenApiParameter(name, OpenApiTypes.STR, OpenApiParameter.PATH, description=description)


def _query(name: str, description: str, schema: _Schema, *, required: bool = False) -> OpenApiParameter:
    return OpenApiParameter(name, schema, OpenApiParameter.QUERY, description=description, required=required)


_WHOLE = {"type": "integer"}
_NUMBER = {"type": "integer", "minimum": 1, "maximum": 2**31 - 1}
_FLAG = {"type": "boolean"}
_TIME = _text(format="date-time")
_NAMES = _array(_text())
_OR_NOTHING = {"type": ["string", "null"]}
_CATEGORY = _text(enum=list(TEMPLATE_CATEGORIES))
_LABEL = _text(enum=list(drafts.LABELS))
_LABELS = _object(drafts.LABELS, **dict.fromkeys(drafts.LABELS, _NUMBER))
_DEFAULT = {
    "description": "Null for a required variable.",
    "oneOf": [{"type": ["string", "number", "boolean", "null"]}, _NAMES],
}

_VARIABLE = _object(
    name=_text(),
    type=_text(enum=list(VariableType)),
    required=_FLAG,
    default=_DEFAULT,
    choices=_NAMES,
    help=_text(),
)
_SENT_VARIABLE = _sent(
    ("required", "default", "choices", "help"),
    name=_text(pattern="^[a-z][a-z0-9_]{0,63}$"),
    type=_text(enum=list(VariableType)),
    required={**_FLAG, "description": "Absent: whether there is no default."},
    default=_DEFAULT,
    choices=_array(
        _text(minLength=1, maxLength=declarations.MAX_CHOICE_CHARACTERS),
        maxItems=declarations.MAX_CHOICES,
        uniqueItems=True,
    ),
    help=_text(maxLength=declarations.MAX_HELP_CHARACTERS),
)
_SAID: dict[str, _Schema] = {
    "title": _text(minLength=1, maxLength=drafts.MAX_TITLE_CHARACTERS),
    "description": _text(maxLength=drafts.MAX_DESCRIPTION_CHARACTERS),
    "category": {**_CATEGORY, "description": "Absent in a new template: what its newest text asks for."},
    "tags": _array(_text(minLength=1, maxLength=drafts.MAX_TAG_CHARACTERS), maxItems=drafts.MAX_TAGS),
    "language": _text(maxLength=8, pattern=f"^{drafts.LANGUAGE.pattern}$", examples=["en", "pt-BR"]),
    "is_public": {**_FLAG, "description": "Whether everybody may see it. True is for staff to send."},
}
_SLUG = _text(pattern=f"^{drafts.SLUG.pattern}$", description="Absent: made from the title.")
_WRITTEN: dict[str, _Schema] = {
    "text": _text(minLength=1, maxLength=drafts.MAX_TEXT_CHARACTERS, examples=["Write to {{ name }}."]),
    "variables": _array(
        _SENT_VARIABLE,
        maxItems=declarations.MAX_VARIABLES,
        description="Of the text; a placeholder that is not declared is a required string.",
    ),
    "note": _text(maxLength=drafts.MAX_NOTE_CHARACTERS, description="What this version is about."),
}

_LISTED: dict[str, _Schema] = {
    "slug": _text(),
    "title": _text(),
    "description": _text(),
    "category": _CATEGORY,
    "tags": _NAMES,
    "language": _text(),
    "is_public": _FLAG,
    "public_from": {
        "type": ["integer", "null"],
        "minimum": 1,
        "description": "The first version that everybody may see. Null: the template is private.",
    },
    "owner": {**_OR_NOTHING, "description": "A user's name; null for the starter library."},
    "uses": {**_WHOLE, "description": "How many users have rendered it."},
    "version": {**_NUMBER, "description": "The newest one's number."},
    "labels": _LABELS,
    "created_at": _TIME,
    "updated_at": _TIME,
}
_TEMPLATE = _object(**_LISTED, text=_text(), variables=_array(_VARIABLE))
_LISTED_VERSION: dict[str, _Schema] = {
    "number": _NUMBER,
    "note": _text(),
    "labels": _array(_LABEL),
    "created_by": _OR_NOTHING,
    "created_at": _TIME,
}
_VERSION = _object(**_LISTED_VERSION, text=_text(), variables=_array(_VARIABLE))
_DIFFERENCE = _object(
    **{
        "from": _NUMBER,
        "to": _NUMBER,
        "text": _array(
            _object(op=_text(enum=["equal", "delete", "insert"]), text=_text()),
            description="Whole lines. Without the insertions they make the one text, without the deletions the other.",
        ),
        "variables": _object(
            added=_array(_VARIABLE),
            removed=_array(_VARIABLE),
            changed=_array(_object(name=_text(), before=_VARIABLE, after=_VARIABLE)),
        ),
    }
)
_FOUND = _object(
    slug=_text(),
    title=_text(),
    description=_text(),
    category=_CATEGORY,
    tags=_NAMES,
    score={"type": "number"},
    highlights=_array(_object(field=_text(enum=["title", "description"]), start=_WHOLE, end=_WHOLE)),
)
_ONE_PAGE = {"type": "null", "description": "All of it is on this page."}
_COUNTS = _object(results=_array(_object(name=_text(), count=_WHOLE)), next=_ONE_PAGE)
_PORTABLE_VERSION = _object(("number", "note", "variables"), number=_NUMBER, **_WRITTEN)
_PORTABLE = _object(
    ("slug", "description", "category", "tags", "language", "is_public", "public_from", "labels"),
    slug=_SLUG,
    **_SAID,
    public_from=_LISTED["public_from"],
    labels=_LABELS,
    versions=_array(_PORTABLE_VERSION, minItems=1, maxItems=drafts.MAX_VERSIONS),
)
_IMPORTED = {
    "description": "A template or a list of them, as exports have them; or as `POST /api/v2/templates/` takes them.",
    "oneOf": [{"type": "object"}, _array({"type": "object"}, minItems=1, maxItems=MAX_IMPORTED)],
}

_OF_SLUG = _path("slug", "A template's slug: your own one, else the public one.")
_FILTERS = [
    _query("category", "Of this category.", _CATEGORY),
    _query("tag", "With this tag.", _text()),
    _query("language", "In this language.", _text()),
    _query(
        "limit", "How many at most.", {"type": "integer", "minimum": 1, "maximum": queries.MAX_LIMIT, "default": 20}
    ),
]


def _operation(name: str, *, path: list[OpenApiParameter] | None = None, **more: Any) -> dict[str, Any]:
    parameters = [*(path or []), *more.pop("parameters", [])]
    return {"operation_id": name, "tags": ["templates"], "parameters": parameters, **more}


_GONE = {204: OpenApiResponse(description="It is gone. No body.")}

LIST = _operation(
    "template_list",
    parameters=[
        _query("search", "Words to look for; the answer then is one page, best matches first.", _text()),
        _query("ordering", "Absent: newest first.", _text(enum=list(Ordering))),
        *_FILTERS,
        _query("mine", "Your own alone, or all but those.", _text(enum=["1", "0", "true", "false"])),
        _query("after", "The `next` of the page before.", _text()),
    ],
    responses={200: _object(results=_array(_object(**_LISTED)), next=_OR_NOTHING)},
)
CREATE = _operation(
    "template_create",
    request=_body(
        _sent(
            ("slug", "description", "category", "tags", "language", "is_public", "variables", "note"),
            slug=_SLUG,
            **_SAID,
            **_WRITTEN,
        )
    ),
    responses={201: _TEMPLATE},
)
READ = _operation("template_read", path=[_OF_SLUG], responses={200: _TEMPLATE})
UPDATE = _operation(
    "template_update",
    path=[_OF_SLUG],
    request=_body(_sent(("slug", *_SAID, *_WRITTEN), slug=_SLUG, **_SAID, **_WRITTEN)),
    responses={200: _TEMPLATE},
)
DELETE = _operation("template_delete", path=[_OF_SLUG], responses=_GONE)
VERSION_LIST = _operation(
    "version_list",
    path=[_OF_SLUG],
    responses={200: _object(results=_array(_object(**_LISTED_VERSION)), next=_ONE_PAGE)},
)
VERSION_CREATE = _operation(
    "version_create",
    path=[_OF_SLUG],
    request=_body(_sent(("variables", "note"), **_WRITTEN)),
    responses={201: _VERSION},
)
VERSION_READ = _operation(
    "version_read", path=[_OF_SLUG, _path("number", "A version's number.")], responses={200: _VERSION}
)
VERSION_DIFFERENCE = _operation(
    "version_difference",
    path=[_OF_SLUG],
    parameters=[
        _query("from", "The number of the one version.", _NUMBER, required=True),
        _query("to", "The number of the other.", _NUMBER, required=True),
    ],
    responses={200: _DIFFERENCE},
)
_LABELLED = _object(labels=_LABELS)
_OF_LABEL = OpenApiParameter("name", _LABEL, OpenApiParameter.PATH, description="A label.")
LABEL_LIST = _operation("label_list", path=[_OF_SLUG], responses={200: _LABELLED})
LABEL_MOVE = _operation(
    "label_move", path=[_OF_SLUG, _OF_LABEL], request=_body(_object(version=_NUMBER)), responses={200: _LABELLED}
)
LABEL_REMOVE = _operation("label_remove", path=[_OF_SLUG, _OF_LABEL], responses=_GONE)
RENDER = _operation(
    "template_render",
    path=[_OF_SLUG],
    request=_body(
        _object(
            ("variables", "version", "label"),
            variables={"type": "object", "description": "Values by the names of variables."},
            version={**_NUMBER, "description": "This version, whatever its labels."},
            label={**_LABEL, "description": "The version that this label stands at."},
        )
    ),
    responses={200: _object(text=_text(), version=_NUMBER, variables={"type": "object"})},
)
EXPORT = _operation(
    "template_export",
    path=[_OF_SLUG],
    parameters=[_query("format", "The form of the file.", _text(enum=["json", "yaml"], default="json"))],
    responses={(200, "application/json"): _PORTABLE, (200, "application/yaml"): _PORTABLE},
)
IMPORT = _operation(
    "template_import",
    request={"application/json": _IMPORTED, "application/yaml": _IMPORTED},
    responses={201: _object(results=_array(_object(**_LISTED)), next=_ONE_PAGE)},
)
_HELD = _object(used=_WHOLE, limit=_WHOLE)
QUOTA = _operation("template_quota", responses={200: _object(templates=_HELD, text_bytes=_HELD)})
SEARCH = _operation(
    "template_search",
    parameters=[_query("q", "Words, as people type them. Absent: what is used most.", _text()), *_FILTERS],
    responses={200: _object(results=_array(_FOUND), next=_ONE_PAGE)},
)
CATEGORIES_LIST = _operation("category_list", responses={200: _COUNTS})
TAG_LIST = _operation("tag_list", responses={200: _COUNTS})
