"""What is found: a query read, forgiven its typos, looked up, ranked and told with what to highlight."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Q

from apps.accounts.identity import Caller
from apps.templates.models import Tag, Template
from apps.templates.search.databases import search_index
from apps.templates.search.highlights import Highlight, highlights
from apps.templates.search.index import COUNT_BOUND, Candidate, Scope, SearchIndex
from apps.templates.search.query import PREFIX_QUALITY, Group, Variant, parse_query
from apps.templates.search.ranking import rank
from apps.templates.search.stems import stem
from apps.templates.search.typos import near_words
from apps.templates.search.words import is_spaceless

__all__ = ["Found", "template_search"]

MAX_FOUND = 100

_CANDIDATES = 150
_MOST_SPELLINGS = 200
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
        return _found(_most_used(scope, limit), {}, ())
    index = search_index()
    groups, counts = _forgiving(asked, index)
    if not any(counts) or any(group.is_required and not count for group, count in zip(groups, counts, strict=True)):
        return ()
    ranked = rank(_candidates(groups, counts, index, scope), groups, counts, index.size())[:limit]
    scores = {one.candidate.template_id: one.score for one in ranked}
    return _found(list(scores), scores, groups)


def _scope(caller: Caller, category: str | None, tag: str | None, language: str | None) -> Scope | None:
    """Return the scope, or None if a filter can let nothing through: a database refuses what is not printable."""
    if not all(value is None or value.isprintable() for value in (category, tag, language)):
        return None
    tag_ids = None
    if tag is not None:
        tag_ids = tuple(Tag.objects.filter(name__iexact=tag).values_list("id", flat=True)[:_MOST_SPELLINGS])
        if not tag_ids:
            return None
    return Scope(
        user_id=caller.user_id,
        category=category,
        tag_ids=tag_ids,
        language=None if language is None else language.lower(),
    )


def _most_used(scope: Scope, limit: int) -> list[int]:
    chosen = Template.objects.filter(Q(is_public=True) | Q(owner_id=scope.user_id))
    if scope.category is not None:
        chosen = chosen.filter(category=scope.category)
    if scope.language is not None:
        chosen = chosen.filter(language=scope.language)
    if scope.tag_ids is not None:
        chosen = chosen.filter(tags__in=scope.tag_ids).distinct()
    return list(chosen.order_by("-uses", "id").values_list("id", flat=True)[:limit])


def _forgiving(groups: Sequence[Group], index: SearchIndex) -> tuple[list[Group], list[int]]:
    """Return the groups with the words that were typed by half or mistyped, and how many entries match each."""
    wider = [_completed(group, index) for group in groups]
    counts = index.count(wider)
    doubtful = [at for at, group in enumerate(wider) if counts[at] < _FEW and group.word][:_MOST_CORRECTED]
    corrected: list[int] = []
    for at in doubtful:
        meant = near_words(wider[at].word, index, is_known=counts[at] > 0)
        if meant:
            wider[at] = wider[at].with_variants(meant)
            corrected.append(at)
    for at, count in zip(corrected, index.count([wider[at] for at in corrected]), strict=True):
        counts[at] = count
    return wider, counts


def _completed(group: Group, index: SearchIndex) -> Group:
    """Return the last group with the stems that are shorter than what was typed of their words."""
    if not group.is_last or len(group.word) < _SHORTEST_HALF_WORD or is_spaceless(group.word):
        return group
    stems = dict.fromkeys(stem(word) for word in index.words_beginning(group.word, _WORDS_BEGINNING))
    return group.with_variants(
        [Variant(stems=(one,), quality=PREFIX_QUALITY) for one in stems if not one.startswith(group.word)]
    )


def _candidates(
    groups: Sequence[Group], counts: Sequence[int], index: SearchIndex, scope: Scope
) -> Sequence[Candidate]:
    """Return what is to be ranked: found by rare words, or else by common ones in titles and tags, or else anywhere."""
    matching = [(group, count) for group, count in zip(groups, counts, strict=True) if count]
    required = [group for group in groups if group.is_required]
    rare = [group for group, count in matching if count < COUNT_BOUND]
    if rare:
        return index.candidates(rare, required, scope, limit=_CANDIDATES)
    common = [group for group, _ in matching]
    named = index.candidates(common, required, scope, limit=_CANDIDATES, by_name=True)
    return named if len(named) == _CANDIDATES else index.candidates(common, required, scope, limit=_CANDIDATES)


def _found(ids: Sequence[int], scores: dict[int, float], groups: Sequence[Group]) -> tuple[Found, ...]:
    templates = Template.objects.in_bulk(ids)
    tags: defaultdict[int, list[str]] = defaultdict(list)
    for template_id, name in Tag.objects.filter(templates__in=ids).values_list("templates__id", "name"):
        tags[template_id].append(name)
    return tuple(
        Found(
            template_id=template.id,
            slug=template.slug,
            title=template.title,
            description=template.description,
            category=template.category,
            tags=tuple(tags[template.id]),
            score=scores.get(template.id, 0.0),
            highlights=(
                *highlights("title", template.title, groups),
                *highlights("description", template.description, groups),
            ),
        )
        for template in (templates[template_id] for template_id in ids if template_id in templates)
    )
