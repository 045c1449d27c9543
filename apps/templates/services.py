"""What is written of templates: made, changed, given versions and labels, rendered, deleted.

Each change is one transaction, the index of the search included. Whoever changes a template locks its row first
(PostgreSQL) or the database (SQLite), so that version numbers have no gaps and no doubles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db import IntegrityError, transaction
from django.db.models import F, Sum, TextField
from django.db.models.functions import Cast, Length

from apps.accounts.identity import Caller
from apps.llm.errors import Code, Conflict, Forbidden, InvalidRequest, NotFound
from apps.templates import search
from apps.templates.library.declarations import agreement_check
from apps.templates.library.drafts import (
    LABELS,
    MAX_VERSIONS,
    TemplateChange,
    TemplateDraft,
    VersionDraft,
    variables_json,
    variables_of,
)
from apps.templates.library.storing import Order, free_slugs, tags_set, templates_store
from apps.templates.models import Label, Template, Version
from apps.templates.rendering import render
from apps.templates.selectors import template_find, template_served, version_get, version_newest

__all__ = [
    "Rendered",
    "label_move",
    "label_remove",
    "template_count_use",
    "template_create",
    "template_delete",
    "template_render",
    "template_update",
    "templates_import",
    "version_create",
]

MAX_TEMPLATES_PER_USER = 10_000
MAX_STORED_CHARACTERS = 16_000_000
"""Of all versions of one template, texts and variables: so that it can be exported in one piece."""

_TRIES = 10
_SAID = ("slug", "title", "description", "category", "language", "is_public", "updated_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A template filled in: the number of the version that was, and with which values, defaults included."""

    text: str
    version: int
    variables: Mapping[str, object]


def template_create(*, caller: Caller, draft: TemplateDraft) -> Template:
    """Store a new template of the caller's.

    Raises:
        Conflict: its slug is taken. One that is made from the title never is.
        InvalidRequest: the caller has as many templates as they may.

    """
    return templates_import(caller=caller, drafts=[draft])[0]


def templates_import(*, caller: Caller, drafts: Sequence[TemplateDraft]) -> Sequence[Template]:
    """Store new templates of the caller's, all of them or none; raises as `template_create`."""
    with transaction.atomic():
        if Template.objects.filter(owner_id=caller.user_id).count() + len(drafts) > MAX_TEMPLATES_PER_USER:
            raise InvalidRequest(f"You may have {MAX_TEMPLATES_PER_USER:,} templates. Delete some first.")
        stored = _store(caller, drafts)
        search.index_templates([template.pk for template in stored])
    return stored


def template_update(*, caller: Caller, slug: str, change: TemplateChange) -> Template:
    """Change what is said of a template, and make a new version if its text or variables change.

    What is as it was already changes nothing. Raises NotFound, Forbidden, Conflict, InvalidRequest.
    """
    with transaction.atomic():
        template = _for_change(caller, slug)
        changed = _describe_anew(template, change)
        draft = _version_anew(template, change)
        if draft is not None:
            _version_add(template, draft, caller)
        if changed or draft is not None:
            _save(template)
    return template


def template_delete(*, caller: Caller, slug: str) -> None:
    """Delete a template with all its versions. Raises NotFound, Forbidden."""
    with transaction.atomic():
        template = _for_change(caller, slug)
        # A trigger takes it out of the search.
        template.delete()


def version_create(*, caller: Caller, slug: str, draft: VersionDraft) -> Version:
    """Add a version to a template; no label moves. Raises NotFound, Forbidden, InvalidRequest."""
    with transaction.atomic():
        template = _for_change(caller, slug)
        version = _version_add(template, draft, caller)
        _save(template)
    return version


def label_move(*, caller: Caller, slug: str, name: str, number: int) -> Label:
    """Put a label at a version, from wherever it stood. Raises NotFound, Forbidden, InvalidRequest."""
    with transaction.atomic():
        template = _for_change(caller, slug)
        _check_label(name)
        version = version_get(template=template, number=number)
        if version is None:
            raise InvalidRequest("The template has no version of this number.", param="version")
        before = template.labels.filter(name=name).first()
        if before is not None and before.version_id == version.pk:
            return before
        label, _ = Label.objects.update_or_create(template=template, name=name, defaults={"version": version})
        _save(template)
    return label


def label_remove(*, caller: Caller, slug: str, name: str) -> None:
    """Take a label off the version it stands at. Raises NotFound (it stands at none, too), Forbidden."""
    with transaction.atomic():
        template = _for_change(caller, slug)
        _check_label(name)
        removed, _ = template.labels.filter(name=name).delete()
        if not removed:
            raise NotFound("This label stands at no version of the template.")
        _save(template)


