"""The starter library into the database: what is new is made, what has changed is changed, the rest stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Max

from apps.core.look_alikes import latin_form
from apps.templates import search
from apps.templates.library.drafts import TemplateDraft, VersionDraft, variables_json
from apps.templates.library.making import templates_make
from apps.templates.library.quotas import text_bytes_of
from apps.templates.library.starter_library import StarterTemplate
from apps.templates.library.storing import leftovers_discard, tags_set
from apps.templates.models import Label, Template, Version
from apps.templates.slug_forms import slug_form

__all__ = ["Loaded", "library_load"]

_NOTE = "starter library"
"""What the versions that come from the files are told by: staff may have made others since."""
_SAID = ("title", "description", "category", "language")


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """How many templates of the library were made, changed and left as they were."""

    made: int
    changed: int
    unchanged: int
    taken: tuple[str, ...]
    """Slugs that public templates of users have, or look-alikes of them: these are not made."""


def library_load(*, library: Sequence[StarterTemplate]) -> Loaded:
    """Bring the library up to its files: new templates all or none, changed ones each by itself, none in a long step.

    A text that has changed since it was last loaded becomes a new version, and `production` moves to it. A template
    that has gone from the files stays, and so does whether a template is public, which staff decide. What a process
    that died has left of other writes is put in order first.
    """
    leftovers_discard()
    search.index_pending()
    stored = {row.slug: row for row in Template.objects.filter(owner=None, state=Template.State.WHOLE)}
    new = [one for one in library if one.slug not in stored]
    by_form = {latin_form(one.slug): one.slug for one in new}
    public = Template.objects.filter(is_public=True).annotate(form=slug_form("slug")).filter(form__in=by_form)
    taken = {by_form[form] for form in public.values_list("form", flat=True)}
    drafts = [_draft(one) for one in new if one.slug not in taken]
    made = templates_make(drafts=drafts, owner_id=None, author_id=None) if drafts else ()
    changed = _change([(stored[one.slug], one) for one in library if one.slug in stored])
    search.index_templates(changed)
    return Loaded(
        made=len(made),
        changed=len(changed),
        unchanged=len(library) - len(new) - len(changed),
        taken=tuple(sorted(taken)),
    )


def _draft(one: StarterTemplate) -> TemplateDraft:
    return TemplateDraft(
        slug=one.slug,
        title=one.title,
        description=one.description,
        category=one.category,
        tags=one.tags,
        language=one.language,
        public_from=1,
        versions=(VersionDraft(text=one.text, variables=one.variables, note=_NOTE),),
        labels={Label.Name.PRODUCTION.value: 1},
    )


def _change(pairs: Sequence[tuple[Template, StarterTemplate]]) -> list[int]:
    """Change the templates that differ from the files; return their ids."""
    texts = _loaded_texts()
    tags: dict[int, set[str]] = {}
    for template_id, name in Template.objects.filter(owner=None).values_list("id", "tags__name"):
        tags.setdefault(template_id, set()).add(name)
    changed: list[int] = []
    for template, one in pairs:
        said = {name: getattr(one, name) for name in _SAID if getattr(template, name) != getattr(one, name)}
        retagged = tags[template.pk] != set(one.tags)
        rewritten = texts.get(template.pk) != (one.text, variables_json(one.variables))
        if said or retagged or rewritten:
            with transaction.atomic():
                _change_one(template.pk, one, said, retagged=retagged, rewritten=rewritten)
            changed.append(template.pk)
    return changed


def _change_one(
    template_id: int, one: StarterTemplate, said: Mapping[str, str], *, retagged: bool, rewritten: bool
) -> None:
    template = Template.objects.select_for_update().get(pk=template_id)
    for name, value in said.items():
        setattr(template, name, value)
    if retagged:
        tags_set(template, one.tags)
    if rewritten:
        version = _version_make(template, one)
        template.text_bytes += text_bytes_of([version])
    template.save(update_fields=(*_SAID, "text_bytes", "updated_at"))


def _loaded_texts() -> dict[int, tuple[str, list[dict[str, object]]]]:
    """Return text and variables of each template as they were last loaded."""
    loaded = Version.objects.filter(template__owner=None, created_by=None, note=_NOTE).order_by("number")
    # The newest of a template comes last.
    return {
        template_id: (text, variables)
        for template_id, text, variables in loaded.values_list("template_id", "text", "variables")
    }


def _version_make(template: Template, one: StarterTemplate) -> VersionDraft:
    newest = template.versions.aggregate(newest=Max("number"))["newest"]
    draft = VersionDraft(text=one.text, variables=one.variables, note=_NOTE)
    version = Version.objects.create(
        template=template,
        number=newest + 1,
        text=draft.text,
        variables=variables_json(draft.variables),
        note=draft.note,
    )
    Label.objects.update_or_create(template=template, name=Label.Name.PRODUCTION, defaults={"version": version})
    return draft
