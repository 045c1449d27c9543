"""What is written of templates into the index: one entry each, after the transaction that changes the template."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Left

from apps.core.transactions import batches, run_in_transactions
from apps.templates.models import Label, Template, Version
from apps.templates.search.dictionary import first_words
from apps.templates.search.entries import entries_clear, entries_put
from apps.templates.search.index import Entry
from apps.templates.search.words import analysed, is_spaceless, words_in

__all__ = ["index_pending", "index_templates", "rebuild_index"]

MAX_INDEXED_CHARACTERS = 20_000
"""Of a template's text; what comes later is not found."""
_BATCH = 50
"""Templates whose texts are read together."""
_MOST_CHARACTERS = 20_000
"""Of the entries that one transaction writes: some 15 ms on SQLite. The largest entry has one to itself."""
_CHARACTERS_PER_PIECE = 5
"""What three letters of a word that typos are forgiven of count for: they cost as much, if the word is new."""


def index_templates(template_ids: Iterable[int]) -> None:
    """Write templates into the index as they are now, with production's text or else the newest.

    A template that is absent or that nobody may see has left the index by a trigger. Call it after the transaction that
    changed them: texts are read and analysed outside of transactions, and written in short ones. One that has changed
    again meanwhile is left to whoever has changed it.
    """
    run_in_transactions(_works(sorted(set(template_ids))))


def index_pending() -> None:
    """Index what a process that died between a change and its index entry has left, and all after a migration."""
    pending = Template.objects.filter(~Q(indexed_at=F("updated_at")) | Q(indexed_at=None), audience__isnull=False)
    index_templates(pending.values_list("id", flat=True))


def rebuild_index() -> None:
    """Write the whole index anew. To empty it first is one long transaction: for a time when nobody writes."""
    with transaction.atomic():
        entries_clear()
    index_templates(Template.objects.values_list("id", flat=True))


def _works(ids: Sequence[int]) -> Iterator[Callable[[], object]]:
    for start in range(0, len(ids), _BATCH):
        entries = _entries(ids[start : start + _BATCH])
        for some in batches(entries, most=_BATCH, most_size=_MOST_CHARACTERS, size_of=_size):
            yield partial(_put, some)


def _size(pair: tuple[Template, Entry]) -> int:
    entry = pair[1]
    pieces = sum(len(word) + 1 for word in first_words(entry.words))
    written = len(entry.title) + len(entry.tags) + len(entry.description) + len(entry.text)
    return written + _CHARACTERS_PER_PIECE * pieces


def _put(entries: Sequence[tuple[Template, Entry]]) -> None:
    rows = Template.objects.select_for_update().filter(pk__in=[template.pk for template, _ in entries]).order_by("pk")
    now = {row[0]: row[1:] for row in rows.values_list("pk", "updated_at", "audience")}
    # Only what an entry was made from: whoever has changed a template since writes an entry of their own.
    current = [entry for template, entry in entries if now.get(template.pk) == (template.updated_at, template.audience)]
    Template.objects.filter(pk__in=[entry.template_id for entry in current]).update(indexed_at=F("updated_at"))
    entries_put(current)


def _entries(ids: Sequence[int]) -> Iterator[tuple[Template, Entry]]:
    # Read first: whatever is changed after it, its `updated_at` is not the one that `_put` looks for.
    templates = list(Template.objects.filter(id__in=ids, audience__isnull=False).prefetch_related("tags"))
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
    beginnings = Version.objects.filter(id__in=shown.values()).annotate(first=Left("text", MAX_INDEXED_CHARACTERS))
    texts = dict(beginnings.values_list("template_id", "first"))
    for one in templates:
        yield one, _entry(one, texts.get(one.id, ""), labels.get(one.id, "draft"))


def _entry(template: Template, text: str, label: str) -> Entry:
    filed = (*(tag.name for tag in template.tags.all()), template.category, template.slug)
    return Entry(
        template_id=template.id,
        audience=template.audience,
        title=analysed(template.title),
        # Nothing is side by side across two tags.
        tags="|".join(analysed(one) for one in filed),
        description=analysed(template.description),
        text=analysed(text),
        label=label,
        words=tuple(
            dict.fromkeys(
                word.word
                for one in (template.title, *filed, template.description, text)
                for word in words_in(one)
                if len(word.word) >= 3 and word.word.isalpha() and not is_spaceless(word.word)
            )
        ),
    )
