"""The search index in SQLite: FTS5 over rows of stems, and over the trigrams of words for typos.

The tables are made by migration 0002: `prompt_templates_search` (rowid = template's id), `prompt_templates_search_word`
and, kept by a trigger, `prompt_templates_search_trigram`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from django.db import connection

from apps.templates.search.index import COUNT_BOUND, Candidate, Entry, Scope, spelling
from apps.templates.search.query import Group, Variant

__all__ = ["SQLiteIndex"]

# The weights of title, tags, description, text. Only for the choice of candidates.
_BM25 = "bm25(prompt_templates_search, 8.0, 6.0, 4.0, 1.0)"
_LAST_CHARACTER = chr(0x10FFFF)


class SQLiteIndex:
    """See `search.index.SearchIndex`."""

    def add_words(self, words: Sequence[str]) -> None:
        """Add words that are not there yet."""
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT OR IGNORE INTO prompt_templates_search_word (word, spelling) VALUES (%s, %s)",
                [(word, f"$${spelling(word)}$") for word in words],
            )

    def put(self, entries: Sequence[Entry]) -> None:
        """Write entries over those of the same templates."""
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT OR REPLACE INTO prompt_templates_search (rowid, title, tags, description, text, label) "
                "VALUES (%s, %s, %s, %s, %s, %s)",
                [
                    (entry.template_id, entry.title, entry.tags, entry.description, entry.text, entry.label)
                    for entry in entries
                ],
            )

    def remove(self, template_ids: Collection[int]) -> None:
        """Remove the entries of templates; those that have none are left alone."""
        with connection.cursor() as cursor:
            cursor.executemany(
                "DELETE FROM prompt_templates_search WHERE rowid = %s", [(template_id,) for template_id in template_ids]
            )

    def clear(self) -> None:
        """Remove every entry and every word."""
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM prompt_templates_search")
            cursor.execute("DELETE FROM prompt_templates_search_word")
            cursor.execute(
                "INSERT INTO prompt_templates_search_trigram (prompt_templates_search_trigram) VALUES ('delete-all')"
            )

    def size(self) -> int:
        """Return how many entries there are."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM prompt_templates_search_docsize")
            return int(cursor.fetchone()[0])

    def count(self, groups: Sequence[Group]) -> list[int]:
        """Return for each group how many entries match, up to `COUNT_BOUND`."""
        one = (
            "SELECT count(*) FROM (SELECT 1 FROM prompt_templates_search "
            f"WHERE prompt_templates_search MATCH %s LIMIT {COUNT_BOUND})"
        )
        if not groups:
            return []
        with connection.cursor() as cursor:
            cursor.execute(" UNION ALL ".join([one] * len(groups)), [_any(group) for group in groups])
            return [int(row[0]) for row in cursor.fetchall()]

    def words_beginning(self, beginning: str, limit: int) -> list[str]:
        """Return words that begin so, the shortest first."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT word FROM prompt_templates_search_word WHERE word >= %s AND word < %s "
                "ORDER BY length(word), word LIMIT %s",
                [beginning, beginning + _LAST_CHARACTER, limit],
            )
            return [row[0] for row in cursor.fetchall()]

    def words_like(self, word: str, limit: int) -> list[str]:
        """Return words that share pieces of three letters, the likest first, about as long."""
        padded = f"$${spelling(word)}$"
        pieces = {padded[at : at + 3] for at in range(len(padded) - 2)}
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT w.word FROM prompt_templates_search_trigram JOIN prompt_templates_search_word w "
                "ON w.id = prompt_templates_search_trigram.rowid WHERE prompt_templates_search_trigram MATCH %s "
                "AND length(w.word) BETWEEN %s AND %s ORDER BY bm25(prompt_templates_search_trigram), w.word LIMIT %s",
                [" OR ".join(f'"{piece}"' for piece in sorted(pieces)), len(word) - 2, len(word) + 2, limit],
            )
            return [row[0] for row in cursor.fetchall()]

    def known(self, words: Collection[str]) -> list[str]:
        """Return those of the words that there are."""
        if not words:
            return []
        places = ", ".join(["%s"] * len(words))
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT word FROM prompt_templates_search_word WHERE word IN ({places}) ORDER BY word", [*words]
            )
            return [row[0] for row in cursor.fetchall()]

    def candidates(
        self, groups: Sequence[Group], required: Sequence[Group], scope: Scope, *, limit: int, by_name: bool = False
    ) -> list[Candidate]:
        """Return entries that match one of the groups at least and all that are required, the best `limit` of them."""
        condition, parameters = scope.condition()
        match = " AND ".join(
            [f"({' OR '.join(_any(group) for group in groups)})", *(_any(group) for group in required)]
        )
        match = f"{{title tags}} : ({match})" if by_name else match
        with connection.cursor() as cursor:
            # CROSS JOIN: in this order, or each of the user's templates is looked up in the index.
            cursor.execute(
                "SELECT s.rowid, s.title, s.tags, s.description, s.text, s.label, chosen.uses FROM ("
                f"SELECT t.id, t.uses, {_BM25} AS badness "
                "FROM prompt_templates_search CROSS JOIN prompt_templates_template t "
                "ON t.id = prompt_templates_search.rowid "
                f"WHERE prompt_templates_search MATCH %s AND {condition} "
                "ORDER BY badness, t.uses DESC, t.id LIMIT %s) chosen "
                "CROSS JOIN prompt_templates_search s ON s.rowid = chosen.id",
                [match, *parameters, limit],
            )
            return [
                Candidate(template_id=row[0], fields=(row[1], row[2], row[3], row[4]), label=row[5], uses=row[6])
                for row in cursor.fetchall()
            ]


def _any(group: Group) -> str:
    return f"({' OR '.join(_phrase(variant) for variant in group.variants)})"


def _phrase(variant: Variant) -> str:
    # Stems are letters, digits and marks alone: nothing in them ends the string.
    return f'"{" ".join(variant.stems)}"{" *" if variant.is_prefix else ""}'
