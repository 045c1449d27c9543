"""A slug is taken by what looks like it, on both databases and for every writer."""

from __future__ import annotations

import importlib
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, transaction

from apps.core.look_alikes import latin_form
from apps.templates.library.drafts import TemplateDraft
from apps.templates.library.loading import library_load
from apps.templates.library.starter_library import read_library
from apps.templates.library.storing import free_slugs
from apps.templates.models import Template
from apps.templates.slug_forms import slug_form
from tests.each import each
from tests.templates.api import LETTER, user_named
from tests.templates.visibility import undone

LIKE = ["MA-TEST", "ma_test", "Ma_Test"]
FIRST = read_library()[0]
TIDE = TemplateDraft(
    slug=None, title="Tide", description="", category="seo", tags=(), language="en", versions=(), labels={}
)


@each("slug", LIKE, around=undone)
def test_one_that_looks_like_an_own_one(ada, slug):
    ada.make(slug="ma-test")
    assert ada.post("", {**LETTER, "slug": slug}, status=409)["param"] == "slug"
    ada.make(slug="other")
    assert ada.call("PATCH", "other/", {"slug": slug}, status=409)["param"] == "slug"
    # One's own may be written in another way.
    assert ada.call("PATCH", "ma-test/", {"slug": slug})["slug"] == slug


@each(("slug", "like"), [("hello-l", "HELL0-1"), ("modern-i", "modem_l"), ("vvv", "wv")], around=undone)
def test_its_look_alikes(ada, slug, like):
    ada.make(slug=slug)
    ada.post("", {**LETTER, "slug": like}, status=409)


def test_one_that_looks_like_a_public_one(boss, ada):
    boss.make(slug="ma-test", is_public=True)
    ada.make(slug="MA_TEST")
    template = Template.objects.get(slug="MA_TEST")
    with pytest.raises(IntegrityError), transaction.atomic():
        Template.objects.filter(pk=template.pk).update(is_public=True)


def test_one_made_from_a_title_looks_like_no_other(ada):
    ada.make(slug="MA_TEST")
    assert ada.make(title="Ma test")["slug"] == "ma-test-2"
    assert ada.make(title="Ma test")["slug"] == "ma-test-3"
    assert ada.make(title="lmport")["slug"] == "lmport-2"


@each("slug", ["IMPORT", "1mport", "Tags", "cateqories"], around=undone)
def test_the_paths_beside_them_are_reserved_with_their_look_alikes(ada, slug):
    if slug == "cateqories":
        ada.make(slug=slug)
    else:
        assert ada.post("", {**LETTER, "slug": slug}, status=400)["param"] == "slug"


def test_the_library_stands_aside(boss):
    boss.make(slug=FIRST.slug.upper(), is_public=True)
    assert library_load(library=[FIRST]).taken == (FIRST.slug,)


def test_the_database_sees_the_same_form(database):
    slugs = ["MA-TEST", "0Il1", "ModeRn", "vVv", "a_-b", "rrnn"]
    Template.objects.bulk_create([Template(slug=slug, title="x", category="seo") for slug in slugs])
    rows = dict(Template.objects.annotate(form=slug_form("slug")).values_list("slug", "form"))
    assert rows == {slug: latin_form(slug) for slug in slugs}


def test_the_database_refuses_it(database):
    ada = user_named("ada")
    Template.objects.create(owner=ada, slug="ma-test", title="x", category="seo")
    with pytest.raises(IntegrityError), transaction.atomic():
        Template.objects.bulk_create([Template(owner=ada, slug="MA_TEST", title="x", category="seo")])
    Template.objects.create(owner=user_named("bob"), slug="MA_TEST", title="x", category="seo")


def test_slugs_from_before_are_numbered(database):
    """They were written when nothing looked at forms."""
    constraints = [one for one in Template._meta.constraints if "form" in one.name]
    with connection.cursor() as cursor:
        for constraint in constraints:
            cursor.execute(f"DROP INDEX {constraint.name}")
    ada = user_named("ada")
    made = [
        Template(owner=owner, slug=slug, is_public=is_public, title="x", category="seo")
        for owner, slug, is_public in (
            (ada, "ma-test", True),
            (ada, "MA-TEST", False),
            (ada, "ma_test", False),
            (None, "MA_TEST", True),
            (user_named("bob"), "ma-test", False),
        )
    ]
    Template.objects.bulk_create(made)
    migration = importlib.import_module("apps.templates.migrations.0003_slug_forms")
    migration.rename(apps, SimpleNamespace(connection=connection))
    assert list(Template.objects.order_by("id").values_list("slug", flat=True)) == [
        "ma-test-2",
        "MA-TEST",
        "ma_test-3",
        "MA_TEST",
        "ma-test",
    ]
    with connection.cursor() as cursor:
        if database == "postgresql":
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for constraint in constraints:
            cursor.execute(str(constraint.create_sql(Template, connection.schema_editor())))


@pytest.mark.django_db
def test_public_slugs_are_looked_up_by_their_index():
    """SQLite takes it for an expression that is the same to the letter; PostgreSQL chooses by the number of rows."""
    rows = Template.objects.annotate(form=slug_form("slug")).filter(form__in={"a", "b"}, is_public=True)
    assert "template_slug_form_of_public" in rows.explain()


def test_many_of_one_title_are_numbered_once_and_not_each_from_the_start(ada):
    owner_id = Template.objects.get(slug=ada.make(title="Tide")["slug"]).owner_id
    Template.objects.bulk_create(
        Template(owner_id=owner_id, slug=f"tide-{number}", title="Tide", category="seo") for number in range(2, 302)
    )
    looked = 0

    def count(frame: Any, event: str, argument: object) -> None:
        nonlocal looked
        looked += event == "call" and frame.f_code is latin_form.__code__

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        slugs = free_slugs([TIDE] * 100, owner_id=owner_id)
    finally:
        sys.setprofile(before)
    assert (slugs[0], slugs[-1], len(set(slugs))) == ("tide-302", "tide-401", 100)
    # Each that is there and each that comes, and once more to look for them.
    assert looked < 2 * (300 + 100) + 50
