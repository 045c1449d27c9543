"""The search index in PostgreSQL: full text search over rows of stems, and pg_trgm over words for typos.

The tables are made by migration 0002: `prompt_templates_search` and `prompt_templates_search_word`. The vectors are
made here, stem by stem: no dictionary of the server's has a say, so that every server finds what SQLite finds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

from django.db import connection

from apps.templates.search.index import COUNT_BOUND, Candidate, Entry, Scope, spelling
from apps.templates.search.query import Group, Variant

__all__ = ["PostgreSQLIndex"]

# Of text, description, tags, title. Only for the choice of candidates.
_WEIGHTS = [0.1, 0.4, 0.7, 1.0]
# What PostgreSQL keeps: the last position there is, and how many of a word.
_LAST_POSITION = 16_383
_MOST_POSITIONS = 200
_LAST_CHARACTER = chr(0x10FFFF)


class PostgreSQLIndex:
    """See `search.index.SearchIndex`."""

    def add_words(self, words: Sequence[str]) -> None:
        """Add words that are not there yet."""
        with connection.cursor() as cursor:
            # In one order everywhere: two writers of the same new words wait for each other, but never in a circle.
            cursor.execute(
                "INSERT INTO prompt_templates_search_word (word, spelling) SELECT new.word, new.spelling "
                'FROM unnest(%s::text[], %s::text[]) AS new (word, spelling) ORDER BY new.word COLLATE "C" '
                "ON CONFLICT (word) DO NOTHING",
                [[*words], [spelling(word) for word in words]],
            )

    def put(self, entries: Sequence[Entry]) -> None:
        """Write entries over those of the same templates."""
        rows = [_row(entry) for entry in sorted(entries, key=lambda entry: entry.template_id)]
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO prompt_templates_search (template_id, title, tags, description, text, label, words, head) "
                "VALUES (%s, %s, %s, %s, %s, %s, %s::tsvector, %s::tsvector) ON CONFLICT (template_id) DO UPDATE SET "
                "title = excluded.title, tags = excluded.tags, description = excluded.description, "
                "text = excluded.text, label = excluded.label, words = excluded.words, head = excluded.head",
                rows,
            )

    def remove(self, template_ids: Collection[int]) -> None:
        """Remove the entries of templates; those that have none are left alone."""
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM prompt_templates_search WHERE template_id = ANY(%s)", [[*template_ids]])

    def clear(self) -> None:
        """Remove every entry and every word."""
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM prompt_templates_search")
            cursor.execute("DELETE FROM prompt_templates_search_word")

    def size(self) -> int:
        """Return how many entries there are."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM prompt_templates_search")
            return int(cursor.fetchone()[0])

    def count(self, groups: Sequence[Group]) -> list[int]:
        """Return for each group how many entries match, up to `COUNT_BOUND`."""
        if not groups:
            return []
        one = f"prompt_templates_search_count(%s::tsquery, {COUNT_BOUND})"
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {', '.join([one] * len(groups))}", [_countable(group) for group in groups])
            return [int(count) for count in cursor.fetchone()]

    def words_beginning(self, beginning: str, limit: int) -> list[str]:
        """Return words that begin so, the shortest first."""
        return self._words(
            "SELECT word FROM prompt_templates_search_word WHERE word >= %s AND word < %s "
            "ORDER BY length(word), word LIMIT %s",
            [beginning, beginning + _LAST_CHARACTER, limit],
        )

    def words_like(self, word: str, limit: int) -> list[str]:
        """Return words that share pieces of three letters, the likest first, about as long."""
        # A function, because only a function carries its own threshold.
        return self._words(
            "SELECT word FROM prompt_templates_search_words_like(%s, %s, %s, %s)",
            [spelling(word), len(word) - 2, len(word) + 2, limit],
        )

    def known(self, words: Collection[str]) -> list[str]:
        """Return those of the words that there are."""
        return self._words(
            "SELECT word FROM prompt_templates_search_word WHERE word = ANY(%s) ORDER BY word", [[*words]]
        )

    def candidates(
        self, groups: Sequence[Group], required: Sequence[Group], scope: Scope, *, limit: int, by_name: bool = False
    ) -> list[Candidate]:
        """Return entries that match one of the groups at least and all that are required, the best `limit` of them."""
        condition, parameters = scope.condition()
        query = " & ".join([f"({' | '.join(_any(group) for group in groups)})", *(_any(group) for group in required)])
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

    def _words(self, statement: str, parameters: list[str | int | list[str]]) -> list[str]:
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return [row[0] for row in cursor.fetchall()]


def _row(entry: Entry) -> tuple[str | int, ...]:
    head = ((entry.title, "A"), (entry.tags, "B"), (entry.description, "C"))
    words = _vector((*head, (entry.text, "D")))
    return entry.template_id, entry.title, entry.tags, entry.description, entry.text, entry.label, words, _vector(head)


def _vector(fields: Sequence[tuple[str, str]]) -> str:
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
    return " ".join(f"'{stem}':{','.join(where)}" for stem, where in places.items())


def _any(group: Group) -> str:
    return f"({' | '.join(_phrase(variant) for variant in group.variants)})"


def _countable(group: Group) -> str:
    # Whether words stand side by side is read from each vector: of a phrase of common words, from most there are.
    return _any(group).replace("<->", "&") if group.is_required else _any(group)


def _phrase(variant: Variant) -> str:
    stems = " <-> ".join(f"'{stem}'" for stem in variant.stems)
    return f"({stems}{':*' if variant.is_prefix else ''})"
