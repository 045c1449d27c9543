"""How many templates, and how much text, a user may have; what counts, and that no two writers exceed it together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from django.contrib.auth import get_user_model
from django.db.models import Count, Sum

from apps.llm.errors import InvalidRequest
from apps.templates.library.drafts import VersionDraft, variables_json
from apps.templates.models import Template

__all__ = ["MAX_TEMPLATES", "MAX_TEXT_BYTES", "Held", "held_by", "quota_check", "quota_take", "text_bytes_of"]

MAX_TEMPLATES = 2_000
MAX_TEXT_BYTES = 50 * 1024 * 1024
LEAST_VERSION_BYTES = 1_024
"""What a version counts at least, so that very many small ones have a bound too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a user has of what they may have."""

    templates: int
    text_bytes: int


def text_bytes_of(versions: Sequence[VersionDraft]) -> int:
    """Return what versions count: text, note and variables as JSON, in bytes of UTF-8, and 1 KiB each at least."""
    return sum(max(LEAST_VERSION_BYTES, _bytes_of(version)) for version in versions)


def _bytes_of(version: VersionDraft) -> int:
    variables = len(orjson.dumps(variables_json(version.variables))) if version.variables else 0
    return len(version.text.encode()) + len(version.note.encode()) + variables


def held_by(user_id: int) -> Held:
    """Return what a user has. One index holds it all: 2,000 entries of it are read at most."""
    # Ordered by nothing: the default order would be a sort.
    found = Template.objects.filter(owner_id=user_id).order_by().aggregate(count=Count("pk"), size=Sum("text_bytes"))
    return Held(templates=found["count"], text_bytes=found["size"] or 0)


def quota_check(user_id: int, *, templates: int = 0, text_bytes: int) -> None:
    """Raise InvalidRequest if a user may not have so much more."""
    held = held_by(user_id)
    if held.templates + templates > MAX_TEMPLATES:
        raise InvalidRequest(
            f"A user may have {MAX_TEMPLATES:,} templates; {held.templates:,} are there. Delete some, or import fewer."
        )
    if held.text_bytes + text_bytes > MAX_TEXT_BYTES:
        raise InvalidRequest(
            f"The templates of a user may hold {MAX_TEXT_BYTES:,} bytes of text, all versions together; "
            f"{held.text_bytes:,} are there. Delete templates that you no longer need.",
            param="text",
        )


def quota_take(user_id: int, *, templates: int = 0, text_bytes: int) -> None:
    """Do the same in the transaction that adds them; until it ends, nobody else adds to what the user has.

    PostgreSQL locks the user's row for it, last of all that the transaction locks; SQLite has one writer anyway.
    """
    users = get_user_model()._default_manager.select_for_update(no_key=True)
    users.filter(pk=user_id).order_by().values_list("pk").first()
    quota_check(user_id, templates=templates, text_bytes=text_bytes)
