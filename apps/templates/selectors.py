"""What is read of templates, as far as a caller may see it: what is public, and what is their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db.models import Case, Count, IntegerField, Max, OuterRef, Q, QuerySet, Subquery, Value, When

from apps.accounts.identity import Caller
from apps.llm.errors import Forbidden, InvalidRequest, NotFound
from apps.templates import search
from apps.templates.categories import TEMPLATE_CATEGORIES
from apps.templates.library.cursors import Ordering, Place
from apps.templates.library.drafts import SLUG
from apps.templates.models import Label, Tag, Template, Version, audiences

__all__ = [
    "Described",
    "Filters",
    "FoundTemplate",
    "Page",
    "category_counts",
    "first_visible",
    "tag_counts",
    "template_changeable",
    "template_describe",
    "template_find",
    "template_list",
    "template_matches",
    "template_served",
    "templates_describe",
    "version_get",
    "version_list",
    "version_newest",
    "version_next",
]

FoundTemplate = Template
"""For those who hand one on and touch no tables."""
MOST_TAGS_LISTED = 1_000
MOST_FOUND = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which templates to list; None for whichever."""

    search: str | None = None
    category: str | None = None
    tag: str | None = None
    language: str | None = None
    mine: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """A template and what is told of it besides its own columns."""

    template: Template
    tags: tuple[str, ...]
    labels: Mapping[str, int]
    """Numbers of versions by the labels that stand at them, of those that the caller may see."""
    newest: int
    """The highest number of a version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some templates of a list, and the place of the last one, None if no more follow."""

    templates: Sequence[Described]
    next: Place | None


def template_list(
    *, caller: Caller, filters: Filters, ordering: Ordering | None, limit: int, after: Place | None
) -> Page:
    """Return a page of what a caller may see, newest first unless ordered; of a search, its best matches alone."""
    if filters.search is not None:
        return Page(templates=_described(caller, _found(caller, filters, ordering, limit)), next=None)
    ordering = ordering or Ordering.NEWEST
    rows = _filtered(caller, filters)
    if after is not None:
        rows = rows.filter(after.condition())
    some = list(rows.select_related("owner").order_by(*ordering.columns)[: limit + 1])
    place = Place.of(some[limit - 1], ordering) if len(some) > limit else None
    return Page(templates=_described(caller, some[:limit]), next=place)


def template_matches(*, caller: Caller, filters: Filters, limit: int) -> Sequence[search.Found]:
    """Return the templates that a search with these filters finds, best first, `mine` aside."""
    return search.template_search(
        caller=caller,
        query=filters.search or "",
        category=filters.category,
        tag=filters.tag,
        language=filters.language,
        limit=limit,
    )


def template_describe(*, caller: Caller, template: Template) -> Described:
    """Return a template with what is told of it. Raises NotFound: it is being deleted."""
    described = _described(caller, [template])
    if not described:
        raise _just_deleted()
    return described[0]


def templates_describe(*, caller: Caller, templates: Sequence[Template]) -> Sequence[Described]:
    """Return templates with what is told of them, in the same order."""
    return _described(caller, templates)


def template_find(*, caller: Caller, slug: str) -> Template:
    """Return the caller's own template of a slug, else the public one. Raises NotFound."""
    # A text that is no slug might be one that a database cannot take.
    template = _by_slug(caller, slug).first() if SLUG.fullmatch(slug) else None
    if template is None:
        raise NotFound("There is no such template. GET /api/v2/templates/ lists those that you may see.")
    return template


def template_changeable(*, caller: Caller, template: Template, to_private: bool = False) -> None:
    """Raise Forbidden unless a caller may change a template that they may see.

    What is public is changed by staff alone, or everybody would be served what nobody has looked at. Its owner may make
    it private, or delete it.
    """
    if caller.is_staff:
        return
    if template.owner_id != caller.user_id:
        raise Forbidden("This template is not yours. Make one of your own from it, and change that.")
    if template.is_public and not to_private:
        raise Forbidden(
            "This template is public, and staff change those. Make it private with `is_public`: false, and change it "
            "then; or make another one from it."
        )


def version_list(*, caller: Caller, template: Template) -> Sequence[Version]:
    """Return the versions of a template that a caller may see, newest first, without their texts."""
    rows = _versions(caller, template).select_related("created_by").defer("text", "variables")
    return list(rows.order_by("-number"))


def version_next(*, caller: Caller, template: Template, after: int) -> Version | None:
    """Return the first version behind a number, as far as a caller may see them; None if there is none."""
    return _versions(caller, template).filter(number__gt=after).order_by("number").first()


def version_get(*, caller: Caller, template: Template, number: int) -> Version | None:
    """Return a version by its number; None if there is none that the caller may see."""
    return _versions(caller, template).select_related("created_by").filter(number=number).first()


def version_newest(*, template: Template) -> Version:
    """Return the version with the highest number, which every caller who sees the template may see.

    Raises NotFound: the template is being deleted.
    """
    newest = template.versions.select_related("created_by").order_by("-number").first()
    if newest is None:
        raise _just_deleted()
    return newest


