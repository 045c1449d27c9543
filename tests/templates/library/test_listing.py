"""Lists: filters, orders, and pages that lose and repeat nothing while rows come."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest

from apps.templates.library.cursors import Ordering
from apps.templates.models import Template
from tests.each import each
from tests.templates.api import SLUG
from tests.templates.visibility import undone


def make_some(api, count, **changes):
    return [api.make(title=f"Number {number:02}", slug=f"number-{number:02}", **changes) for number in range(count)]


def pages(api, query, limit=3):
    """Return the slugs of every page."""
    found: list[list[str]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = api.get(f"?limit={limit}&{query}{f'&after={cursor}' if cursor else ''}")
        found.append([one["slug"] for one in page["results"]])
        cursor = page["next"]
    return found


@pytest.fixture
def ten(ada):
    """Ten templates of hers, two of them alike."""
    make_some(ada, 10)
    Template.objects.filter(slug__in=["number-03", "number-07"]).update(uses=3, title="The same")


@each("ordering", Ordering)
def test_pages_in_every_order(ada, ten, ordering):
    found = [slug for page in pages(ada, f"ordering={ordering.value}") for slug in page]
    rows = Template.objects.order_by(*ordering.columns)
    assert found == list(rows.values_list("slug", flat=True))


def test_the_newest_come_first(ada):
    make_some(ada, 3)
    assert ada.slugs() == ["number-02", "number-01", "number-00"]


@each(("count", "sizes"), [(0, [0]), (2, [2]), (3, [3]), (4, [3, 1]), (6, [3, 3])], around=undone)
def test_the_last_page_says_so(ada, count, sizes):
    make_some(ada, count)
    assert [len(page) for page in pages(ada, "")] == sizes


def test_pages_stay_where_they_are_when_rows_come_and_go(ada):
    make_some(ada, 6)
    first = ada.get("?limit=3")
    ada.make(title="Another")
    ada.call("DELETE", "number-03/", status=204)
    second = ada.get(f"?limit=3&after={first['next']}")
    assert [one["slug"] for one in second["results"]] == ["number-02", "number-01", "number-00"]


def written(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@each(
    "cursor",
    [
        "",
        "nonsense",
        "é",
        "%00",
        "x" * 3_000,
        written([]),
        written({}),
        written(["title", "a", "slug", True]),
        written(["-created_at", "a", "slug", True]),
        written(["-created_at", "2026-01-01T00:00:00", "slug", True]),
        written(["-created_at", "0001-01-01T00:00:00+23:00", "slug", True]),
        written(["-created_at", "9999-12-31T23:59:59-23:00", "slug", True]),
        written(["-created_at", "2026-01-01T00:00:00+00:00", 1, True]),
        written(["-created_at", "2026-01-01T00:00:00+00:00", "a\0b", True]),
        written(["-created_at", "2026-01-01T00:00:00+00:00", "slug", 1]),
        written(["-created_at", "2026-01-01T00:00:00+00:00", "slug"]),
        written(["-created_at", 7, "slug", True]),
    ],
    around=undone,
)
def test_a_broken_cursor(ada, cursor):
    assert ada.get(f"?after={quote(cursor, safe='%')}", status=400)["param"] == "after"


def test_a_cursor_of_another_order(ada):
    make_some(ada, 3)
    cursor = ada.get("?limit=1&ordering=created_at")["next"]
    assert ada.get(f"?limit=1&ordering=created_at&after={cursor}")["results"]
    for other in ("-created_at", "updated_at", "title"):
        assert ada.get(f"?ordering={other}&after={cursor}", status=400)["param"] == "after"


@each(
    ("ordering", "key"),
    [("title", "a\0b"), ("title", 7), ("uses", "7"), ("uses", 2**63), ("uses", -1), ("uses", True)],
    around=undone,
)
def test_a_cursor_with_a_key_of_another_kind(ada, ordering, key):
    cursor = written([ordering, key, "slug", True])
    assert ada.get(f"?ordering={ordering}&after={cursor}", status=400)["param"] == "after"


@each(
    ("query", "param"),
    [
        ("ordering=slug", "ordering"),
        ("ordering=-", "ordering"),
        ("ordering=title,uses", "ordering"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=-1", "limit"),
        ("limit=1e1", "limit"),
        ("limit=%D9%A1", "limit"),
        ("limit=99999999999999999999", "limit"),
        ("category=letters", "category"),
        ("mine=perhaps", "mine"),
        ("tag=a%00", "tag"),
        ("language=%00", "language"),
        ("search=%00", "search"),
        (f"search={'x' * 1_001}", "search"),
        ("search=a&after=b", "after"),
    ],
    around=undone,
)
def test_a_query_that_is_refused(ada, query, param):
    assert ada.get(f"?{query}", status=400)["param"] == param


def test_filters(ada, bob):
    ada.make_public(title="Public", tags=["a"], language="de")
    ada.make(title="Private", category="seo", tags=["a", "b"])
    bob.make_public(title="Bob's", slug="bobs")
    assert ada.slugs() == ["bobs", "private", "public"]
    assert ada.slugs("?mine=1") == ["private", "public"]
    assert ada.slugs("?mine=0") == ["bobs"]
    assert bob.slugs("?mine=true") == ["bobs"]
    assert bob.slugs() == ["bobs", "public"]
    assert ada.slugs("?category=seo") == ["private"]
    assert ada.slugs("?tag=A") == ["private", "public"]
    assert ada.slugs("?tag=a&language=de&mine=1&category=") == ["public"]
    assert ada.slugs("?tag=nothing") == []


def test_searching_in_the_list(ada, bob):
    ada.make()
    ada.make(title="Another letter", slug="another", tags=["x"])
    bob.make_public(title="Letter of Bob's", slug="bobs")
    page = ada.get("?search=letter")
    assert page["next"] is None
    assert {one["slug"] for one in page["results"]} == {SLUG, "another", "bobs"}
    assert set(page["results"][0]) == set(ada.get("?limit=1")["results"][0])
    assert ada.slugs("?search=letter&ordering=title") == ["another", "bobs", SLUG]
    assert ada.slugs("?search=letter&ordering=-title&limit=2") == [SLUG, "bobs"]
    assert ada.slugs("?search=letter&mine=0") == ["bobs"]
    assert ada.slugs("?search=letter&tag=x") == ["another"]
    assert len(ada.slugs("?search=")) == 3


def test_a_page_costs_the_same_however_long_it_is(ada, django_assert_num_queries):
    make_some(ada, 8)
    ada.get("?limit=1")
    for limit in (1, 8):
        with django_assert_num_queries(4):
            ada.get(f"?limit={limit}")
