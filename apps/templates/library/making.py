"""New templates, all of them or none: stored where nobody sees them, then given to their owner in one short step."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import IntegrityError, transaction

from apps.core.look_alikes import latin_form
from apps.llm.errors import Code, Conflict
from apps.templates import search
from apps.templates.library.drafts import TemplateDraft
from apps.templates.library.quotas import quota_check, quota_take, text_bytes_of
from apps.templates.library.storing import (
    Order,
    free_slugs,
    templates_discard,
    templates_give,
    templates_rename,
    templates_store,
)
from apps.templates.models import Template
from apps.templates.slug_forms import slug_form

__all__ = ["slug_taken", "templates_make"]

_TRIES = 10


def templates_make(
    *, drafts: Sequence[TemplateDraft], owner_id: int | None, author_id: int | None
) -> Sequence[Template]:
    """Store new templates of an owner's, in the order of the drafts. No transaction of it is a long one.

    A process that dies meanwhile leaves nothing that anybody sees, and `leftovers_discard` deletes it; or all of them,
    and `search.index_pending` indexes them.

    Raises:
        Conflict: a slug is taken. One that is made from the title never is.
        InvalidRequest: the owner would have more than their quota.

    """
    text_bytes = sum(text_bytes_of(draft.versions) for draft in drafts)
    if owner_id is not None:
        # Looked at first: what is refused in the end would have been stored for nothing.
        quota_check(owner_id, templates=len(drafts), text_bytes=text_bytes)
    _slugs_check(drafts, owner_id)
    orders = _orders(drafts, owner_id)
    stored: list[Template] = []
    try:
        templates_store(orders, author_id=author_id, stored=stored)
        for _ in range(_TRIES):
            try:
                with transaction.atomic():
                    if owner_id is not None:
                        quota_take(owner_id, templates=len(drafts), text_bytes=text_bytes)
                    templates_give(stored, orders, owner_id=owner_id)
                break
            except IntegrityError:
                # Somebody has taken a slug since it was found free.
                _slugs_check(drafts, owner_id)
                orders = _orders(drafts, owner_id)
                templates_rename(stored, orders)
        else:
            raise slug_taken()
    except BaseException:
        templates_discard([template.pk for template in stored])
        raise
    search.index_templates([template.pk for template in stored])
    made = Template.objects.select_related("owner").in_bulk([template.pk for template in stored])
    return [made[template.pk] for template in stored if template.pk in made]


def slug_taken() -> Conflict:
    """Return what is to be raised where a slug is taken."""
    return Conflict(
        "This slug is taken, by a template of yours or by a public one, or looks like theirs. Choose another.",
        code=Code.ALREADY_EXISTS,
        param="slug",
    )


def _orders(drafts: Sequence[TemplateDraft], owner_id: int | None) -> list[Order]:
    slugs = free_slugs(drafts, owner_id=owner_id)
    return [Order(slug=slug, draft=draft) for slug, draft in zip(slugs, drafts, strict=True)]


def _slugs_check(drafts: Sequence[TemplateDraft], owner_id: int | None) -> None:
    """Raise Conflict if a slug that a draft has of its own is taken."""
    given = {latin_form(draft.slug): draft.public_from is not None for draft in drafts if draft.slug is not None}
    rows = Template.objects.annotate(form=slug_form("slug"))
    public = rows.filter(is_public=True, form__in=[form for form, is_public in given.items() if is_public])
    own = rows.none() if owner_id is None else rows.filter(owner_id=owner_id, form__in=given)
    # One after the other: each has an index of its own.
    if given and (public.exists() or own.exists()):
        raise slug_taken()
