"""What is written of templates into the index: one entry each, in the transaction of whoever changes the template."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.db import transaction

from apps.templates.models import Label, Template, Version
from apps.templates.search.databases import search_index
from apps.templates.search.index import Entry
from apps.templates.search.words import analysed, is_spaceless, words_in

__all__ = ["index_templates", "rebuild_index"]

MAX_INDEXED_CHARACTERS = 20_000
"""Of a template's text; what comes later is not found."""
_BATCH = 200


def index_templates(template_ids: Iterable[int]) -> None:
    """Write templates into the index as they are now, with production's text or else the newest; absent ones not."""
    ids = sorted(set(template_ids))
    for start in range(0, len(ids), _BATCH):
        with transaction.atomic():
            search_index().put(_entries(ids[start : start + _BATCH]))


def rebuild_index() -> None:
    """Write the whole index anew, in one transaction."""
    with transaction.atomic():
        search_index().clear()
        index_templates(Template.objects.values_list("id", flat=True))


def _entries(ids: Sequence[int]) -> list[Entry]:
    templates = Template.objects.filter(id__in=ids).prefetch_related("tags")
    # Plain queries: as subqueries for each template they cost a scan each where the planner has no figures yet.
    shown: dict[int, int] = {}
    for template_id, version_id in (
        Version.objects.filter(template__in=ids).order_by("-number").values_list("template_id", "id")
    ):
        shown.setdefault(template_id, version_id)
    labels: dict[int, str] = {}
    # In this order production overwrites staging.
    for template_id, name, version_id in (
        Label.objects.filter(template__in=ids).order_by("-name").values_list("template_id", "name", "version_id")
    ):
        labels[template_id] = name
        if name == Label.Name.PRODUCTION:
            shown[template_id] = version_id
    texts = dict(Version.objects.filter(id__in=shown.values()).values_list("template_id", "text"))
    return [_entry(one, texts.get(one.id, ""), labels.get(one.id, "draft")) for one in templates]


def _entry(template: Template, text: str, label: str) -> Entry:
    filed = (*(tag.name for tag in template.tags.all()), template.category, template.slug)
    text = text[:MAX_INDEXED_CHARACTERS]
    return Entry(
        template_id=template.id,
        title=analysed(template.title),
        # Nothing is side by side across two tags.
        tags="|".join(analysed(one) for one in filed),
        description=analysed(template.description),
        text=analysed(text),
        label=label,
        words=frozenset(
            word.word
            for one in (template.title, *filed, template.description, text)
            for word in words_in(one)
            if len(word.word) >= 3 and word.word.isalpha() and not is_spaceless(word.word)
        ),
    )
