"""How lists of templates are ordered, and where in such a list a page has ended."""

from __future__ import annotations

import base64
import binascii
import enum
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

import orjson
from django.db.models import Q

from apps.llm.errors import InvalidRequest
from apps.templates.models import Template

__all__ = ["Ordering", "Place"]

_MOST_CHARACTERS = 2_000
_MOST_NUMBER = 2**63 - 1

_Key = datetime | str | int


class Ordering(enum.StrEnum):
    """The closed list of orders. Equal ones stand by their slugs, in the same direction.

    Not by their ids: these count the templates of everybody, and a page's end names the place of its last one.
    """

    OLDEST = "created_at"
    NEWEST = "-created_at"
    FIRST_CHANGED = "updated_at"
    LAST_CHANGED = "-updated_at"
    TITLE = "title"
    TITLE_BACKWARDS = "-title"
    LEAST_USED = "uses"
    MOST_USED = "-uses"

    @property
    def field(self) -> str:
        """The column that it goes by."""
        return self.value.removeprefix("-")

    @property
    def columns(self) -> tuple[str, str, str]:
        """What `order_by` takes. Of one slug there are two at most: the caller's own and a public one."""
        sign = "-" if self.value.startswith("-") else ""
        return self.value, f"{sign}slug", f"{sign}is_public"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A row's place in an ordered list. It stays where it is when rows come and go, the row itself included."""

    ordering: Ordering
    key: _Key
    slug: str
    is_public: bool

    @classmethod
    def of(cls, template: Template, ordering: Ordering) -> Self:
        """Return the place of a template."""
        return cls(
            ordering=ordering, key=getattr(template, ordering.field), slug=template.slug, is_public=template.is_public
        )

    def condition(self) -> Q:
        """Return what rows behind this place fulfil."""
        comparison = "lt" if self.ordering.startswith("-") else "gt"
        field = self.ordering.field
        equal = Q(**{f"slug__{comparison}": self.slug}) | Q(
            **{"slug": self.slug, f"is_public__{comparison}": self.is_public}
        )
        return Q(**{f"{field}__{comparison}": self.key}) | Q(equal, **{field: self.key})

    def written(self) -> str:
        """Return it as an opaque text that is safe in a query."""
        key = self.key.isoformat() if isinstance(self.key, datetime) else self.key
        data = orjson.dumps([self.ordering.value, key, self.slug, self.is_public])
        return base64.urlsafe_b64encode(data).decode().rstrip("=")

    @classmethod
    def read(cls, text: str, ordering: Ordering) -> Self:
        """Return the place that `written` wrote for this order. Raises InvalidRequest for anything else."""
        try:
            if len(text) > _MOST_CHARACTERS:
                raise ValueError("too long")
            data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            name, key, slug, is_public = orjson.loads(data)
            if name != ordering or not isinstance(slug, str) or "\0" in slug or not isinstance(is_public, bool):
                raise ValueError("of another list")
            return cls(ordering=ordering, key=_key(ordering, key), slug=slug, is_public=is_public)
        except (ValueError, TypeError, OverflowError, binascii.Error) as error:
            raise InvalidRequest("`after` is not the `next` of a page in this order.", param="after") from error


def _key(ordering: Ordering, key: object) -> _Key:
    match ordering.field:
        case "title" if isinstance(key, str) and "\0" not in key:
            return key
        case "uses" if isinstance(key, int) and _is_number(key):
            return key
        case "created_at" | "updated_at" if isinstance(key, str):
            instant = datetime.fromisoformat(key)
            if instant.tzinfo is None:
                raise ValueError("no time zone")
            return instant.astimezone(UTC)
    raise ValueError("of another type")


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_NUMBER
