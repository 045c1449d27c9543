"""What is written of templates: made, changed, given versions and labels, rendered, deleted.

What takes long is done outside of transactions, and each of them is short: SQLite has one writer at a time. Whoever
changes a template locks its row (PostgreSQL) or the database (SQLite), so that version numbers have no gaps and no
doubles. The search is told after the change, before the caller is answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db import IntegrityError, transaction
from django.db.models import F

from apps.accounts.identity import Caller
from apps.llm.errors import Code, Forbidden, InvalidRequest, NotFound, ServiceUnavailable
from apps.templates import search
from apps.templates.library.declarations import variables_agreed
from apps.templates.library.drafts import (
    LABELS,
    MAX_VERSIONS,
    TemplateChange,
    TemplateDraft,
    VersionDraft,
    published_from,
    variables_of,
)
from apps.templates.library.making import slug_taken, templates_make
from apps.templates.library.quotas import quota_take, text_bytes_of
from apps.templates.library.storing import tags_set, templates_discard, templates_hide, version_row
from apps.templates.models import Label, Template, Use, Version
from apps.templates.rendering import render
from apps.templates.selectors import template_changeable, template_find, template_served, version_newest

__all__ = [
    "Rendered",
    "label_move",
    "label_remove",
    "newest_number",
    "template_count_use",
    "template_create",
    "template_delete",
    "template_render",
    "template_update",
    "templates_import",
    "unpublish",
    "version_create",
    "version_published",
]

_TRIES = 10
_SAID = ("slug", "title", "description", "category", "language", "is_public", "public_from", "text_bytes", "updated_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A template filled in: the number of the version that was, and with which values, defaults included."""

    text: str
    version: int
    variables: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """A version before its template is locked: all that takes long for a large one is done."""

    row: Version
    text_bytes: int

    @classmethod
    def of(cls, draft: VersionDraft, caller: Caller) -> _Prepared:
        return cls(row=version_row(0, 0, draft, caller.user_id), text_bytes=text_bytes_of([draft]))


def template_create(*, caller: Caller, draft: TemplateDraft) -> Template:
    """Store a new template of the caller's.

    Raises:
        Conflict: its slug is taken. One that is made from the title never is.
        Forbidden: it is to be public, and the caller is not staff.
        InvalidRequest: the caller would have more than their quota.

    """
    return templates_import(caller=caller, drafts=[draft])[0]


def templates_import(*, caller: Caller, drafts: Sequence[TemplateDraft]) -> Sequence[Template]:
    """Store new templates of the caller's, all of them or none; raises as `template_create`."""
    if any(draft.public_from is not None for draft in drafts):
        _publishing_check(caller)
    return templates_make(drafts=drafts, owner_id=caller.user_id, author_id=caller.user_id)


def template_update(*, caller: Caller, slug: str, change: TemplateChange) -> Template:
    """Change what is said of a template, and make a new version if its text or variables change.

    What is as it was already changes nothing. Raises NotFound, Forbidden, Conflict, InvalidRequest.
    """
    for _ in range(_TRIES):
        found = template_find(caller=caller, slug=slug)
        template_changeable(caller=caller, template=found, to_private=change.is_public is False)
        if change.is_public and not found.is_public:
            _publishing_check(caller)
        newest = version_newest(template=found)
        draft = _version_anew(newest, change)
        version = None if draft is None else _Prepared.of(draft, caller)
        with transaction.atomic():
            template = _for_change(caller, found, to_private=change.is_public is False)
            # A text that the change leaves as it is has to be the one that its variables were checked against.
            if newest_number(template) != newest.number:
                continue
            is_to_publish = bool(change.is_public) and not template.is_public
            changed = _describe_anew(template, change)
            if version is not None:
                _version_add(template, version)
            if is_to_publish:
                template.public_from = version_published(template=template)
            if changed or version is not None:
                _save(template)
        if changed or version is not None:
            search.index_templates([template.pk])
        return template
    raise ServiceUnavailable("Others are changing this template. Send the change again.", code=Code.OVERLOADED)


def template_delete(*, caller: Caller, slug: str) -> None:
    """Delete a template with all its versions. Raises NotFound, Forbidden."""
    found = template_find(caller=caller, slug=slug)
    with transaction.atomic():
        template = _for_change(caller, found, to_private=True)
        templates_hide([template.pk])
    templates_discard([template.pk])


def version_create(*, caller: Caller, slug: str, draft: VersionDraft) -> Version:
    """Add a version to a template; no label moves. Raises NotFound, Forbidden, InvalidRequest."""
    found = template_find(caller=caller, slug=slug)
    version = _Prepared.of(draft, caller)
    with transaction.atomic():
        template = _for_change(caller, found)
        _version_add(template, version)
        _save(template)
    search.index_templates([template.pk])
    return version.row


def version_published(*, template: Template) -> int:
    """Return the number of the version that is published with a template: production's, else the newest."""
    labels = dict(template.labels.values_list("name", "version__number"))
    return published_from(labels, newest=newest_number(template))


def unpublish(*, template_id: int) -> None:
    """Make a template private: it is its owner's and staff's again, whatever of it was public."""
    with transaction.atomic():
        template = _locked(template_id)
        if template is None:
            return
        template.is_public = False
        _save(template)
    search.index_templates([template_id])


