"""What a caller sends of a template, checked field by field: bounds, names, and that text and variables agree."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from apps.core.look_alikes import latin_form
from apps.templates.categories import TEMPLATE_CATEGORIES
from apps.templates.library.declarations import variables_agreed, variables_json, variables_of, variables_read
from apps.templates.library.fields import Fields, fields_of
from apps.templates.rules.sure_intent import sure_category
from apps.templates.variables import Variable

__all__ = [
    "LABELS",
    "MAX_TEXT_CHARACTERS",
    "SLUG",
    "TemplateChange",
    "TemplateDraft",
    "VersionDraft",
    "is_reserved",
    "published_from",
    "tags_of",
    "template_change",
    "template_draft",
    "variables_json",
    "variables_of",
    "version_draft",
]

SLUG = re.compile(r"[A-Za-z0-9_-]{1,100}")
LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z]{2,4})?")
RESERVED_SLUGS = frozenset({"categories", "import", "quota", "search", "tags"})
"""They are paths beside the templates; slugs that look like them are reserved too."""
LABELS = ("production", "staging")
MAX_TITLE_CHARACTERS = 200
MAX_DESCRIPTION_CHARACTERS = 2_000
MAX_TEXT_CHARACTERS = 1_000_000
MAX_NOTE_CHARACTERS = 500
MAX_TAGS = 20
MAX_TAG_CHARACTERS = 50
MAX_VERSIONS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionDraft:
    """A version before it has a number; its text uses exactly its variables."""

    text: str
    variables: tuple[Variable, ...]
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateDraft:
    """A template before it is stored: its versions from the first on, and the numbers that labels stand at."""

    slug: str | None
    """None: made from the title."""
    title: str
    description: str
    category: str
    tags: tuple[str, ...]
    language: str
    versions: tuple[VersionDraft, ...]
    labels: Mapping[str, int]
    public_from: int | None = None
    """The number of the first version that everybody is to see; None: the template is private."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateChange:
    """What is to be changed of a template; None for what stays. Text or variables make a new version."""

    slug: str | None = None
    title: str | None = None
    description: str | None = None
    category: str | None = None
    tags: tuple[str, ...] | None = None
    language: str | None = None
    is_public: bool | None = None
    text: str | None = None
    variables: tuple[Variable, ...] | None = None
    note: str = ""


def template_draft(body: object, at: str = "") -> TemplateDraft:
    """Return the template that an object describes: with `text` and `variables`, or with `versions` and `labels`.

    `at` is where the object stands in what was sent. Raises InvalidRequest naming the field.
    """
    fields = fields_of(body, at)
    if "versions" in fields.body:
        items = fields.items("versions", most=MAX_VERSIONS)
        if not items:
            raise fields.refusal("versions", "must have at least one version")
        versions = tuple(
            _numbered(item, f"{fields.param('versions')}[{index}]", index + 1) for index, item in enumerate(items)
        )
    else:
        versions = (version_draft(body, at),)
    labels = _labels(fields, most=len(versions))
    return TemplateDraft(
        slug=None if fields.body.get("slug") is None else _slug(fields),
        title=_title(fields),
        description=_description(fields),
        category=_category(fields) if "category" in fields.body else sure_category(versions[-1].text),
        tags=tags_of(fields) if "tags" in fields.body else (),
        language=_language(fields) if "language" in fields.body else "en",
        versions=versions,
        labels=labels,
        public_from=_public_from(fields, labels, newest=len(versions)),
    )


def template_change(body: Mapping[str, object]) -> TemplateChange:
    """Return what an object changes. Raises InvalidRequest naming the field."""
    fields = Fields(body=body)
    return TemplateChange(
        slug=_slug(fields) if "slug" in body else None,
        title=_title(fields) if "title" in body else None,
        description=_description(fields) if "description" in body else None,
        category=_category(fields) if "category" in body else None,
        tags=tags_of(fields) if "tags" in body else None,
        language=_language(fields) if "language" in body else None,
        is_public=fields.flag("is_public", default=False) if "is_public" in body else None,
        text=_text(fields) if "text" in body else None,
        variables=variables_read(fields) if "variables" in body else None,
        note=_note(fields),
    )