def template_served(
    *, caller: Caller, template: Template, version: int | None = None, label: str | None = None
) -> Version:
    """Return the version to render: the one named, the one a label stands at, else production, else the newest.

    Raises InvalidRequest if the one that is named, or its label, is not there.
    """
    if version is not None:
        found = version_get(caller=caller, template=template, number=version)
        if found is None:
            raise InvalidRequest("The template has no version of this number.", param="version")
        return found
    placed = _versions(caller, template).filter(labels__name=label or Label.Name.PRODUCTION).first()
    if placed is None and label is not None:
        raise InvalidRequest("This label stands at no version of the template.", param="label")
    return placed or version_newest(template=template)


def category_counts(*, caller: Caller) -> Mapping[str, int]:
    """Return how many templates of each category a caller may see, every category included."""
    rows = Template.objects.filter(_visible(caller)).order_by().values_list("category").annotate(count=Count("id"))
    counts = dict(rows)
    return {name: counts.get(name, 0) for name in TEMPLATE_CATEGORIES}


def tag_counts(*, caller: Caller) -> Mapping[str, int]:
    """Return how many templates of each tag a caller may see: the 1,000 commonest tags, commonest first."""
    visible = Template.objects.filter(_visible(caller)).order_by()
    rows = Tag.objects.filter(template__in=visible).values("name").annotate(count=Count("id"))
    return dict(rows.order_by("-count", "name").values_list("name", "count")[:MOST_TAGS_LISTED])


def _visible(caller: Caller) -> Q:
    return Q(audience__in=audiences(caller.user_id))


def _just_deleted() -> NotFound:
    return NotFound("There is no such template. It has just been deleted.")


def first_visible(*, caller: Caller, template: Template) -> int:
    """Return the number of the first version that a caller may see of a template that they may see."""
    return 1 if caller.is_staff or template.owner_id == caller.user_id else template.public_from


def _versions(caller: Caller, template: Template) -> QuerySet[Version]:
    return template.versions.filter(number__gte=first_visible(caller=caller, template=template))


def _by_slug(caller: Caller, slug: str) -> QuerySet[Template]:
    own_first = Case(When(owner_id=caller.user_id, then=Value(0)), default=Value(1), output_field=IntegerField())
    return Template.objects.select_related("owner").filter(_visible(caller), slug=slug).order_by(own_first, "id")


def _filtered(caller: Caller, filters: Filters) -> QuerySet[Template]:
    rows = Template.objects.filter(_visible(caller))
    if filters.category is not None:
        rows = rows.filter(category=filters.category)
    if filters.tag is not None:
        # With a limit no planner begins at the tag: it would read whatever has it, others' rows too.
        filed = Tag.objects.filter(template_id=OuterRef("pk"), name=filters.tag).order_by().values("id")[:1]
        rows = rows.alias(filed=Subquery(filed)).filter(filed__isnull=False)
    if filters.language is not None:
        rows = rows.filter(language=filters.language)
    if filters.mine is not None:
        rows = rows.filter(owner_id=caller.user_id) if filters.mine else rows.exclude(owner_id=caller.user_id)
    return rows


def _found(caller: Caller, filters: Filters, ordering: Ordering | None, limit: int) -> Sequence[Template]:
    """Return the best matches; those of `mine` are chosen among the best 100."""
    found = template_matches(caller=caller, filters=filters, limit=limit if filters.mine is None else MOST_FOUND)
    rank = {one.template_id: place for place, one in enumerate(found)}
    rows = _filtered(caller, filters).select_related("owner").filter(pk__in=rank)
    if ordering is not None:
        return list(rows.order_by(*ordering.columns)[:limit])
    return sorted(rows, key=lambda template: rank[template.pk])[:limit]


def _described(caller: Caller, templates: Sequence[Template]) -> Sequence[Described]:
    """Look up what is told of templates, those aside that are being deleted: three queries, however many they are."""
    ids = [template.pk for template in templates]
    newest = dict(
        Version.objects.filter(template_id__in=ids).order_by().values_list("template_id").annotate(Max("number"))
    )
    tags: dict[int, list[str]] = {}
    for template_id, name in Tag.objects.filter(template_id__in=ids).values_list("template_id", "name"):
        tags.setdefault(template_id, []).append(name)
    labels: dict[int, dict[str, int]] = {}
    first = {template.pk: first_visible(caller=caller, template=template) for template in templates}
    placed = Label.objects.filter(template_id__in=ids)
    for template_id, name, number in placed.values_list("template_id", "name", "version__number"):
        if number >= first[template_id]:
            labels.setdefault(template_id, {})[name] = number
    return [
        Described(
            template=template,
            tags=tuple(tags.get(template.pk, ())),
            labels=labels.get(template.pk, {}),
            newest=newest[template.pk],
        )
        for template in templates
        if template.pk in newest
    ]
