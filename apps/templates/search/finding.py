"""What is found: a query read, forgiven its typos, looked up, ranked and told with what to highlight."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection

from apps.accounts.identity import Caller
from apps.templates.search.databases import search_index
from apps.templates.search.dictionary import Dictionary
from apps.templates.search.entries import entries_count
from apps.templates.search.highlights import Highlight, highlights
from apps.templates.search.index import COUNT_BOUND, Asked, Candidate, Scope
from apps.templates.search.query import PREFIX_QUALITY, Group, Variant, parse_query
from apps.templates.search.ranking import group_weight, rank
from apps.templates.search.rows import rows_of
from apps.templates.search.stems import stem
from apps.templates.search.typos import near_words
from apps.templates.search.words import is_spaceless

__all__ = ["Found", "template_search"]

MAX_FOUND = 100

_CANDIDATES = 150
# A word that so few templates have may be another's typo.
_FEW = 3
_MOST_CORRECTED = 4
_SHORTEST_HALF_WORD = 4
_WORDS_BEGINNING = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A template that was found, and why."""

    template_id: int
    slug: str
    title: str
    description: str
    category: str
    tags: tuple[str, ...]
    score: float
    """Greater is better; comparable within one answer alone. 0 where nothing was asked for."""
    highlights: tuple[Highlight, ...]
    """Ranges of `title` and `description`: str indices, whole words, in order, none touching another. Never HTML."""


def template_search(
    *,
    caller: Caller,
    query: str,
    category: str | None = None,
    tag: str | None = None,
    language: str | None = None,
    limit: int = 20,
) -> tuple[Found, ...]:
    """Return the templates that answer a query best, of those the caller may see: public ones and their own.

    A query without a letter or digit lists what is used most. Whatever else is typed is looked for; no query is an
    error. A filter that no template passes finds nothing. At most 100 are returned.
    """
    limit = max(0, min(limit, MAX_FOUND))
    scope = _scope(caller, category, tag, language)
    if scope is None or not limit:
        return ()
    asked = parse_query(query)
    if not asked:
        return _found(_most_used(scope, limit), {}, (), scope)
    groups, counts = _forgiving(asked, caller.user_id)
    if not any(counts) or any(group.is_required and not count for group, count in zip(groups, counts, strict=True)):
        return ()
    entries = entries_count(caller.user_id)
    weights = [group_weight(count, entries) for count in counts]
    ranked = rank(_candidates(groups, counts, weights, scope), groups, weights)[:limit]
    scores = {one.candidate.template_id: one.score for one in ranked}
    return _found(list(scores), scores, groups, scope)


def _scope(caller: Caller, category: str | None, tag: str | None, language: str | None) -> Scope | None:
    """Return the scope, or None if a filter can let nothing through: a database refuses what is not printable."""
    if not all(value is None or value.isprintable() for value in (category, tag, language)):
        return None
    return Scope(
        user_id=caller.user_id,
        category=category,
        tag=None if tag is None else tag.lower(),
        language=None if language is None else language.lower(),
    )


def _most_used(scope: Scope, limit: int) -> list[int]:
    condition, parameters = scope.condition()
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT t.id FROM prompt_templates_template t WHERE {condition} ORDER BY t.uses DESC, t.id LIMIT %s",
            [*parameters, limit],
        )
        return [row[0] for row in cursor.fetchall()]


def _forgiving(groups: Sequence[Group], user_id: int) -> tuple[list[Group], list[int]]:
    """Return the groups with the words that were typed by half or mistyped, and how many entries match each."""
    index, dictionary = search_index(), Dictionary(user_id=user_id)
    wider = [_completed(group, dictionary) for group in groups]
    counts = index.count(wider, user_id)
    doubtful = [at for at, group in enumerate(wider) if counts[at] < _FEW and group.word][:_MOST_CORRECTED]
    corrected: list[int] = []
    for at in doubtful:
        meant = near_words(wider[at].word, dictionary, is_known=counts[at] > 0)
        if meant:
            wider[at] = wider[at].with_variants(meant)
            corrected.append(at)
    for at, count in zip(corrected, index.count([wider[at] for at in corrected], user_id), strict=True):
        counts[at] = count
    return wider, counts


def _completed(group: Group, dictionary: Dictionary) -> Group:
    """Return the last group with the stems that are shorter than what was typed of their words."""
    if not group.is_last or len(group.word) < _SHORTEST_HALF_WORD or is_spaceless(group.word):
        return group
    stems = dict.fromkeys(stem(word) for word in dictionary.beginning(group.word, _WORDS_BEGINNING))
    return group.with_variants(
        [Variant(stems=(one,), quality=PREFIX_QUALITY) for one in stems if not one.startswith(group.word)]
    )


def _candidates(
    groups: Sequence[Group], counts: Sequence[int], weights: Sequence[float], scope: Scope
) -> Sequence[Candidate]:
    """Return what is to be ranked: found by rare words, or else by common ones in titles and tags, or else anywhere."""
    index = search_index()
    asked = [Asked(group=group, weight=weight) for group, weight in zip(groups, weights, strict=True)]
    matching = [(one, count) for one, count in zip(asked, counts, strict=True) if count]
    required = [group for group in groups if group.is_required]
    rare = [one for one, count in matching if count < COUNT_BOUND]
    if rare:
        return index.candidates(rare, required, scope, limit=_CANDIDATES)
    common = [one for one, _ in matching]
    named = index.candidates(common, required, scope, limit=_CANDIDATES, by_name=True)
    return named if len(named) == _CANDIDATES else index.candidates(common, required, scope, limit=_CANDIDATES)


def _found(ids: Sequence[int], scores: dict[int, float], groups: Sequence[Group], scope: Scope) -> tuple[Found, ...]:
    if not ids:
        return ()
    # Who may see them is asked again: a template may have become private since it was found.
    condition, values = scope.condition()
    seen = f"t.id IN ({', '.join(['%s'] * len(ids))}) AND {condition}"
    parameters = [*ids, *values]
    templates = rows_of(
        f"SELECT t.id, t.slug, t.title, t.description, t.category FROM prompt_templates_template t WHERE {seen}",
        "id, slug, title, description, category",
        parameters,
    )
    tags: defaultdict[int, list[str]] = defaultdict(list)
    of_templates = (
        "SELECT tag.template_id, tag.name FROM prompt_templates_tag tag "
        f"JOIN prompt_templates_template t ON t.id = tag.template_id WHERE {seen} ORDER BY tag.name"
    )
    for template_id, name in rows_of(of_templates, "template_id, name", parameters):
        tags[template_id].append(name)
    found = {
        template_id: Found(
            template_id=template_id,
            slug=slug,
            title=title,
            description=description,
            category=category,
            tags=tuple(tags[template_id]),
            score=scores.get(template_id, 0.0),
            highlights=(*highlights("title", title, groups), *highlights("description", description, groups)),
        )
        for template_id, slug, title, description, category in templates
    }
    # One that was deleted or hidden meanwhile is not there.
    return tuple(found[template_id] for template_id in ids if template_id in found)