def version_draft(body: object, at: str = "") -> VersionDraft:
    """Return the version that an object describes. Raises InvalidRequest naming the field."""
    fields = fields_of(body, at)
    text = _text(fields)
    variables = variables_agreed(text, variables_read(fields), at)
    return VersionDraft(text=text, variables=variables, note=_note(fields))


def is_reserved(slug: str) -> bool:
    """Tell whether a slug looks like a path beside the templates."""
    return latin_form(slug) in map(latin_form, RESERVED_SLUGS)


def _title(fields: Fields) -> str:
    return fields.line("title", most=MAX_TITLE_CHARACTERS)


def _description(fields: Fields) -> str:
    return fields.text("description", most=MAX_DESCRIPTION_CHARACTERS, optional=True)


def _text(fields: Fields) -> str:
    return fields.text("text", most=MAX_TEXT_CHARACTERS)


def _note(fields: Fields) -> str:
    return fields.text("note", most=MAX_NOTE_CHARACTERS, optional=True)


def _slug(fields: Fields) -> str:
    slug = fields.text("slug", most=100)
    if not SLUG.fullmatch(slug):
        raise fields.refusal("slug", "takes letters, digits, `-` and `_`")
    if is_reserved(slug):
        raise fields.refusal("slug", f"must be none of {', '.join(sorted(RESERVED_SLUGS))}")
    return slug


def _category(fields: Fields) -> str:
    category = fields.text("category", most=32)
    if category not in TEMPLATE_CATEGORIES:
        raise fields.refusal("category", f"must be one of {', '.join(TEMPLATE_CATEGORIES)}")
    return category


def _language(fields: Fields) -> str:
    language = fields.text("language", most=8)
    if not LANGUAGE.fullmatch(language):
        raise fields.refusal("language", "must be a code such as `en` or `pt-BR`")
    return language


def tags_of(fields: Fields) -> tuple[str, ...]:
    """Return the tags that a template is to have, as they are stored: one spelling each, in order."""
    tags = fields.strings("tags", most=MAX_TAGS, most_characters=MAX_TAG_CHARACTERS)
    # One word in several spellings would be several tags, each with some of the templates.
    return tuple(sorted({tag.strip().lower()[:MAX_TAG_CHARACTERS] for tag in tags}))


def _labels(fields: Fields, *, most: int) -> dict[str, int]:
    labels = fields.body.get("labels", {})
    if not isinstance(labels, Mapping):
        raise fields.refusal("labels", "must be an object")
    for name, number in labels.items():
        if name not in LABELS:
            raise fields.refusal("labels", f"may name {' and '.join(LABELS)}")
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= most:
            raise fields.refusal(f"labels.{name}", "must be the number of a version")
    return {name: labels[name] for name in LABELS if name in labels}


def published_from(labels: Mapping[str, int], *, newest: int) -> int:
    """Return the number of the version that is published with a template: production's, else the newest."""
    return labels.get("production", newest)


def _public_from(fields: Fields, labels: Mapping[str, int], *, newest: int) -> int | None:
    if not fields.flag("is_public", default=False):
        return None
    published = published_from(labels, newest=newest)
    number = fields.body.get("public_from")
    if number is None:
        return published
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= published:
        raise fields.refusal("public_from", f"must be the number of a version, {published} at most")
    return number


def _numbered(item: object, at: str, number: int) -> VersionDraft:
    fields = fields_of(item, at)
    stated = fields.body.get("number", number)
    if isinstance(stated, bool) or stated != number:
        raise fields.refusal("number", f"must be {number}: versions come in order, from 1")
    return version_draft(item, at)