def template_render(
    *, caller: Caller, slug: str, values: Mapping[str, object], version: int | None = None, label: str | None = None
) -> Rendered:
    """Fill a template in and count a use: of the version or the label named, else of production, else of the newest.

    Raises NotFound, and InvalidRequest naming the variables that are missing, unknown or of another type.
    """
    template = template_find(caller=caller, slug=slug)
    served = template_served(template=template, version=version, label=label)
    variables = variables_of(served.variables)
    text = render(served.text, variables, values)
    template_count_use(template_id=template.pk)
    used = {variable.name: values.get(variable.name, variable.default) for variable in variables}
    return Rendered(text=text, version=served.number, variables=used)


def template_count_use(*, template_id: int) -> None:
    """Count one use of a template, which may have gone meanwhile."""
    Template.objects.filter(pk=template_id).update(uses=F("uses") + 1)


def _store(caller: Caller, drafts: Sequence[TemplateDraft]) -> list[Template]:
    # Somebody else may take a slug between the look for a free one and the insertion.
    for _ in range(_TRIES):
        slugs = free_slugs(drafts, owner_id=caller.user_id)
        orders = [Order(slug=slug, draft=draft) for slug, draft in zip(slugs, drafts, strict=True)]
        try:
            with transaction.atomic():
                return templates_store(orders, owner_id=caller.user_id, author_id=caller.user_id)
        except IntegrityError:
            if all(draft.slug is not None for draft in drafts):
                break
    raise _slug_taken()


def _for_change(caller: Caller, slug: str) -> Template:
    """Return a template with its row locked, as nobody else changes it now. Raises NotFound, Forbidden."""
    found = template_find(caller=caller, slug=slug)
    if found.owner_id != caller.user_id and not caller.is_staff:
        raise Forbidden("This template is not yours. Make one of your own from it, and change that.")
    locked = Template.objects.select_for_update().filter(pk=found.pk).first()
    if locked is None:
        raise NotFound("There is no such template. It has just been deleted.")
    return locked


def _describe_anew(template: Template, change: TemplateChange) -> bool:
    """Set what is said of a template; return whether any of it is new. Its row is not saved yet, its tags are."""
    new = {
        name: value
        for name in ("slug", "title", "description", "category", "language", "is_public")
        if (value := getattr(change, name)) is not None and value != getattr(template, name)
    }
    for name, value in new.items():
        setattr(template, name, value)
    retagged = change.tags is not None and change.tags != tuple(template.tags.values_list("name", flat=True))
    if retagged:
        tags_set({template.pk: change.tags or ()})
    return bool(new) or retagged


def _version_anew(template: Template, change: TemplateChange) -> VersionDraft | None:
    if change.text is None and change.variables is None:
        return None
    newest = version_newest(template=template)
    before = variables_of(newest.variables)
    text = newest.text if change.text is None else change.text
    variables = before if change.variables is None else change.variables
    agreement_check(text, variables)
    if (text, variables) == (newest.text, before):
        return None
    return VersionDraft(text=text, variables=variables, note=change.note)


def _version_add(template: Template, draft: VersionDraft, caller: Caller) -> Version:
    stored = template.versions.aggregate(characters=Sum(Length("text") + Length(Cast("variables", TextField()))))
    newest = version_newest(template=template).number
    if newest >= MAX_VERSIONS:
        raise InvalidRequest(f"A template has at most {MAX_VERSIONS:,} versions. Go on in a new template.")
    variables = variables_json(draft.variables)
    if stored["characters"] + len(draft.text) + len(str(variables)) > MAX_STORED_CHARACTERS:
        raise InvalidRequest(
            f"The versions of a template have at most {MAX_STORED_CHARACTERS:,} characters together. "
            "Go on in a new template.",
            param="text",
        )
    return Version.objects.create(
        template=template,
        number=newest + 1,
        text=draft.text,
        variables=variables,
        note=draft.note,
        created_by_id=caller.user_id,
    )


def _save(template: Template) -> None:
    """Save what is said of a template, and when that was; tell the search. Its uses are not ours to write."""
    try:
        with transaction.atomic():
            template.save(update_fields=_SAID)
    except IntegrityError as error:
        raise _slug_taken() from error
    search.index_templates([template.pk])


def _check_label(name: str) -> None:
    if name not in LABELS:
        raise NotFound(f"There is no such label. There are {' and '.join(LABELS)}.")


def _slug_taken() -> Conflict:
    return Conflict(
        "This slug is taken, by a template of yours or by a public one, or looks like theirs. Choose another.",
        code=Code.ALREADY_EXISTS,
        param="slug",
    )
