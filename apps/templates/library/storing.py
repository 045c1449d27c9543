"""Rows of many new templates at once, in a fixed number of statements: for one template, an import, the library."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from django.db.models import Q
from django.utils.text import slugify

from apps.core.look_alikes import latin_form
from apps.llm.errors import Code, Conflict
from apps.templates.library.drafts import RESERVED_SLUGS, TemplateDraft, variables_json
from apps.templates.models import Label, Tag, Template, Version
from apps.templates.slug_forms import slug_form

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
    """Return a slug for each: its own, or one made from its title that looks like no other.

    Raises Conflict if two of them have look-alikes of their own.
    """
    given = [latin_form(draft.slug) for draft in drafts if draft.slug is not None]
    if len(set(given)) < len(given):
        raise Conflict("Two of the templates have the same slug. Rename one.", code=Code.ALREADY_EXISTS, param="slug")
    bases = {_base(draft.title) for draft in drafts if draft.slug is None}
    taken = set(given) | set(map(latin_form, RESERVED_SLUGS)) | _stored_forms(bases, owner_id)
    return [draft.slug if draft.slug is not None else _made(_base(draft.title), taken) for draft in drafts]


def _stored_forms(bases: Collection[str], owner_id: int) -> set[str]:
    """Return the forms that are taken by public templates and the user's own, if one of the bases' is; else none."""
    rows = Template.objects.annotate(form=slug_form("slug"))
    like_bases = rows.filter(form__in=set(map(latin_form, bases)))
    # One after the other: each has an index of its own.
    if not (like_bases.filter(owner_id=owner_id).exists() or like_bases.filter(is_public=True).exists()):
        return set()
    return set(rows.filter(Q(owner_id=owner_id) | Q(is_public=True)).values_list("form", flat=True))


def _base(title: str) -> str:
    return slugify(title)[:_MOST_SLUG_CHARACTERS].strip("-_") or "template"


def _made(base: str, taken: set[str]) -> str:
    """Return a slug whose form is not taken yet, and take it."""
    numbered = (base if number == 1 else f"{base}-{number}" for number in count(1))
    slug = next(slug for slug in numbered if latin_form(slug) not in taken)
    taken.add(latin_form(slug))
    return slug
