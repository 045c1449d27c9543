"""Which templates the index has, in the same statements on both databases. Migration 0005 makes the table.

When a row of it is deleted, triggers take the rest of the entry out of the index, its words too. The deletion of a
template deletes its row, and so does what moves a template to another audience: it has to be indexed anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson
from django.db import connection

from apps.templates.models import audiences
from apps.templates.search.databases import search_index
from apps.templates.search.dictionary import words_change
from apps.templates.search.index import Entry

__all__ = ["entries_clear", "entries_count", "entries_put"]


def entries_put(entries: Sequence[Entry]) -> None:
    """Write entries over those of the same templates."""
    audiences_now = {entry.template_id: entry.audience for entry in entries}
    _lock(audiences_now)
    kept = _kept(list(audiences_now))
    stay = {one: words for one, (audience, words) in kept.items() if audiences_now[one] == audience}
    words = words_change({entry.template_id: (entry.audience, entry.words) for entry in entries}, before=stay)
    with connection.cursor() as cursor:
        cursor.executemany(
            "DELETE FROM prompt_templates_search_entry WHERE template_id = %s", [(one,) for one in kept.keys() - stay]
        )
        cursor.executemany(
            "INSERT INTO prompt_templates_search_entry (template_id, audience, words) VALUES (%s, %s, %s) "
            "ON CONFLICT (template_id) DO UPDATE SET words = excluded.words",
            [(one.template_id, one.audience, orjson.dumps(words[one.template_id]).decode()) for one in entries],
        )
    search_index().put(entries)


def entries_clear() -> None:
    """Remove every entry."""
    search_index().clear()
    with connection.cursor() as cursor:
        # In this order, or each entry is taken out of the rest word by word.
        for table in ("piece", "word", "entry"):
            cursor.execute(f"DELETE FROM prompt_templates_search_{table}")


def entries_count(user_id: int) -> int:
    """Return how many entries a user may see."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM prompt_templates_search_entry WHERE audience IN (%s, %s)", [*audiences(user_id)]
        )
        return int(cursor.fetchone()[0])


def _kept(template_ids: Sequence[int]) -> dict[int, tuple[int, list[str]]]:
    """Return the audience and the words of the entries that these templates have."""
    places = ", ".join(["%s"] * len(template_ids)) or "NULL"
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT template_id, audience, words FROM prompt_templates_search_entry WHERE template_id IN ({places})",
            [*template_ids],
        )
        return {template_id: (audience, orjson.loads(words)) for template_id, audience, words in cursor.fetchall()}


def _lock(audiences_now: Mapping[int, int]) -> None:
    """Lock the words of these audiences, and of those that the templates' entries have now, until the commit."""
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT prompt_templates_search_lock(%s::bigint[] || ARRAY("
            "SELECT audience FROM prompt_templates_search_entry WHERE template_id = ANY(%s)))",
            [[*audiences_now.values()], [*audiences_now]],
        )
