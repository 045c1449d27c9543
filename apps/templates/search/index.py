"""What a search index keeps of a template and answers about it; the two databases each have one.

A stem stands in the index behind the audience of its template, and a search looks under everybody's and its caller's
alone. So nothing that it finds, counts or reads depends on a row that its caller may not see.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from apps.templates.models import EVERYBODY, audiences
from apps.templates.search.query import Group

__all__ = ["COUNT_BOUND", "Asked", "Candidate", "Entry", "Scope", "SearchIndex", "namespace"]

COUNT_BOUND = 1_000
"""Where counting the templates with a word stops: beyond it, a word is common."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A template as the index has it. The four texts are rows of stems, as `search.words.analysed` makes them."""

    template_id: int
    audience: int
    title: str
    tags: str
    description: str
    text: str
    label: str
    """`production`, `staging` or `draft`."""
    words: tuple[str, ...]
    """The words that a typo may be of, or that may be typed by half: folded, not stemmed, each once, in their order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A template that matches, with what it is ranked by."""

    template_id: int
    fields: tuple[str, str, str, str]
    """Title, tags, description, text: rows of stems."""
    label: str
    uses: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A group that is looked for, and what it counts for: the fewer templates match, the more."""

    group: Group
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which templates are looked at: those that a user may see, and of them those that the filters leave."""

    user_id: int
    category: str | None = None
    tag: str | None = None
    language: str | None = None

    def condition(self) -> tuple[str, list[str | int]]:
        """Return SQL over the template's table as `t`, and its parameters. The same for both databases."""
        parts = ["t.audience IN (%s, %s)"]
        values: list[str | int] = [*audiences(self.user_id)]
        if self.category is not None:
            parts.append("t.category = %s")
            values.append(self.category)
        if self.language is not None:
            parts.append("t.language = %s")
            values.append(self.language)
        if self.tag is not None:
            # With a limit no planner turns it round: it would read whatever has the tag, others' rows too.
            parts.append(
                "(SELECT 1 FROM prompt_templates_tag filed "
                "WHERE filed.template_id = t.id AND filed.name = %s LIMIT 1) IS NOT NULL"
            )
            values.append(self.tag)
        return " AND ".join(parts), values


class SearchIndex(Protocol):
    """One database's index. Writes belong to the transaction they are called in."""

    def put(self, entries: Sequence[Entry]) -> None:
        """Write entries over those of the same templates; their words are kept in the dictionary."""

    def clear(self) -> None:
        """Remove every entry."""

    def count(self, groups: Sequence[Group], user_id: int) -> list[int]:
        """Return for each group how many entries that a user may see match, up to `COUNT_BOUND`.

        Of a group that is required it may be how many have all its words, together or not.
        """

    def candidates(
        self, asked: Sequence[Asked], required: Sequence[Group], scope: Scope, *, limit: int, by_name: bool = False
    ) -> list[Candidate]:
        """Return entries that match one of the groups at least and all that are required, the best `limit` of them.

        `by_name` asks for those that do so in their title and tags alone, which is quick where most others match too.
        Which are best is a guess; their order says nothing.
        """


def namespace(audience: int) -> str:
    """Return what stands before every stem of an audience's entries: no stem has the last character of it."""
    return "_" if audience == EVERYBODY else f"{audience}_"
