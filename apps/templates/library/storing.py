"""Rows of many new templates at once, in a fixed number of statements: for one template, an import, the library."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from django.db.models import Q
from django.utils.text import slugify

from apps.llm.errors import Code, Conflict
from apps.templates.library.drafts import RESERVED_SLUGS, TemplateDraft, variables_json
from apps.templates.models import Label, Tag, Template, Version

__all__ = ["Order", "free_slugs", "tags_set", "templates_store"]

_MOST_SLUG_CHARACTERS = 90
"""Of one made from a title: the rest is for a number behind it."""
_BATCH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A template to store, and under which slug."""

    slug: str
    draft: TemplateDraft


def templates_store(orders: Sequence[Order], *, owner_id: int | None, author_id: int | None) -> list[Template]:
    """Store new templates with their versions, labels and tags; the caller's transaction commits them.

    Raises IntegrityError if a slug is taken.
    """
    templates = Template.objects.bulk_create(
        [
            Template(
                owner_id=owner_id,
                slug=order.slug,
                title=order.draft.title,
                description=order.draft.description,
                category=order.draft.category,
                language=order.draft.language,
                is_public=order.draft.is_public,
            )
            for order in orders
        ],
        batch_size=_BATCH,
    )
    pairs = list(zip(templates, orders, strict=True))
    versions = Version.objects.bulk_create(
        [
            Version(
                template=template,
                number=number,
                text=version.text,
                variables=variables_json(version.variables),
                note=version.note,
                created_by_id=author_id,
            )
            for template, order in pairs
            for number, version in enumerate(order.draft.versions, start=1)
        ],
        batch_size=_BATCH,
    )
    by_number = {(version.template_id, version.number): version for version in versions}
    Label.objects.bulk_create(
        [
            Label(template=template, name=name, version=by_number[template.pk, number])
            for template, order in pairs
            for name, number in order.draft.labels.items()
        ],
        batch_size=_BATCH,
    )
    tags_set({template.pk: order.draft.tags for template, order in pairs}, are_new=True)
    return templates


def tags_set(tags: Mapping[int, Iterable[str]], *, are_new: bool = False) -> None:
    """Give templates, by their ids, these tags and no others; templates that are new have none yet."""
    names = {name for of_one in tags.values() for name in of_one}
    Tag.objects.bulk_create([Tag(name=name) for name in sorted(names)], ignore_conflicts=True, batch_size=_BATCH)
    ids = dict(Tag.objects.filter(name__in=names).values_list("name", "id"))
    through = Template.tags.through
    if not are_new:
        through.objects.filter(template_id__in=tags).delete()
    through.objects.bulk_create(
        [through(template_id=template_id, tag_id=ids[name]) for template_id, of_one in tags.items() for name in of_one],
        batch_size=_BATCH,
    )


def free_slugs(drafts: Sequence[TemplateDraft], *, owner_id: int) -> list[str]:
    """Return a slug for each: its own, or one made from its title that nobody else has.

    Raises Conflict if two of them have the same of their own.
    """
    given = [draft.slug for draft in drafts if draft.slug is not None]
    if len(set(given)) < len(given):
        raise Conflict("Two of the templates have the same slug. Rename one.", code=Code.ALREADY_EXISTS, param="slug")
    bases = {_base(draft.title) for draft in drafts if draft.slug is None}
    like = Q()
    for base in bases:
        like |= Q(slug__startswith=base)
    mine_or_public = Q(owner_id=owner_id) | Q(is_public=True)
    taken = set(given) | RESERVED_SLUGS
    if bases:
        taken |= set(Template.objects.filter(like, mine_or_public).values_list("slug", flat=True))
    return [draft.slug if draft.slug is not None else _made(_base(draft.title), taken) for draft in drafts]


def _base(title: str) -> str:
    return slugify(title)[:_MOST_SLUG_CHARACTERS].strip("-_") or "template"


def _made(base: str, taken: set[str]) -> str:
    """Return a slug that is not taken yet, and take it."""
    slug = next(slug for number in count(1) if (slug := base if number == 1 else f"{base}-{number}") not in taken)
    taken.add(slug)
    return slug
