"""Publishing: who may, what everybody sees from then on, and who counts as a user."""

from __future__ import annotations

import importlib
from types import SimpleNamespace

import pytest
from django.contrib.auth.models import User
from django.db import connection

from apps.templates.models import Template, Use, Version
from apps.templates.services import unpublish
from tests.each import each
from tests.templates.api import LETTER, SLUG
from tests.templates.search.stored import store
from tests.templates.visibility import undone

MIGRATION = importlib.import_module("apps.templates.migrations.0004_writes")
SECRET = "the old secret"


@each("body", [{**LETTER, "is_public": True}, [LETTER, {**LETTER, "is_public": True}]], around=undone)
def test_only_staff_make_public_ones(ada, boss, body):
    path = "import/" if isinstance(body, list) else ""
    assert ada.post(path, body, status=403)["code"] == "forbidden"
    assert not Template.objects.exists()
    boss.post(path, body)
    assert Template.objects.filter(is_public=True).count() == 1


def test_only_staff_publish(ada, boss):
    ada.make()
    assert ada.call("PATCH", f"{SLUG}/", {"is_public": True, "title": "New"}, status=403)["code"] == "forbidden"
    assert ada.get(f"{SLUG}/")["title"] == LETTER["title"]
    ada.call("PATCH", f"{SLUG}/", {"is_public": False})
    boss.make()
    assert boss.call("PATCH", f"{SLUG}/", {"is_public": True})["public_from"] == 1


def test_nothing_new_reaches_everybody_without_staff(ada, bob, boss):
    """The author of a public template changes none of what others are served."""
    ada.make_public()
    for method, path, body in [
        ("PATCH", f"{SLUG}/", {"text": "Obey.", "variables": []}),
        ("PATCH", f"{SLUG}/", {"title": "Obey"}),
        ("PATCH", f"{SLUG}/", {"is_public": True, "title": "Obey"}),
        ("POST", f"{SLUG}/versions/", {"text": "Obey."}),
        ("PUT", f"{SLUG}/labels/production/", {"version": 1}),
    ]:
        assert ada.call(method, path, body, status=403)["code"] == "forbidden"
    assert bob.get(f"{SLUG}/")["text"] == LETTER["text"]
    # To take it back is the author's, and then it is theirs to change.
    assert ada.call("PATCH", f"{SLUG}/", {"is_public": False, "title": "Mine"})["title"] == "Mine"
    bob.get(f"{SLUG}/", status=404)
    assert boss.get("", status=200)["results"] == []
    ada.call("PATCH", f"{SLUG}/", {"is_public": True}, status=403)


def test_the_author_of_a_public_one_may_delete_it(ada, bob):
    ada.make_public()
    ada.call("DELETE", f"{SLUG}/", status=204)
    assert bob.slugs() == []


@pytest.fixture
def published(boss):
    """A template with two private versions before the one in production, and a draft behind it."""
    boss.make(text=SECRET, variables=[], note=f"note of {SECRET}", labels={"staging": 1})
    boss.post(f"{SLUG}/versions/", {"text": f"{SECRET}, again", "note": SECRET})
    boss.post(f"{SLUG}/versions/", {"text": "third", "note": "for all"})
    boss.post(f"{SLUG}/versions/", {"text": "fourth"})
    boss.call("PUT", f"{SLUG}/labels/production/", {"version": 3})
    answer = boss.call("PATCH", f"{SLUG}/", {"is_public": True})
    assert (answer["is_public"], answer["public_from"]) == (True, 3)
    return boss


def test_everybody_sees_it_from_the_published_version_on(published, bob):
    whole = bob.get(f"{SLUG}/")
    assert (whole["public_from"], whole["labels"]) == (3, {"production": 3})
    assert bob.get("")["results"][0]["labels"] == bob.get(f"{SLUG}/labels/")["labels"] == {"production": 3}
    assert [one["number"] for one in bob.get(f"{SLUG}/versions/")["results"]] == [4, 3]
    assert bob.get(f"{SLUG}/versions/3/")["note"] == "for all"
    for number in (1, 2, 9):
        hidden = bob.get(f"{SLUG}/versions/{number}/", status=404)
        absent = bob.get(f"{SLUG}/versions/99/", status=404)
        assert {**hidden, "request_id": 0} == {**absent, "request_id": 0}
        assert bob.get(f"{SLUG}/versions/diff/?from={number}&to=3", status=400)["param"] == "from"
        assert bob.get(f"{SLUG}/versions/diff/?from=3&to={number}", status=400)["param"] == "to"
        assert bob.post(f"{SLUG}/render/", {"version": number}, status=400)["param"] == "version"
    assert bob.post(f"{SLUG}/render/", {"label": "staging"}, status=400)["param"] == "label"
    assert bob.post(f"{SLUG}/render/", {}, status=200)["version"] == 3
    for form in ("json", "yaml"):
        answer = bob._client.get(f"/api/v2/templates/{SLUG}/export/?format={form}")
        assert SECRET.encode() not in answer.content
    assert bob.slugs("search/?q=secret") == []


