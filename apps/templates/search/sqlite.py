"""The search index in SQLite: FTS5 over rows of stems.

Migration 0005 makes the tables: `prompt_templates_search_row`, and `prompt_templates_search` (rowid = template's id),
which triggers fill with the same stems, each behind the audience of its template.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.db import connection

from apps.templates.models import audiences
from apps.templates.search.index import COUNT_BOUND, Asked, Candidate, Entry, Scope, namespace
from apps.templates.search.query import Group, Variant
from apps.templates.search.rows import bounded, rows_of

__all__ = ["SQLiteIndex"]

_NAMED_POINTS = 4
"""Of a group that is in the title or the tags, beside the one point of any that matches. Only to choose candidates."""
_WEIGHT_STEPS = 100
"""Points are whole numbers: their sum is the same in whichever order they are added."""


class SQLiteIndex:
    """See `search.index.SearchIndex`."""

    def put(self, entries: Sequence[Entry]) -> None:
        """Write entries over those of the same templates."""
        with connection.cursor() as cursor:
            # A replacement would fire no trigger for what it replaces.
            cursor.executemany(
                "DELETE FROM prompt_templates_search_row WHERE template_id = %s",
                [(one.template_id,) for one in entries],
            )
            cursor.executemany(
                "INSERT INTO prompt_templates_search_row "
                "(template_id, audience, title, tags, description, text, label) VALUES (%s, %s, %s, %s, %s, %s, %s)",
                [
                    (one.template_id, one.audience, one.title, one.tags, one.description, one.text, one.label)
                    for one in entries
                ],
            )

    def clear(self) -> None:
        """Remove every entry."""
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM prompt_templates_search_row")

    def count(self, groups: Sequence[Group], user_id: int) -> list[int]:
        """Return for each group how many entries that a user may see match, up to `COUNT_BOUND`."""
        one = (
            "SELECT count(*) FROM (SELECT 1 FROM prompt_templates_search "
            f"WHERE prompt_templates_search MATCH %s LIMIT {COUNT_BOUND})"
        )
        if not groups:
            return []
        with connection.cursor() as cursor, bounded():
            cursor.execute(" UNION ALL ".join([one] * len(groups)), [_any(group, user_id) for group in groups])
            return [int(row[0]) for row in cursor.fetchall()]

    def candidates(
        self, asked: Sequence[Asked], required: Sequence[Group], scope: Scope, *, limit: int, by_name: bool = False
    ) -> list[Candidate]:
        """Return entries that match one of the groups at least and all that are required, the best `limit` of them.

        The best are those with most points, as bm25 would count rows that the caller may not see.
        """
        condition, parameters = scope.condition()
        columns = "{title tags} : " if by_name else ""
        if required:
            # Looked for once, not in each look. With the plus each of the found is looked up there, not the other way.
            condition += (
                " AND +t.id IN (SELECT rowid FROM prompt_templates_search WHERE prompt_templates_search MATCH %s)"
            )
            needed = " AND ".join(_any(group, scope.user_id) for group in required)
            parameters = [*parameters, f"{columns}({needed})"]
        looks: list[str | int] = []
        for one in asked:
            points = max(1, round(one.weight * _WEIGHT_STEPS))
            match = _any(one.group, scope.user_id)
            looks += [points, f"{columns}{match}"]
            if not by_name:
                looks += [_NAMED_POINTS * points, f"{{title tags}} : {match}"]
        look = "SELECT rowid AS id, %s AS points FROM prompt_templates_search WHERE prompt_templates_search MATCH %s"
        # CROSS JOIN: in this order, or each of the user's templates is looked up in the index.
        rows = rows_of(
            "SELECT s.template_id, s.title, s.tags, s.description, s.text, s.label, chosen.uses FROM ("
            "SELECT t.id, t.uses, found.points FROM ("
            f"SELECT id, sum(points) AS points FROM ({' UNION ALL '.join([look] * (len(looks) // 2))}) GROUP BY id"
            ") found CROSS JOIN prompt_templates_template t ON t.id = found.id "
            f"WHERE {condition} ORDER BY found.points DESC, t.uses DESC, t.id LIMIT %s) chosen "
            "CROSS JOIN prompt_templates_search_row s ON s.template_id = chosen.id",
            "template_id, title, tags, description, text, label, uses",
            [*looks, *parameters, limit],
        )
        return [
            Candidate(template_id=row[0], fields=(row[1], row[2], row[3], row[4]), label=row[5], uses=row[6])
            for row in rows
        ]


def _any(group: Group, user_id: int) -> str:
    spaces = dict.fromkeys(map(namespace, audiences(user_id)))
    return f"({' OR '.join(_phrase(variant, space) for variant in group.variants for space in spaces)})"


def _phrase(variant: Variant, space: str) -> str:
    # Stems are letters, digits and marks alone: nothing in them ends the string.
    return f'"{" ".join(f"{space}{stem}" for stem in variant.stems)}"{" *" if variant.is_prefix else ""}'