def label_move(*, caller: Caller, slug: str, name: str, number: int) -> Label:
    """Put a label at a version, from wherever it stood. Raises NotFound, Forbidden, InvalidRequest."""
    found = template_find(caller=caller, slug=slug)
    with transaction.atomic():
        template = _for_change(caller, found)
        _check_label(name)
        version_id = template.versions.filter(number=number).values_list("pk", flat=True).first()
        if version_id is None:
            raise InvalidRequest("The template has no version of this number.", param="version")
        if template.is_public and name == Label.Name.PRODUCTION and number < template.public_from:
            raise InvalidRequest(
                f"The template is public from version {template.public_from} on. To serve an earlier one to everybody, "
                "make the template private, move the label, and publish it again.",
                param="version",
            )
        before = template.labels.filter(name=name).first()
        if before is not None and before.version_id == version_id:
            return before
        label, _ = Label.objects.update_or_create(template=template, name=name, defaults={"version_id": version_id})
        _save(template)
    search.index_templates([template.pk])
    return label


def label_remove(*, caller: Caller, slug: str, name: str) -> None:
    """Take a label off the version it stands at. Raises NotFound (it stands at none, too), Forbidden."""
    found = template_find(caller=caller, slug=slug)
    with transaction.atomic():
        template = _for_change(caller, found)
        _check_label(name)
        removed, _ = template.labels.filter(name=name).delete()
        if not removed:
            raise NotFound("This label stands at no version of the template.")
        _save(template)
    search.index_templates([template.pk])


def template_render(
    *, caller: Caller, slug: str, values: Mapping[str, object], version: int | None = None, label: str | None = None
) -> Rendered:
    """Fill a template in and count its user: of the version or the label named, else of production, else of the newest.

    Raises NotFound, and InvalidRequest naming the variables that are missing, unknown or of another type.
    """
    template = template_find(caller=caller, slug=slug)
    served = template_served(caller=caller, template=template, version=version, label=label)
    variables = variables_of(served.variables)
    text = render(served.text, variables, values)
    template_count_use(template_id=template.pk, user_id=caller.user_id)
    used = {variable.name: values.get(variable.name, variable.default) for variable in variables}
    return Rendered(text=text, version=served.number, variables=used)


def template_count_use(*, template_id: int, user_id: int) -> None:
    """Count a user of a template, which may have gone meanwhile; whoever has used it before is counted already."""
    use = Use(template_id=template_id, user_id=user_id)
    if Use.objects.filter(template_id=template_id, user_id=user_id).exists():
        return
    try:
        with transaction.atomic():
            use.save(force_insert=True)
            Template.objects.filter(pk=template_id).update(uses=F("uses") + 1)
    except IntegrityError:
        # Another request of the same user has just counted it, or the template has gone.
        return


def _publishing_check(caller: Caller) -> None:
    if not caller.is_staff:
        raise Forbidden("Only staff publish templates. Leave `is_public` out, and ask staff to publish yours.")


def _for_change(caller: Caller, found: Template, *, to_private: bool = False) -> Template:
    """Return a template with its row locked, as nobody else changes it now. Raises NotFound, Forbidden."""
    template_changeable(caller=caller, template=found, to_private=to_private)
    locked = _locked(found.pk)
    if locked is None:
        raise NotFound("There is no such template. It has just been deleted.")
    # Again: it may have been published meanwhile.
    template_changeable(caller=caller, template=locked, to_private=to_private)
    return locked


def _locked(template_id: int) -> Template | None:
    return Template.objects.select_for_update().filter(pk=template_id, state=Template.State.WHOLE).first()


def _describe_anew(template: Template, change: TemplateChange) -> bool:
    """Set what is said of a template; return whether any of it is new. Its row is not saved yet, its tags are."""
    new = {
        name: value
        for name in ("slug", "title", "description", "category", "language", "is_public")
        if (value := getattr(change, name)) is not None and value != getattr(template, name)
    }
    for name, value in new.items():
        setattr(template, name, value)
    tags = change.tags
    retagged = tags is not None and set(tags) != set(template.tags.values_list("name", flat=True))
    if retagged and tags is not None:
        tags_set(template, tags)
    return bool(new) or retagged


def _version_anew(newest: Version, change: TemplateChange) -> VersionDraft | None:
    if change.text is None and change.variables is None:
        return None
    before = variables_of(newest.variables)
    text = newest.text if change.text is None else change.text
    variables = variables_agreed(text, before if change.variables is None else change.variables)
    if (text, variables) == (newest.text, before):
        return None
    return VersionDraft(text=text, variables=variables, note=change.note)


def _version_add(template: Template, version: _Prepared) -> None:
    """Add a version to a template whose row is locked; the row is not saved yet."""
    newest = newest_number(template)
    if newest >= MAX_VERSIONS:
        raise InvalidRequest(f"A template has at most {MAX_VERSIONS:,} versions. Go on in a new template.")
    if template.owner_id is not None:
        quota_take(template.owner_id, text_bytes=version.text_bytes)
    template.text_bytes += version.text_bytes
    version.row.template_id, version.row.number = template.pk, newest + 1
    version.row.save(force_insert=True)


def newest_number(template: Template) -> int:
    """Return the number of the version that was written last."""
    return template.versions.order_by("-number").values_list("number", flat=True)[:1].get()


def _save(template: Template) -> None:
    """Save what is said of a template, and when that was. Its uses are not ours to write. Raises Conflict."""
    try:
        with transaction.atomic():
            template.save(update_fields=_SAID)
    except IntegrityError as error:
        raise slug_taken() from error


def _check_label(name: str) -> None:
    if name not in LABELS:
        raise NotFound(f"There is no such label. There are {' and '.join(LABELS)}.")
