"""What a search index keeps of a template and answers about it; the two databases each have one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from apps.templates.search.query import Group

__all__ = ["COUNT_BOUND", "Candidate", "Entry", "Scope", "SearchIndex", "spelling"]

COUNT_BOUND = 1_000
"""Where counting the templates with a word stops: beyond it, a word is common."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A template as the index has it. The four texts are rows of stems, as `search.words.analysed` makes them."""

    template_id: int
    title: str
    tags: str
    description: str
    text: str
    label: str
    """`production`, `staging` or `draft`."""
    words: frozenset[str]
    """The words that a typo may be of, or that may be typed by half: folded, not stemmed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A template that matches, with what it is ranked by."""

    template_id: int
    fields: tuple[str, str, str, str]
    """Title, tags, description, text: rows of stems."""
    label: str
    uses: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which templates are looked at: those that a user may see, and of them those that the filters leave."""

    user_id: int
    category: str | None = None
    tag_ids: tuple[int, ...] | None = None
    """None: whatever the tags; otherwise one of these."""
    language: str | None = None

    def condition(self) -> tuple[str, list[str | int]]:
        """Return SQL over the template's table as `t`, and its parameters. The same for both databases."""
        parts = ["(t.is_public OR t.owner_id = %s)"]
        values: list[str | int] = [self.user_id]
        if self.category is not None:
            parts.append("t.category = %s")
            values.append(self.category)
        if self.language is not None:
            parts.append("t.language = %s")
            values.append(self.language)
        if self.tag_ids is not None:
            places = ", ".join(["%s"] * len(self.tag_ids)) or "NULL"
            parts.append(
                "EXISTS (SELECT 1 FROM prompt_templates_template_tags filed "
                f"WHERE filed.template_id = t.id AND filed.tag_id IN ({places}))"
            )
            values.extend(self.tag_ids)
        return " AND ".join(parts), values


class SearchIndex(Protocol):
    """One database's index. Writes belong to the transaction they are called in."""

    def add_words(self, words: Sequence[str]) -> None:
        """Add words that are not there yet, of entries to come; they are sorted."""

    def put(self, entries: Sequence[Entry]) -> None:
        """Write entries over those of the same templates; their words have been added."""

    def remove(self, template_ids: Collection[int]) -> None:
        """Remove the entries of templates; those that have none are left alone."""

    def clear(self) -> None:
        """Remove every entry and every word."""

    def size(self) -> int:
        """Return how many entries there are."""

    def count(self, groups: Sequence[Group]) -> list[int]:
        """Return for each group how many entries match, whoever may see them, up to `COUNT_BOUND`.

        Of a group that is required it may be how many have all its words, together or not.
        """

    def words_beginning(self, beginning: str, limit: int) -> list[str]:
        """Return words that begin so, the shortest first."""

    def words_like(self, word: str, limit: int) -> list[str]:
        """Return words that share pieces of three letters, the likest first, about as long."""

    def known(self, words: Collection[str]) -> list[str]:
        """Return those of the words that there are."""

    def candidates(
        self, groups: Sequence[Group], required: Sequence[Group], scope: Scope, *, limit: int, by_name: bool = False
    ) -> list[Candidate]:
        """Return entries that match one of the groups at least and all that are required, the best `limit` of them.

        `by_name` asks for those that do so in their title and tags alone, which is quick where most others match too.
        Which are best is the database's own guess; their order says nothing.
        """


def spelling(word: str) -> str:
    """Return a word in ASCII, letter for letter: pg_trgm sees no others where the database's locale is C."""
    return "".join(letter if letter.isascii() else chr(ord("a") + ord(letter) % 26) for letter in word)
