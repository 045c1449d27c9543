"""What requests about templates ask for in their queries and bodies, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from apps.llm.errors import Code, InvalidRequest, NotFound
from apps.templates.categories import TEMPLATE_CATEGORIES
from apps.templates.library.cursors import Ordering, Place
from apps.templates.library.drafts import LABELS
from apps.templates.selectors import Filters

__all__ = [
    "ListQuery",
    "RenderQuery",
    "body_number",
    "list_query",
    "number_of",
    "path_number",
    "render_query",
    "search_query",
]

MAX_QUERY_CHARACTERS = 1_000
MAX_LIMIT = 100
DEFAULT_LIMIT = 20
_MOST_NUMBER = 2**31 - 1
_FLAGS = {"1": True, "true": True, "0": False, "false": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListQuery:
    """Which templates, in which order, from where on."""

    filters: Filters
    ordering: Ordering | None
    limit: int
    after: Place | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderQuery:
    """With which values; at most one of `version` and `label` is set."""

    values: Mapping[str, object]
    version: int | None
    label: str | None


def list_query(query: Mapping[str, str]) -> ListQuery:
    """Return what a list is asked for. Raises InvalidRequest naming the parameter."""
    # An empty search is a list: forms send every field.
    search = _text(query, "search") or None
    ordering = _ordering(query.get("ordering"))
    after = query.get("after")
    if search is not None and after is not None:
        raise InvalidRequest("A search has one page. Raise `limit` for more of it.", param="after")
    return ListQuery(
        filters=_filters(query, search),
        ordering=ordering,
        limit=_limit(query),
        after=None if after is None else Place.read(after, ordering or Ordering.NEWEST),
    )


def search_query(query: Mapping[str, str]) -> ListQuery:
    """Return what a search is asked for. Raises InvalidRequest naming the parameter."""
    return ListQuery(filters=_filters(query, _text(query, "q")), ordering=None, limit=_limit(query), after=None)


def render_query(body: Mapping[str, object]) -> RenderQuery:
    """Return what to render with. Raises InvalidRequest naming the field."""
    values = body.get("variables", {})
    if not isinstance(values, Mapping):
        raise InvalidRequest("`variables` must be an object.", param="variables")
    version, label = body.get("version"), body.get("label")
    if version is not None and label is not None:
        raise InvalidRequest("`version` and `label` both say which version. Send one of them.", param="label")
    if label is not None and label not in LABELS:
        raise InvalidRequest(f"`label` must be one of {', '.join(LABELS)}.", param="label")
    return RenderQuery(
        values=values,
        version=None if version is None else body_number(body, "version"),
        label=None if label is None else str(label),
    )


def body_number(body: Mapping[str, object], name: str) -> int:
    """Return the number of a version that a body names. Raises InvalidRequest."""
    if name not in body:
        raise InvalidRequest(f"`{name}` is required.", code=Code.MISSING_FIELD, param=name)
    number = body[name]
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= _MOST_NUMBER:
        raise InvalidRequest(f"`{name}` must be the number of a version.", param=name)
    return number


def number_of(query: Mapping[str, str], name: str) -> int:
    """Return the number of a version that a query names. Raises InvalidRequest."""
    if name not in query:
        raise InvalidRequest(f"`{name}` is required.", code=Code.MISSING_FIELD, param=name)
    number = _number(query[name], most=_MOST_NUMBER)
    if number is None:
        raise InvalidRequest(f"`{name}` must be the number of a version.", param=name)
    return number


def path_number(text: str) -> int:
    """Return the number of a version that a path names. Raises NotFound: no version is called anything else."""
    number = _number(text, most=_MOST_NUMBER)
    if number is None:
        raise NotFound("The template has no version of this number.")
    return number


def _filters(query: Mapping[str, str], search: str | None) -> Filters:
    category = query.get("category") or None
    if category is not None and category not in TEMPLATE_CATEGORIES:
        raise InvalidRequest(f"`category` must be one of {', '.join(TEMPLATE_CATEGORIES)}.", param="category")
    mine = query.get("mine") or None
    if mine is not None and mine not in _FLAGS:
        raise InvalidRequest("`mine` must be `1` or `0`.", param="mine")
    tag = _text(query, "tag")
    return Filters(
        search=search,
        category=category,
        tag=tag.strip().lower() or None,
        language=_text(query, "language") or None,
        mine=None if mine is None else _FLAGS[mine],
    )


def _ordering(text: str | None) -> Ordering | None:
    if not text:
        return None
    try:
        return Ordering(text)
    except ValueError:
        raise InvalidRequest(f"`ordering` must be one of {', '.join(Ordering)}.", param="ordering") from None


def _limit(query: Mapping[str, str]) -> int:
    limit = _number(query.get("limit") or str(DEFAULT_LIMIT), most=MAX_LIMIT)
    if limit is None:
        raise InvalidRequest(f"`limit` is a whole number from 1 to {MAX_LIMIT}.", param="limit")
    return limit


def _number(text: str, *, most: int) -> int | None:
    if not (text.isascii() and text.isdigit() and len(text) <= 16 and 1 <= int(text) <= most):
        return None
    return int(text)


def _text(query: Mapping[str, str], name: str) -> str:
    text = query.get(name, "")
    if len(text) > MAX_QUERY_CHARACTERS:
        raise InvalidRequest(f"`{name}` must have at most {MAX_QUERY_CHARACTERS:,} characters.", param=name)
    if "\0" in text:
        raise InvalidRequest(f"`{name}` must not contain the NUL character.", param=name)
    return text
