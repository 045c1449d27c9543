"""Tags belong to their template: nothing of them stays behind it, and nothing is told of those of others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.templates.models import Tag, Template
from apps.templates.search import index_templates
from tests.databases import connected
from tests.each import each
from tests.prepared import copy_database
from tests.templates.api import SLUG, Api, user_named
from tests.templates.search.stored import store
from tests.templates.visibility import undone

WRITES = {
    "PATCH {}/": {"tags": [f"tag-{number}" for number in range(20)], "text": "x", "title": "y"},
    "DELETE {}/": None,
    "POST {}/versions/": {"text": "x"},
    "PUT {}/labels/production/": {"version": 1},
    "DELETE {}/labels/production/": None,
}


@pytest.fixture
def ada(database):
    return Api(user_named("ada"))


@pytest.fixture
def bob(database):
    return Api(user_named("bob"))


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.outside)])
def copied_database(request, tmp_path, django_db_blocker):
    """The way into a database of the test's own: migrations end transactions."""
    settings = request.getfixturevalue(f"{request.param}_settings")
    name = str(tmp_path / "tags.sqlite3") if request.param == "sqlite" else "tags"
    with django_db_blocker.unblock():
        if request.param == "sqlite":
            copy_database(Path(settings["NAME"]), Path(name))
        else:
            with connected({**settings, "NAME": "postgres"}), connection.cursor() as cursor:
                cursor.execute(f'CREATE DATABASE {name} TEMPLATE "{settings["NAME"]}"')
        yield connected({**settings, "NAME": name})


def rows() -> dict[str, int]:
    """Return how many rows each table of the templates has, those of the search included."""
    tables = {model._meta.db_table for model in apps.get_app_config("prompt_templates").get_models()}
    tables |= {name for name in connection.introspection.table_names() if re.search(r"_(entry|word|piece|row)$", name)}
    with connection.cursor() as cursor:
        counts = {}
        for table in tables:
            cursor.execute(f"SELECT count(*) FROM {table}")
            counts[table] = cursor.fetchone()[0]
    return counts


def statements(api, method, path, body, status):
    with CaptureQueriesContext(connection) as said:
        api.call(method, path, body, status=status)
    return [re.sub(r"'[^']*'|\d+", "?", one["sql"]) for one in said]


def test_a_write_to_what_is_not_the_callers_writes_nothing(ada, bob):
    bob.make(slug="private")
    bob.make_public(slug="public")
    before = rows()
    for slug, status in (("absent", 404), ("private", 404), ("public", 403)):
        for door, body in WRITES.items():
            method, path = door.split()
            said = statements(ada, method, path.format(slug), body, status)
            writing = [one for one in said if one.startswith(("INSERT", "UPDATE", "DELETE")) and "template" in one]
            assert writing == [], (door, slug)
            assert rows() == before, (door, slug)


def test_a_template_that_goes_leaves_nothing(ada):
    before = rows()
    made = ada.post(
        "import/", [{"title": f"T{n}", "text": "x", "category": "seo", "tags": [f"tag-{n}", "all"]} for n in range(5)]
    )
    assert Tag.objects.count() == 10
    for one in made["results"]:
        ada.call("DELETE", f"{one['slug']}/", status=204)
    assert rows() == before


def test_an_import_that_is_refused_leaves_nothing(ada):
    before = rows()
    twice = {"title": "T", "text": "x", "category": "seo", "slug": "same"}
    ada.post("import/", [{**twice, "tags": [f"tag-{n}"]} for n in range(2)], status=409)
    assert rows() == before


def test_a_change_leaves_the_new_tags_alone(ada):
    ada.make(slug="other", tags=["a", "kept"])
    ada.make(tags=["a", "b"])
    for number in range(3):
        ada.call("PATCH", f"{SLUG}/", {"tags": [f"tag-{number}", "b"]})
    assert ada.get(f"{SLUG}/")["tags"] == ["b", "tag-2"]
    assert sorted(Tag.objects.values_list("name", flat=True)) == ["a", "b", "kept", "tag-2"]


def test_a_user_who_goes_leaves_nothing(ada, bob):
    before = rows()
    ada.make()
    ada.user.delete()
    assert rows() == before


@each(
    ("method", "path", "body", "status"),
    [
        ("PATCH", "absent/", {}, 404),
        ("PATCH", "mine/", {}, 200),
        ("POST", "", {"title": "New", "text": "x", "category": "seo", "slug": "new"}, 201),
    ],
    around=undone,
)
def test_a_tag_costs_the_same_whether_others_have_it(ada, bob, method, path, body, status):
    bob.make(tags=["secret"])
    ada.make(slug="mine", tags=["b"])
    said = []
    for tag in ("secret", "absent"):
        said.append(statements(ada, method, path, {**body, "tags": [tag]}, status))
        if status == 201:
            ada.call("DELETE", "new/", status=204)
        elif status == 200:
            ada.call("PATCH", path, {"tags": ["b"]})
    assert said[0] == said[1]


def test_the_migration_takes_tags_along_both_ways(copied_database):
    with copied_database:
        made = [store(f"t{number}", tags=("both", f"tag-{number}"), indexed=False).pk for number in range(2)]
        store("none", indexed=False)
        call_command("migrate", "prompt_templates", "0005", verbosity=0)
        with connection.cursor() as cursor:
            cursor.execute("SELECT name FROM prompt_templates_tag ORDER BY name")
            assert cursor.fetchall() == [("both",), ("tag-0",), ("tag-1",)]
            cursor.execute("INSERT INTO prompt_templates_tag (name) VALUES ('of none')")
        call_command("migrate", "prompt_templates", verbosity=0)
        tags = list(Tag.objects.order_by("template_id", "name").values_list("template_id", "name"))
        assert tags == [(pk, name) for number, pk in enumerate(made) for name in ("both", f"tag-{number}")]
        # The table of the templates is the same, with its triggers.
        index_templates(made)
        Template.objects.all().delete()
        assert set(rows().values()) == {0}
