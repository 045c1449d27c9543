"""Rows of new templates, and of templates that go: in short transactions, so that other writers are not held up.

A template that is stored or deleted by halves belongs to nobody and is not public. No caller sees it, and its slug and
its share of a quota are free.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import count

import orjson
from django.db.models import Model, Q, TextField, Value
from django.db.models.functions import Length
from django.utils import timezone
from django.utils.text import slugify

from apps.core.look_alikes import latin_form
from apps.core.transactions import batches, run_in_transactions
from apps.llm.errors import Code, Conflict
from apps.templates.library.drafts import RESERVED_SLUGS, TemplateDraft, VersionDraft, variables_json
from apps.templates.library.quotas import text_bytes_of
from apps.templates.models import Label, Tag, Template, Use, Version
from apps.templates.slug_forms import slug_form

__all__ = [
    "Order",
    "free_slugs",
    "leftovers_discard",
    "tags_set",
    "templates_discard",
    "templates_give",
    "templates_hide",
    "templates_rename",
    "templates_store",
    "version_row",
]

_MOST_SLUG_CHARACTERS = 90
"""Of one made from a title: the rest is for a number behind it."""
MOST_ROWS = 50
"""Rows that one transaction writes: some milliseconds."""
MOST_BYTES = 256 * 1024
"""Of the versions that one transaction writes or deletes; a single longer one comes alone."""
MOST_SMALL_ROWS = 250
"""The same of rows that hold ids and a word."""
_ABANDONED_AFTER = timedelta(hours=1)
"""After which no process can still be storing a template."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A template to store, and under which slug."""

    slug: str
    draft: TemplateDraft


def templates_store(orders: Sequence[Order], *, author_id: int | None, stored: list[Template]) -> None:
    """Store new templates with their versions, labels and tags; nobody sees them before `templates_give`.

    Adds to `stored` what is there already, for whoever has to discard it after a failure.
    """
    run_in_transactions(_storing(orders, author_id, stored))


def templates_rename(templates: Sequence[Template], orders: Sequence[Order]) -> None:
    """Write the slugs of orders into templates that are stored and not given yet."""
    renamed = [(one, order.slug) for one, order in zip(templates, orders, strict=True) if one.slug != order.slug]
    for template, slug in renamed:
        template.slug = slug
    run_in_transactions(
        partial(Template.objects.bulk_update, some, ["slug"])
        for some in batches([template for template, _ in renamed], most=MOST_ROWS, most_size=MOST_BYTES)
    )


def templates_give(templates: Sequence[Template], orders: Sequence[Order], *, owner_id: int | None) -> None:
    """Give stored templates to their owner, in the caller's transaction: from its end on they are there.

    Raises IntegrityError if a slug is taken.
    """
    now = timezone.now()
    published: dict[int | None, list[int]] = {}
    for template, order in zip(templates, orders, strict=True):
        published.setdefault(order.draft.public_from, []).append(template.pk)
    for public_from, ids in published.items():
        Template.objects.filter(pk__in=ids).update(
            owner_id=owner_id,
            state=Template.State.WHOLE,
            is_public=public_from is not None,
            public_from=public_from or 1,
            created_at=now,
            updated_at=now,
        )


def templates_hide(ids: Collection[int]) -> None:
    """Take templates from everybody, in the caller's transaction; `templates_discard` deletes them then."""
    Template.objects.filter(pk__in=ids).update(owner=None, is_public=False, state=Template.State.DELETING)


def templates_discard(ids: Collection[int]) -> None:
    """Delete templates that are hidden or not given yet. A trigger takes them out of the search."""
    run_in_transactions(_discarding(ids))


def leftovers_discard() -> None:
    """Delete what a process that died has left half stored or half deleted."""
    abandoned = Q(state=Template.State.STORING, created_at__lt=timezone.now() - _ABANDONED_AFTER)
    left = Template.objects.filter(abandoned | Q(state=Template.State.DELETING)).values_list("pk", flat=True)
    templates_discard(list(left))


def version_row(template_id: int, number: int, version: VersionDraft, author_id: int | None) -> Version:
    """Return a version that is to be stored, its variables written out already: there may be ten thousand of them.

    They are of no use to whoever reads the object: the database has them.
    """
    written = orjson.dumps(variables_json(version.variables)).decode()
    return Version(
        template_id=template_id,
        number=number,
        text=version.text,
        variables=Value(written, output_field=TextField()),
        note=version.note,
        created_by_id=author_id,
    )


def tags_set(template: Template, names: Iterable[str]) -> None:
    """Give a template these tags and no others, in the caller's transaction, which has its row locked."""
    template.tags.all().delete()
    Tag.objects.bulk_create([Tag(template_id=template.pk, name=name) for name in names])


