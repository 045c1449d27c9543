"""In which order templates are found, and which are found at all, on both databases."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection

from apps.templates.categories import CATEGORIES
from apps.templates.models import Label, Template, Version
from apps.templates.search import index_templates, rebuild_index
from apps.templates.search.index import Asked, Scope
from apps.templates.search.postgres import PostgreSQLIndex
from apps.templates.search.query import parse_query
from apps.templates.search.sqlite import SQLiteIndex
from tests.templates.search.stored import caller_of, search, slugs, store, store_many, user
from tests.templates.visibility import undone

pytestmark = pytest.mark.usefixtures("database")


def test_uses_count_but_by_their_logarithm():
    store("unused", "Zebra")
    store("used", "Zebra", uses=50)
    assert slugs("zebra") == ["used", "unused"]
    store("elsewhere", "x", "", "zebra", uses=10**9)
    assert slugs("zebra")[-1] == "elsewhere"


def test_production_before_staging_before_a_draft():
    store("draft", "Zebra", label=None)
    store("staging", "Zebra", label="staging")
    store("production", "Zebra")
    assert slugs("zebra") == ["production", "staging", "draft"]


def test_equals_come_in_the_order_of_their_making():
    made = [f"zebra-{number}" for number in range(30)]
    store_many(made, "Zebra")
    rebuild_index()
    assert slugs("zebra", limit=30) == made
    assert slugs("zebra", limit=7) == made[:7]


def test_scores_fall():
    for number in range(5):
        store(f"zebra-{number}", "Zebra " * (number + 1), uses=number)
    scores = [found.score for found in search("zebra")]
    assert scores == sorted(scores, reverse=True)
    assert all(score > 0 for score in scores)


def test_a_popular_one_is_not_lost_among_many_equals():
    store_many((f"equal-{number}" for number in range(200)), "Zebra")
    store("popular", "Zebra", uses=1_000, indexed=False)
    rebuild_index()
    assert slugs("zebra")[0] == "popular"


def test_an_empty_query_lists_by_uses():
    store("seldom", "Zebra", uses=1)
    store("often", "Yak", uses=10)
    store("never", "Gnu")
    for query in ("", "  ", '"', "*", "!?", "\x00", "🎉"):
        found = search(query)
        assert [one.slug for one in found] == ["often", "seldom", "never"]
        assert {(one.score, one.highlights) for one in found} == {(0.0, ())}
    assert slugs("", limit=1) == ["often"]
    assert slugs("", category="seo") == []


def test_own_and_public_ones_are_found_and_no_others():
    one, other = user("one"), user("other")
    store("own", "Zebra", owner=one, public=False)
    store("published", "Zebra", owner=other)
    store("private", "Zebra", owner=other, public=False)
    for query in ("zebra", "zeb", "zebrra", '"zebra"', ""):
        assert set(slugs(query, caller_of(one))) == {"own", "published"}
        assert set(slugs(query, caller_of(other))) == {"private", "published"}
        assert slugs(query) == ["published"]


def test_private_ones_do_not_take_the_places_of_those_that_may_be_seen():
    other = user("other")
    private = (f"private-{number}" for number in range(200))
    store_many(private, "Zebra", uses=lambda number: 100, owner=other, public=False)
    rebuild_index()
    store("public", "x", "", "zebra")
    assert slugs("zebra") == ["public"]


def test_filters():
    store("one", "Zebra", category="seo", language="de", tags=("stripes", "hoof"))
    store("two", "Zebra", category="career", language="en", tags=("hoof",))
    for query in ("zebra", ""):
        assert slugs(query, category="seo") == ["one"]
        assert slugs(query, tag="hoof") == ["one", "two"]
        assert slugs(query, tag="Stripes") == ["one"]
        assert slugs(query, language="EN") == ["two"]
        assert slugs(query, category="seo", tag="hoof", language="de") == ["one"]
        assert slugs(query, category="seo", language="en") == []


def test_a_filter_that_nothing_passes_finds_nothing():
    store("one", "Zebra", tags=("hoof",))
    for name in ("category", "tag", "language"):
        for value in ("", "unknown", "\x00", "\ud800", "' OR 1=1 --", "%", "x" * 10_000):
            filters: dict[str, Any] = {name: value}
            assert slugs("zebra", **filters) == [], filters
            assert slugs("", **filters) == [], filters


def test_limits_are_bounded():
    store_many((f"zebra-{number}" for number in range(120)), "Zebra")
    rebuild_index()
    assert len(slugs("zebra", limit=10**9)) == 100
    assert slugs("zebra", limit=0) == slugs("zebra", limit=-1) == slugs("", limit=0) == []


HOSTILE = [
    *('"', '""', '" OR 1=1', "'", "';--", "NEAR(zebra, 5)", "zebra*", "*", "title:zebra", "{title}: zebra", "^zebra"),
    *("zebra AND", "AND OR NOT", "NOT zebra", "-zebra", "(zebra", "zebra)", "zebra & | ! <-> :*", "zebra:*A", "\\"),
    *("\x00", "zeb\x00ra", "\ud800 zebra", "\u202ezebra", "%", "_", "%s", "{}", "\n\r\t", "🦓", "a" * 10_000),
    *("zebra " * 2_000, '"zebra ' * 1_500, "(" * 10_000, "zebra-" * 1_700, "- " * 5_000, "会" * 10_000, "ゝ゛ ゜"),
    *(
        " ".join(f"w{number}" for number in range(2_000)),
        "½ ﷺ ㍿ ⅷ",
        "e\u0301" * 3_000,
        "ß" * 300,
        "-'-'&.",
        "1/2/3/4/5",
    ),
]


def test_no_query_is_an_error():
    failures: list[object] = []
    for number, query in enumerate(HOSTILE):
        with undone():
            try:
                store("one", "Zebra", "½ ﷺ ㍿ ゛ 1/2/3/4/5 \\ ' \" |", query.replace("\x00", "").replace("\ud800", ""))
                found = slugs(query)
            except Exception as error:
                failures.append((number, query[:50], error))
            else:
                if not set(found) <= {"one"}:
                    failures.append((number, query[:50], found))
    assert failures == []


def test_operators_are_text():
    store("one", "Zebra")
    queries = ["zebra*", "title:zebra", "NOT zebra", "(zebra", "zebra & | !", "\ud800 zebra", "-zebra"]
    assert {query: slugs(query) for query in queries} == {query: ["one"] for query in queries}


def test_the_text_is_of_production_or_else_the_newest():
    template = store("one", "x", "", "first", label=None)
    second = Version.objects.create(template=template, number=2, text="second")
    index_templates([template.pk])
    assert slugs("second") == ["one"]
    assert slugs("first") == []
    first = Version.objects.get(template=template, number=1)
    label = Label.objects.create(template=template, name="production", version=first)
    index_templates([template.pk])
    assert slugs("first") == ["one"]
    assert slugs("second") == []
    label.version = second
    label.save()
    index_templates([template.pk, template.pk])
    assert slugs("second") == ["one"]


def test_what_changes_is_found_anew():
    template = store("one", "Zebra")
    Template.objects.filter(pk=template.pk).update(title="Yak")
    index_templates([template.pk, 10**9])
    assert slugs("yak") == ["one"]
    assert slugs("zebra") == []


def test_what_is_deleted_is_not_found():
    owner = user("owner")
    store("first", "Zebra", owner=owner)
    second = store("second", "Zebra")
    third = store("third", "Zebra")
    owner.delete()
    second.delete()
    Template.objects.filter(pk=third.pk)._raw_delete("default")
    assert slugs("zebra") == []


def test_an_index_is_rebuilt_from_nothing():
    store_many((f"zebra-{number}" for number in range(250)), "Zebra")
    assert slugs("zebra") == []
    rebuild_index()
    assert len(slugs("zebra", limit=100)) == 100
    assert len(slugs("zebrra", limit=100)) == 100


def test_what_is_found_is_told_whole():
    template = store("one", "Zebra", "Of Africa.", "text", tags=("b", "a"), category=CATEGORIES[3])
    (found,) = search("zebra")
    assert (found.template_id, found.slug, found.title, found.description) == (
        template.pk,
        "one",
        "Zebra",
        "Of Africa.",
    )
    assert (found.category, found.tags) == (CATEGORIES[3], ("a", "b"))


def test_candidates_by_name_match_in_title_and_tags_alone():
    """What common words are looked for by first: more templates than a test can afford have to have them."""
    made = [store("a", "Zebra"), store("b", tags=("zebra",)), store("c", "x", "zebra"), store("d", "x", "", "zebra")]
    index = PostgreSQLIndex() if connection.vendor == "postgresql" else SQLiteIndex()

    def found(query: str, by_name: bool) -> set[int]:
        groups = parse_query(query)
        required = [group for group in groups if group.is_required]
        asked = [Asked(group=group, weight=1.0) for group in groups]
        rows = index.candidates(asked, required, Scope(user_id=0), limit=10, by_name=by_name)
        return {row.template_id for row in rows}

    for query in ("zebra", "zeb", '"zebra"', 'other "zebra"'):
        assert found(query, by_name=True) == {made[0].pk, made[1].pk}
        assert found(query, by_name=False) == {one.pk for one in made}


def test_one_that_is_hidden_between_two_looks_is_not_told():
    """A search finds templates first and then reads what to say of them; its owner may write meanwhile."""
    store("zebra", "Zebra", tags=("stripes",), owner=user("ann"))
    written: list[str] = []

    def hide_first(execute, sql, parameters, many, context):
        if "t.title" in sql and not written:
            written.append(sql)
            Template.objects.filter(slug="zebra").update(is_public=False, title="What nobody else may read")
        return execute(sql, parameters, many, context)

    with connection.execute_wrapper(hide_first):
        assert slugs("zebra") == []
    assert written
