"""The starter library in the database."""

from __future__ import annotations

import dataclasses
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection

from apps.llm.errors import Conflict
from apps.templates.library.loading import library_load
from apps.templates.library.starter_library import read_library
from apps.templates.models import Label, Template, Version
from tests.templates.api import SLUG

FEW = read_library()[:5]
FIRST = FEW[0]


def loaded(library=FEW):
    done = library_load(library=library)
    return done.made, done.changed, done.unchanged


def run(**options):
    output, errors = StringIO(), StringIO()
    call_command("load_templates", stdout=output, stderr=errors, **options)
    return output.getvalue(), errors.getvalue()


@pytest.mark.django_db
def test_the_command_loads_all_and_says_so():
    count = len(read_library())
    assert run() == (f"starter templates: {count} made, 0 changed, 0 unchanged\n", "")
    assert run() == (f"starter templates: 0 made, 0 changed, {count} unchanged\n", "")
    assert run(verbosity=0) == ("", "")
    assert Template.objects.filter(owner=None, is_public=True).count() == count
    assert Label.objects.filter(name="production", version__number=1).count() == count
    assert Version.objects.count() == count


def test_what_the_index_lacks_is_written_into_it(ada):
    ada.make(title="Zebra")
    loaded()
    # As a migration of the index's tables leaves it.
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM prompt_templates_search_entry")
    Template.objects.update(indexed_at=None)
    assert ada.slugs("search/?q=zebra") == ada.slugs(f"search/?q={FIRST.title}") == []
    assert loaded() == (0, 0, 5)
    assert ada.slugs("search/?q=zebra") == ["zebra"]
    assert FIRST.slug in ada.slugs(f"search/?q={FIRST.title}")


def test_what_is_loaded_is_what_the_files_say(ada):
    loaded()
    got = ada.get(f"{FIRST.slug}/")
    assert (got["title"], got["description"], got["text"]) == (FIRST.title, FIRST.description, FIRST.text)
    assert (got["category"], got["language"], tuple(got["tags"])) == (
        FIRST.category,
        FIRST.language,
        tuple(sorted(FIRST.tags)),
    )
    assert (got["owner"], got["labels"], got["is_public"]) == (None, {"production": 1}, True)
    assert [one["name"] for one in got["variables"]] == [one.name for one in FIRST.variables]
    assert FIRST.slug in ada.slugs(f"search/?q={FIRST.title}")


@pytest.mark.django_db
def test_loading_again_writes_nothing(django_assert_max_num_queries):
    assert loaded() == (5, 0, 0)
    rows = list(Template.objects.values())
    with django_assert_max_num_queries(8) as queries:
        assert loaded() == (0, 0, 5)
    assert not [one for one in queries if one["sql"].startswith(("INSERT", "UPDATE", "DELETE"))]
    assert list(Template.objects.values()) == rows


def test_a_text_that_changed_is_a_new_version_in_production(ada):
    loaded()
    before = ada.get(f"{FIRST.slug}/")
    changed = dataclasses.replace(FIRST, text=f"{FIRST.text}\nAnd more.")
    assert loaded((changed, *FEW[1:])) == (0, 1, 4)
    after = ada.get(f"{FIRST.slug}/")
    assert (after["version"], after["labels"], after["text"]) == (2, {"production": 2}, changed.text)
    assert after["updated_at"] > before["updated_at"]
    assert loaded((changed, *FEW[1:])) == (0, 0, 5)


def test_what_is_said_follows_the_files(ada):
    loaded()
    changed = dataclasses.replace(FIRST, title="Kangaroo keeping", tags=("one", "two"))
    assert loaded((changed,)) == (0, 1, 0)
    after = ada.get(f"{FIRST.slug}/")
    assert (after["title"], after["tags"], after["version"]) == ("Kangaroo keeping", ["one", "two"], 1)
    assert ada.slugs("search/?q=kangaroo") == [FIRST.slug]


def test_what_staff_have_written_since_stays(boss):
    loaded()
    boss.post(f"{FIRST.slug}/versions/", {"text": "Better."})
    boss.call("PUT", f"{FIRST.slug}/labels/production/", {"version": 2})
    boss.call("PATCH", f"{FEW[1].slug}/", {"is_public": False})
    assert loaded() == (0, 0, 5)
    assert boss.get(f"{FIRST.slug}/")["labels"] == {"production": 2}
    assert not Template.objects.get(slug=FEW[1].slug).is_public
    changed = dataclasses.replace(FIRST, text=f"{FIRST.text}\nAnd more.")
    loaded((changed,))
    assert boss.get(f"{FIRST.slug}/")["labels"] == {"production": 3}


def test_what_has_gone_from_the_files_stays(ada):
    loaded()
    assert loaded(FEW[1:]) == (0, 0, 4)
    assert ada.get(f"{FIRST.slug}/")["title"] == FIRST.title


def test_a_public_template_of_a_user_keeps_its_slug(ada):
    ada.make_public(slug=FIRST.slug)
    done = library_load(library=FEW)
    assert (done.made, done.taken) == (4, (FIRST.slug,))
    assert ada.get(f"{FIRST.slug}/")["owner"] == "ada"


def test_private_ones_are_left_alone(ada):
    ada.make(slug=FIRST.slug)
    assert loaded() == (5, 0, 0)
    assert ada.get(f"{FIRST.slug}/")["owner"] == "ada"


@pytest.mark.django_db
def test_a_load_that_fails_leaves_nothing():
    broken = dataclasses.replace(FEW[1], slug=FIRST.slug)
    with pytest.raises(Conflict):
        library_load(library=(FIRST, broken))
    assert not Template.objects.exists()
    assert not Version.objects.exists()


def test_the_library_is_for_staff_to_change(ada, boss):
    loaded()
    assert ada.call("PATCH", f"{FIRST.slug}/", {"title": "Mine"}, status=403)
    assert ada.call("DELETE", f"{FIRST.slug}/", status=403)
    assert boss.call("PATCH", f"{FIRST.slug}/", {"title": "Ours"})["title"] == "Ours"
    assert SLUG not in boss.slugs()