def _storing(orders: Sequence[Order], author_id: int | None, stored: list[Template]) -> Iterator[Callable[[], object]]:
    def make(some: Sequence[Order]) -> None:
        stored.extend(Template.objects.bulk_create(map(_row, some)))

    for some in batches(orders, most=MOST_ROWS, most_size=MOST_BYTES):
        yield partial(make, some)
    version_ids: dict[tuple[int, int], int] = {}

    def write(versions: Sequence[Version]) -> None:
        for version in Version.objects.bulk_create(versions):
            version_ids[version.template_id, version.number] = version.pk

    versions = (
        (version_row(template.pk, number, version, author_id), text_bytes_of([version]))
        for template, order in zip(stored, orders, strict=True)
        for number, version in enumerate(order.draft.versions, start=1)
    )
    for sized in batches(versions, most=MOST_ROWS, most_size=MOST_BYTES, size_of=lambda pair: pair[1]):
        yield partial(write, [version for version, _ in sized])
    pairs = list(zip(stored, orders, strict=True))
    labels = [
        Label(template_id=template.pk, name=name, version_id=version_ids[template.pk, number])
        for template, order in pairs
        for name, number in order.draft.labels.items()
    ]
    for few in batches(labels, most=MOST_ROWS, most_size=MOST_BYTES):
        yield partial(Label.objects.bulk_create, few)
    tags = [Tag(template_id=template.pk, name=name) for template, order in pairs for name in order.draft.tags]
    for many in batches(tags, most=MOST_SMALL_ROWS, most_size=MOST_BYTES):
        yield partial(Tag.objects.bulk_create, many)


def _row(order: Order) -> Template:
    draft = order.draft
    return Template(
        slug=order.slug,
        title=draft.title,
        description=draft.description,
        category=draft.category,
        language=draft.language,
        text_bytes=text_bytes_of(draft.versions),
        state=Template.State.STORING,
    )


def _discarding(ids: Collection[int]) -> Iterator[Callable[[], object]]:
    models: tuple[type[Model], ...] = (Label, Tag, Use)
    for model in models:
        rows = model._default_manager.filter(template_id__in=ids)
        for some in batches(list(rows.values_list("pk", flat=True)), most=MOST_SMALL_ROWS, most_size=MOST_BYTES):
            yield model._default_manager.filter(pk__in=some).delete
    versions = Version.objects.filter(template_id__in=ids).order_by().values_list("pk", Length("text"))
    for sized in batches(list(versions), most=MOST_ROWS, most_size=MOST_BYTES, size_of=lambda pair: pair[1]):
        # By the ids alone: Django would read the texts of what it deletes.
        yield Version.objects.only("pk").filter(pk__in=[pk for pk, _ in sized]).delete
    for some in batches(list(ids), most=MOST_ROWS, most_size=MOST_BYTES):
        yield Template.objects.filter(pk__in=some).delete


def free_slugs(drafts: Sequence[TemplateDraft], *, owner_id: int | None) -> list[str]:
    """Return a slug for each: its own, or one made from its title that looks like no other.

    Raises Conflict if two of them have look-alikes of their own.
    """
    given = [latin_form(draft.slug) for draft in drafts if draft.slug is not None]
    if len(set(given)) < len(given):
        raise Conflict("Two of the templates have the same slug. Rename one.", code=Code.ALREADY_EXISTS, param="slug")
    bases = [_base(draft.title) for draft in drafts if draft.slug is None]
    taken = set(given) | set(map(latin_form, RESERVED_SLUGS))
    taken |= _stored_forms(list(map(latin_form, bases)), taken, owner_id)
    # Each base is numbered once: what is taken for one template is for all that come after it.
    numbered = {base: _free(base, taken) for base in bases}
    made = map(next, map(numbered.__getitem__, bases))
    return [draft.slug if draft.slug is not None else next(made) for draft in drafts]


def _stored_forms(wanted: Sequence[str], taken: Collection[str], owner_id: int | None) -> set[str]:
    """Return the forms that public templates and the user's own have; none if every wanted form can be had as it is."""
    rows = Template.objects.annotate(form=slug_form("slug"))
    if len(set(wanted)) == len(wanted) and not set(wanted) & set(taken):
        like_wanted = rows.filter(form__in=wanted)
        # One after the other: each has an index of its own.
        if not (like_wanted.filter(owner_id=owner_id).exists() or like_wanted.filter(is_public=True).exists()):
            return set()
    return set(rows.filter(Q(owner_id=owner_id) | Q(is_public=True)).values_list("form", flat=True))


def _base(title: str) -> str:
    return slugify(title)[:_MOST_SLUG_CHARACTERS].strip("-_") or "template"


def _free(base: str, taken: set[str]) -> Iterator[str]:
    """Yield slugs whose form is not taken yet, and take them."""
    for number in count(1):
        slug = base if number == 1 else f"{base}-{number}"
        form = latin_form(slug)
        if form not in taken:
            taken.add(form)
            yield slug
