"""Templates as the API answers them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from apps.templates.library.differences import Difference
from apps.templates.library.drafts import variables_json, variables_of
from apps.templates.library.quotas import MAX_TEMPLATES, MAX_TEXT_BYTES, Held
from apps.templates.models import Version
from apps.templates.search import Found
from apps.templates.selectors import Described

__all__ = [
    "counts_json",
    "detail_json",
    "difference_json",
    "found_json",
    "page_json",
    "quota_json",
    "said_json",
    "template_json",
    "version_json",
    "version_variables_json",
]


def said_json(described: Described) -> dict[str, Any]:
    """Return what its owner says of a template, as it is answered and written to a file."""
    template = described.template
    return {
        "slug": template.slug,
        "title": template.title,
        "description": template.description,
        "category": template.category,
        "tags": list(described.tags),
        "language": template.language,
        "is_public": template.is_public,
        "public_from": template.public_from if template.is_public else None,
    }


def template_json(described: Described) -> dict[str, Any]:
    """Return what is said of a template, without its text."""
    template = described.template
    return {
        **said_json(described),
        "owner": None if template.owner is None else template.owner.username,
        "uses": template.uses,
        "version": described.newest,
        "labels": dict(described.labels),
        "created_at": template.created_at.isoformat(),
        "updated_at": template.updated_at.isoformat(),
    }


def detail_json(described: Described, newest: Version) -> dict[str, Any]:
    """Return a template with the text and the variables of its newest version."""
    return {**template_json(described), "text": newest.text, "variables": version_variables_json(newest)}


def version_json(version: Version, *, labels: Mapping[str, int], whole: bool) -> dict[str, Any]:
    """Return a version and the labels at it; `whole` with its text and variables."""
    said = {
        "number": version.number,
        "note": version.note,
        "labels": [name for name, number in labels.items() if number == version.number],
        "created_by": None if version.created_by is None else version.created_by.username,
        "created_at": version.created_at.isoformat(),
    }
    return {**said, "text": version.text, "variables": version_variables_json(version)} if whole else said


def version_variables_json(version: Version) -> list[dict[str, Any]]:
    """Return a version's variables, their members in our order: PostgreSQL stores them in one of its own."""
    return variables_json(variables_of(version.variables))


def difference_json(found: Difference, *, before: int, after: int) -> dict[str, Any]:
    """Return what changed between two versions."""
    return {
        "from": before,
        "to": after,
        "text": [{"op": piece.op, "text": piece.text} for piece in found.text],
        "variables": {
            "added": variables_json(found.added),
            "removed": variables_json(found.removed),
            "changed": [
                {
                    "name": one.name,
                    "before": variables_json([one.before])[0],
                    "after": variables_json([one.after])[0],
                }
                for one in found.changed
            ],
        },
    }


def found_json(found: Sequence[Found]) -> dict[str, Any]:
    """Return the results of a search, best first; they are one page."""
    return page_json(
        {
            "slug": one.slug,
            "title": one.title,
            "description": one.description,
            "category": one.category,
            "tags": list(one.tags),
            "score": one.score,
            "highlights": [
                {"field": highlight.field, "start": highlight.start, "end": highlight.end}
                for highlight in one.highlights
            ],
        }
        for one in found
    )


def counts_json(counts: Mapping[str, int]) -> dict[str, Any]:
    """Return names and how many templates each has; they are one page."""
    return page_json({"name": name, "count": count} for name, count in counts.items())


def quota_json(held: Held) -> dict[str, Any]:
    """Return what a user has of their quota."""
    return {
        "templates": {"used": held.templates, "limit": MAX_TEMPLATES},
        "text_bytes": {"used": held.text_bytes, "limit": MAX_TEXT_BYTES},
    }


def page_json(results: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a list that is one page, whatever its length."""
    return {"results": list(results), "next": None}
