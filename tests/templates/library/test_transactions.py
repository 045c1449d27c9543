"""What one transaction writes of a large change: a bounded part of it, so that other writers get their turn."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection

from apps.templates.library.loading import library_load
from apps.templates.library.starter_library import read_library
from apps.templates.models import Label, Tag, Template, Use, Version
from apps.templates.search import index_pending, index_templates
from tests.templates.api import Api, user_named

MOST_VALUES = 900
"""Of the statements of one transaction: some 50 rows of templates or versions, 250 of tags. A word counts as one."""
MOST_CHARACTERS = 350_000
"""Of the same: versions of 256 KiB and what an index entry has besides."""

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def writer(transactional_db) -> Api:
    return Api(user_named("ada", is_staff=True))


@contextmanager
def transactions() -> Iterator[list[tuple[int, int]]]:
    """Yield how many values, and how many characters of them, each transaction has written so far."""
    written: list[tuple[int, int]] = []
    if connection.vendor != "sqlite":
        raise AssertionError("where a transaction begins is told by SQLite's statements")

    def look(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("BEGIN") or not connection.in_atomic_block:
            written.append((0, 0))
        if sql.startswith(("INSERT", "UPDATE", "DELETE")):
            values = [value for row in params for value in row] if many else list(params or ())
            count, characters = written[-1]
            count += len(values) + sum(map(_words_of, values))
            written[-1] = count, characters + sum(len(one) for one in values if isinstance(one, str))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(look):
        yield written
    written[:] = [one for one in written if one != (0, 0)]


def _words_of(value: object) -> int:
    """Return how many rows a list of words makes, which is one value."""
    return len(json.loads(value)) if isinstance(value, str) and value.startswith('{"') else 0


def check(written: list[tuple[int, int]], *, at_least: int) -> None:
    assert len(written) >= at_least
    assert max(values for values, _ in written) <= MOST_VALUES
    assert max(characters for _, characters in written) <= MOST_CHARACTERS


def random_words(count: int, seed: int) -> str:
    source = random.Random(seed)
    return " ".join("".join(source.choices("abcdefghijklmnopqrstuvwxyz", k=6)) for _ in range(count))


def imported(api: Api, templates: list[dict[str, Any]]) -> None:
    api.call("POST", "import/", status=201, data=json.dumps(templates), content_type="application/json")


def test_an_import_of_random_words(writer):
    templates = [{"title": "T", "category": "seo", "text": random_words(2_800, seed)} for seed in range(2)]
    with transactions() as written:
        imported(writer, templates)
    check(written, at_least=5)
    assert Template.objects.filter(state=Template.State.WHOLE).count() == 2
    assert len(writer.slugs(f"search/?q={templates[1]['text'].split()[-1]}")) == 1


def test_an_import_of_many_rows(writer):
    templates = [
        {
            "title": f"T{number}",
            "category": "seo",
            "tags": [f"tag-{number}-{tag}" for tag in range(20)],
            "versions": [{"text": f"{version}"} for version in range(4)],
            "labels": {"production": 1, "staging": 2},
        }
        for number in range(60)
    ]
    with transactions() as written:
        imported(writer, templates)
    check(written, at_least=15)
    assert (Version.objects.count(), Label.objects.count(), Tag.objects.count()) == (240, 120, 1_200)


def test_texts_of_a_megabyte(writer):
    templates = [{"title": "T", "category": "seo", "text": "x" * 180_000} for _ in range(5)]
    with transactions() as written:
        imported(writer, templates)
    check(written, at_least=8)


def test_the_starter_library(transactional_db):
    library = read_library()[:12]
    with transactions() as written:
        library_load(library=library)
    check(written, at_least=10)
    assert Template.objects.filter(is_public=True, owner=None).count() == len(library)


def test_a_change_of_text_and_tags(writer):
    writer.make(slug="one", text="x", variables=[])
    with transactions() as written:
        writer.call("PATCH", "one/", {"text": random_words(2_800, 7), "tags": [f"tag-{tag}" for tag in range(20)]})
    check(written, at_least=2)


def test_deleting_many_versions(writer):
    writer.make(slug="one", text="x", variables=[])
    template = Template.objects.get()
    Version.objects.bulk_create(
        [Version(template=template, number=number, text="y" * 16_000) for number in range(2, 200)], batch_size=50
    )
    users = [user_named(f"user-{number}") for number in range(600)]
    Use.objects.bulk_create([Use(template=template, user=user) for user in users], batch_size=100)
    with transactions() as written:
        writer.call("DELETE", "one/", status=204)
    check(written, at_least=16)
    assert not Template.objects.exists()
    assert not Version.objects.exists()
    assert not Use.objects.exists()


def test_a_deletion_reads_no_text(writer):
    writer.make(slug="one", text="x", variables=[])
    read: list[str] = []

    def look(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("SELECT") and '"text"' in sql:
            read.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(look):
        writer.call("DELETE", "one/", status=204)
    assert [sql for sql in read if 'LENGTH("prompt_templates_version"."text")' not in sql] == []


def test_a_death_between_two_transactions_leaves_nothing_that_anybody_sees(writer):
    """Every transaction in turn is the one that does not begin any more; before the last ones all is there."""
    died_after = 0
    templates = [{"title": "T", "category": "seo", "text": f"{number} zebra", "tags": ["a"]} for number in range(3)]
    while True:
        begun = 0

        def look(execute: Any, sql: str, params: Any, many: bool, context: Any, limit: int = died_after) -> Any:
            nonlocal begun
            if sql.startswith("BEGIN"):
                begun += 1
                if begun > limit:
                    raise SystemExit("the process died")
            return execute(sql, params, many, context)

        try:
            with connection.execute_wrapper(look):
                imported(writer, templates)
        except SystemExit:
            died_after += 1
            if not Template.objects.filter(state=Template.State.WHOLE).exists():
                assert writer.slugs() == writer.slugs("search/?q=zebra") == []
                assert writer.get("tags/")["results"] == []
                assert writer.get("quota/")["templates"]["used"] == 0
                continue
        break
    assert died_after >= 4
    assert len(writer.slugs()) == 3
    index_pending()
    assert len(writer.slugs("search/?q=zebra")) == 3


def test_what_a_death_has_left_is_put_in_order(writer):
    writer.make(slug="stays", text="zebra", variables=[])
    for state in (Template.State.STORING, Template.State.DELETING):
        left = Template.objects.create(slug="left", title="Left", category="seo", state=state)
        Version.objects.create(template=left, number=1, text="x")
    Template.objects.filter(state=Template.State.STORING).update(created_at="2026-01-01T00:00:00Z")
    begun = Template.objects.create(slug="begun", title="Begun", category="seo", state=Template.State.STORING)
    library_load(library=())
    assert sorted(Template.objects.values_list("slug", flat=True)) == ["begun", "stays"]
    assert begun.versions.count() == 0


def test_a_change_that_was_not_indexed_is_indexed_later(writer):
    writer.make(slug="one", text="zebra", variables=[])
    template = Template.objects.get()
    Version.objects.create(template=template, number=2, text="kangaroo")
    template.save()
    assert writer.slugs("search/?q=kangaroo") == []
    index_pending()
    assert writer.slugs("search/?q=kangaroo") == ["one"]


def test_an_older_look_never_overwrites_a_newer_entry(writer):
    """Somebody changes the template and indexes it between another's look at it and the entry made of that look."""
    writer.make(slug="one", text="zebra", variables=[])
    template = Template.objects.get()
    is_first = True

    def look(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal is_first
        if sql.startswith("BEGIN") and is_first:
            is_first = False
            writer.call("PATCH", "one/", {"text": "kangaroo"})
        return execute(sql, params, many, context)

    with connection.execute_wrapper(look):
        index_templates([template.pk])
    assert not is_first
    assert writer.slugs("search/?q=kangaroo") == ["one"]
    assert writer.slugs("search/?q=zebra") == []
