"""The search index in PostgreSQL: full text search over rows of stems. Migration 0002 makes `prompt_templates_search`.

The vectors are made here, stem by stem: no dictionary of the server's has a say, so that every server finds what SQLite
finds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from django.db import connection

from apps.templates.models import audiences
from apps.templates.search.index import COUNT_BOUND, Asked, Candidate, Entry, Scope, namespace
from apps.templates.search.query import Group, Variant

__all__ = ["PostgreSQLIndex"]

# Of text, description, tags, title. Only for the choice of candidates.
_WEIGHTS = [0.1, 0.4, 0.7, 1.0]
# What PostgreSQL keeps: the last position there is, and how many of a word.
_LAST_POSITION = 16_383
_MOST_POSITIONS = 200


class PostgreSQLIndex:
    """See `search.index.SearchIndex`."""

    def put(self, entries: Sequence[Entry]) -> None:
        """Write entries over those of the same templates."""
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO prompt_templates_search (template_id, title, tags, description, text, label, words, head) "
                "VALUES (%s, %s, %s, %s, %s, %s, %s::tsvector, %s::tsvector) ON CONFLICT (template_id) DO UPDATE SET "
                "title = excluded.title, tags = excluded.tags, description = excluded.description, "
                "text = excluded.text, label = excluded.label, words = excluded.words, head = excluded.head",
                [_row(entry) for entry in entries],
            )

    def clear(self) -> None:
        """Remove every entry."""
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM prompt_templates_search")

    def count(self, groups: Sequence[Group], user_id: int) -> list[int]:
        """Return for each group how many entries that a user may see match, up to `COUNT_BOUND`."""
        if not groups:
            return []
        one = f"prompt_templates_search_count(%s::tsquery, {COUNT_BOUND})"
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {', '.join([one] * len(groups))}", [_countable(group, user_id) for group in groups])
            return [int(count) for count in cursor.fetchone()]

    def candidates(
        self, asked: Sequence[Asked], required: Sequence[Group], scope: Scope, *, limit: int, by_name: bool = False
    ) -> list[Candidate]:
        """Return entries that match one of the groups at least and all that are required, the best `limit` of them."""
        condition, parameters = scope.condition()
        wanted = " | ".join(_any(one.group, scope.user_id) for one in asked)
        query = " & ".join([f"({wanted})", *(_any(group, scope.user_id) for group in required)])
        function = f"prompt_templates_search_{'named' if by_name else 'matching'}"
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT s.template_id, s.title, s.tags, s.description, s.text, s.label, chosen.uses FROM ("
                f"SELECT t.id, t.uses FROM {function}(%s::tsquery, %s::real[]) found "
                "JOIN prompt_templates_template t ON t.id = found.template_id "
                f"WHERE {condition} ORDER BY found.rank DESC, t.uses DESC, t.id LIMIT %s) chosen "
                "JOIN prompt_templates_search s ON s.template_id = chosen.id",
                [query, _WEIGHTS, *parameters, limit],
            )
            return [
                Candidate(template_id=row[0], fields=(row[1], row[2], row[3], row[4]), label=row[5], uses=row[6])
                for row in cursor.fetchall()
            ]


def _row(entry: Entry) -> tuple[str | int, ...]:
    head = ((entry.title, "A"), (entry.tags, "B"), (entry.description, "C"))
    space = namespace(entry.audience)
    words, names = _vector((*head, (entry.text, "D")), space), _vector(head, space)
    return entry.template_id, entry.title, entry.tags, entry.description, entry.text, entry.label, words, names


def _vector(fields: Sequence[tuple[str, str]], space: str) -> str:
    """Return a tsvector's text. Between fields, and at a bar, a position stays free: nothing is side by side there."""
    places: defaultdict[str, list[str]] = defaultdict(list)
    position = 0
    for row, weight in fields:
        for stem in row.replace("|", " | ").split():
            position = min(position + 1, _LAST_POSITION)
            if stem != "|" and len(places[stem]) < _MOST_POSITIONS:
                places[stem].append(f"{position}{weight}")
        position = min(position + 1, _LAST_POSITION)
    # Stems are letters, digits and marks alone: nothing in them ends the quotes.
    return " ".join(f"'{space}{stem}':{','.join(where)}" for stem, where in places.items())


def _any(group: Group, user_id: int) -> str:
    spaces = dict.fromkeys(map(namespace, audiences(user_id)))
    return f"({' | '.join(_phrase(variant, space) for variant in group.variants for space in spaces)})"


def _countable(group: Group, user_id: int) -> str:
    # Whether words stand side by side is read from each vector: of a phrase of common words, from most there are.
    return _any(group, user_id).replace("<->", "&") if group.is_required else _any(group, user_id)


def _phrase(variant: Variant, space: str) -> str:
    stems = " <-> ".join(f"'{space}{stem}'" for stem in variant.stems)
    return f"({stems}{':*' if variant.is_prefix else ''})"