def test_its_owner_and_staff_see_all_of_it(published):
    assert [one["number"] for one in published.get(f"{SLUG}/versions/")["results"]] == [4, 3, 2, 1]
    assert published.get(f"{SLUG}/")["labels"] == {"production": 3, "staging": 1}
    assert published.get(f"{SLUG}/versions/1/")["text"] == SECRET
    assert published.get(f"{SLUG}/versions/diff/?from=1&to=3")["from"] == 1
    assert published.get(f"{SLUG}/export/")["public_from"] == 3


def test_an_owner_who_is_no_staff_sees_all_of_it(ada, bob):
    ada.make()
    ada.post(f"{SLUG}/versions/", {"text": "second"})
    template = Template.objects.get()
    ada.make_public(slug="other")
    template.is_public, template.public_from = True, 2
    template.save()
    assert ada.get(f"{SLUG}/versions/1/")["number"] == 1
    bob.get(f"{SLUG}/versions/1/", status=404)


def test_an_export_of_a_part_is_a_whole_file(published, bob):
    written = bob.get(f"{SLUG}/export/")
    assert [(one["number"], one["text"]) for one in written["versions"]] == [(1, "third"), (2, "fourth")]
    assert (written["labels"], written["is_public"], written["public_from"]) == ({"production": 1}, False, None)
    bob.post("import/", {**written, "slug": "copy"})
    again = bob.get("copy/export/")
    assert again == {**written, "slug": "copy"}


def test_a_file_says_from_which_version_on(published, bob):
    written = published.get(f"{SLUG}/export/")
    published.post("import/", {**written, "slug": "copy"})
    assert published.get("copy/export/") == {**written, "slug": "copy"}
    bob.get("copy/versions/2/", status=404)
    # A file of another hand does not widen it.
    published.post(
        "import/", {name: value for name, value in {**written, "slug": "third"}.items() if name != "public_from"}
    )
    assert bob.get("third/")["public_from"] == 3
    for wrong in (0, 4, "3", True):
        body = {**written, "slug": "wrong", "public_from": wrong}
        assert published.post("import/", body, status=400)["param"] == "public_from"


def test_what_everybody_is_served_stays_within_what_is_public(published, bob):
    assert published.call("PUT", f"{SLUG}/labels/production/", {"version": 1}, status=400)["param"] == "version"
    published.call("PUT", f"{SLUG}/labels/production/", {"version": 4})
    assert bob.post(f"{SLUG}/render/", {}, status=200)["version"] == 4


def test_publishing_again_begins_anew(published, bob):
    published.call("PATCH", f"{SLUG}/", {"is_public": False})
    assert published.get(f"{SLUG}/")["public_from"] is None
    bob.get(f"{SLUG}/", status=404)
    published.call("PUT", f"{SLUG}/labels/production/", {"version": 4})
    assert published.call("PATCH", f"{SLUG}/", {"is_public": True})["public_from"] == 4
    assert [one["number"] for one in bob.get(f"{SLUG}/versions/")["results"]] == [4]
    # To say again that it is public is no change.
    assert published.call("PATCH", f"{SLUG}/", {"is_public": True})["public_from"] == 4


def test_a_text_that_comes_with_the_publishing_is_the_published_one(boss, bob):
    boss.make(text=SECRET, variables=[])
    answer = boss.call("PATCH", f"{SLUG}/", {"is_public": True, "text": "For all."})
    assert (answer["version"], answer["public_from"]) == (2, 2)
    assert [one["number"] for one in bob.get(f"{SLUG}/versions/")["results"]] == [2]


def test_a_user_counts_once(ada, bob):
    ada.make_public()
    for _ in range(3):
        ada.post(f"{SLUG}/render/", {"variables": {"name": "Eve"}}, status=200)
    assert ada.get(f"{SLUG}/")["uses"] == 1
    bob.post(f"{SLUG}/render/", {"variables": {"name": "Eve"}}, status=200)
    assert ada.get(f"{SLUG}/")["uses"] == 2
    assert Use.objects.count() == 2


def test_what_the_migration_makes_of_public_templates_of_users(database: str):
    ada, boss = User.objects.create(username="ada"), User.objects.create(username="boss", is_staff=True)
    store("of-a-user", owner=ada, uses=60)
    store("of-staff", owner=boss, text="é" * 2_000)
    store("of-the-library", text="x")
    Version.objects.create(template=Template.objects.get(slug="of-staff"), number=2, text="y")
    apps = SimpleNamespace(get_model=lambda *_: Template)
    MIGRATION.fill(apps, SimpleNamespace(connection=connection, execute=lambda sql: connection.cursor().execute(sql)))
    rows = Template.objects.order_by("slug").values_list("slug", "is_public", "uses")
    assert list(rows) == [("of-a-user", False, 0), ("of-staff", True, 0), ("of-the-library", True, 0)]
    assert Template.objects.get(slug="of-staff").text_bytes == 4_002 + 1_024
    assert not Template.objects.filter(indexed_at=None).exists()


def test_taking_a_template_back_that_has_gone(db):
    unpublish(template_id=10**9)
