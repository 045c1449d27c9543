"""The words that a typo may be of or that may be typed by half: those of what a caller may see, and no others.

Each audience has words of its own, with the number of its entries that have them, so that a word is forgotten with the
last of these. The same tables and statements on both databases; migration 0005 makes them. `..._piece` has the pieces
of three letters of every word, and triggers keep it.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import orjson
from django.db import connection

from apps.templates.models import EVERYBODY, audiences
from apps.templates.search.rows import rows_of

__all__ = [
    "MAX_PIECES_PER_ENTRY",
    "MAX_WORDS_PER_ENTRY",
    "MAX_WORDS_PER_USER",
    "Dictionary",
    "first_words",
    "pieces",
    "words_change",
]

MAX_WORDS_PER_ENTRY = 500
"""The first of a template, its title before its text; later ones are found, but no typo of them is forgiven."""
MAX_PIECES_PER_ENTRY = 5_000
"""Of those words: each is a row, written and deleted with its word, in one transaction. 500 usual words have fewer."""
MAX_WORDS_PER_USER = 20_000
"""In private templates. Words beyond are found, but no typo of them is forgiven."""
_LAST_CHARACTER = chr(0x10FFFF)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dictionary:
    """The words that a user may see."""

    user_id: int

    def beginning(self, beginning: str, limit: int) -> list[str]:
        """Return words that begin so, the shortest first."""
        return _words(
            "SELECT word FROM prompt_templates_search_word WHERE audience IN (%s, %s) AND word >= %s AND word < %s "
            "GROUP BY word ORDER BY length(word), word LIMIT %s",
            [*audiences(self.user_id), beginning, beginning + _LAST_CHARACTER, limit],
        )

    def like(self, word: str, limit: int) -> list[str]:
        """Return words that share pieces of three letters, the likest first, about as long."""
        wanted = sorted(pieces(word))
        places = ", ".join(["%s"] * len(wanted))
        one = (
            "SELECT word, count(*) AS shared FROM prompt_templates_search_piece "
            f"WHERE piece IN ({places}) AND letters BETWEEN %s AND %s GROUP BY word"
        )
        parameters: list[str | int] = []
        for audience in audiences(self.user_id):
            parameters += [*(f"{audience}{piece}" for piece in wanted), len(word) - 2, len(word) + 2]
        # What is shared, as a part of all pieces of the two. A word of both audiences is there twice.
        found = _words(
            f"SELECT word FROM ({one} UNION ALL {one}) found "
            "ORDER BY shared * 1.0 / (%s + length(word) - shared) DESC, word LIMIT %s",
            [*parameters, len(wanted) + 1, 2 * limit],
        )
        return list(dict.fromkeys(found))[:limit]

    def known(self, words: Collection[str]) -> list[str]:
        """Return those of the words that there are."""
        return sorted(_known(audiences(self.user_id), words))


def pieces(word: str) -> set[str]:
    """Return the pieces of three letters of a word, the ones across its ends included. As the database's triggers."""
    padded = f"^^{word}^"
    return {padded[at : at + 3] for at in range(len(padded) - 2)}


def first_words(words: Sequence[str]) -> Sequence[str]:
    """Return the words of an entry that are within its bounds."""
    counts = itertools.accumulate(len(word) + 1 for word in words[:MAX_WORDS_PER_ENTRY])
    return words[: sum(1 for count in counts if count <= MAX_PIECES_PER_ENTRY)]


def words_change(
    entries: Mapping[int, tuple[int, Sequence[str]]], before: Mapping[int, Collection[str]]
) -> dict[int, list[str]]:
    """Count the words of entries, by template their audience and words; return which of each are within the bounds.

    What is returned is to be kept with the entry: its deletion discounts them. `before` is what was kept with entries
    that these replace, of the same templates and audiences: it is discounted.
    """
    kept: dict[int, list[str]] = {}
    by_audience: dict[int, list[int]] = {}
    for template_id, (audience, _) in entries.items():
        by_audience.setdefault(audience, []).append(template_id)
    for audience, template_ids in by_audience.items():
        first = {one: first_words(entries[one][1]) for one in template_ids}
        wanted = dict.fromkeys(itertools.chain.from_iterable(first.values()))
        if audience != EVERYBODY:
            known = _known((audience,), wanted)
            room = max(0, MAX_WORDS_PER_USER - _size(audience))
            new = itertools.islice((word for word in wanted if word not in known), room)
            wanted = dict.fromkeys((*known, *new))
        kept.update({one: [word for word in words if word in wanted] for one, words in first.items()})
        changes = Counter(itertools.chain.from_iterable(kept[one] for one in template_ids))
        changes.subtract(itertools.chain.from_iterable(before.get(one, ()) for one in template_ids))
        _count(audience, {word: change for word, change in changes.items() if change})
    return kept


def _count(audience: int, changes: Mapping[str, int]) -> None:
    if not changes:
        return
    members = "json_each_text(%s::json)" if connection.vendor == "postgresql" else "json_each(%s)"
    fewer, listed = _one_of([word for word, change in changes.items() if change < 0])
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO prompt_templates_search_word (audience, word, entries) "
            f"SELECT %s, key, CAST(value AS integer) FROM {members} WHERE true ORDER BY key "
            "ON CONFLICT (audience, word) "
            "DO UPDATE SET entries = prompt_templates_search_word.entries + excluded.entries",
            [audience, orjson.dumps(changes).decode()],
        )
        cursor.execute(
            f"DELETE FROM prompt_templates_search_word WHERE audience = %s AND word {fewer} AND entries = 0",
            [audience, listed],
        )


def _known(of: tuple[int, ...], words: Collection[str]) -> set[str]:
    condition, listed = _one_of(words)
    places = ", ".join(["%s"] * len(of))
    return set(
        _words(
            f"SELECT word FROM prompt_templates_search_word WHERE audience IN ({places}) AND word {condition}",
            [*of, listed],
        )
    )


def _one_of(words: Collection[str]) -> tuple[str, str | list[str]]:
    """Return SQL for "is one of these", however many, and its parameter; found by the index on both databases."""
    if connection.vendor == "postgresql":
        return "= ANY(%s)", [*words]
    return "IN (SELECT value FROM json_each(%s))", orjson.dumps([*words]).decode()


def _size(audience: int) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM prompt_templates_search_word WHERE audience = %s", [audience])
        return int(cursor.fetchone()[0])


def _words(statement: str, parameters: Sequence[str | int | list[str]]) -> list[str]:
    return [row[0] for row in rows_of(statement, "word", parameters)]
