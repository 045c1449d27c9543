"""What a caller is answered does not depend on what the caller may not see, on both databases."""

from __future__ import annotations

import base64

import orjson
import pytest
from django.db import connection
from hypothesis import HealthCheck, Phase, given, settings

from apps.accounts.identity import Caller
from apps.templates.models import Tag, Template
from apps.templates.search import index_templates, rebuild_index
from benchmarks.search.generated import store_generated, store_private
from tests.templates.search.stored import caller_of, search, store, store_many
from tests.templates.visibility import Visitor, answers, asks, doors, library, stored, undone, work

pytestmark = pytest.mark.usefixtures("fresh_state", "database")


@pytest.fixture
def visitor(database):
    return Visitor()


# The examples roll back what they write; the database stays one and the same. To make a failing one smaller would take
# minutes, and the doors that differ say more.
@settings(
    max_examples=4,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(library=library(), asked=asks())
def test_answers_are_the_same_without_hidden_rows(visitor, library, asked):
    with undone():
        stored(visitor, library, hidden=False)
        without = answers(visitor, library, asked)
    with undone():
        hidden = stored(visitor, library, hidden=True)
        assert differing(answers(visitor, library, asked), without) == {}
        Template.objects.filter(pk__in=hidden).delete()
        assert differing(answers(visitor, library, asked), without) == {}


def differing(one: dict[str, object], other: dict[str, object]) -> dict[str, tuple[object, object]]:
    return {door: (one.get(door), other.get(door)) for door in {*one, *other} if one.get(door) != other.get(door)}


def told(caller: Caller, *queries: str) -> list[object]:
    return [search(query, caller) for query in queries]


def test_a_private_word_cannot_be_guessed_from_the_scores_of_others(visitor):
    for number in range(5):
        store(f"blog-{number}", f"Blog post {number}", "A blog.", "Write a blog post about dogs.")
    # The last word is looked for as a beginning, too: letter by letter would be enough.
    queries = ("blog t", "blog tr", "blog tr0", "blog tr0ub4dor9x", "blog zyxq", "blog pasword", "tr0ub4dor9x")
    before = told(visitor.caller, *queries)
    secret = store("secret", "Notes", "", "the password is tr0ub4dor9x", owner=visitor.they, public=False)
    assert told(visitor.caller, *queries) == before
    assert [one.slug for one in search("tr0ub4", caller_of(visitor.they))] == ["secret"]
    secret.delete()
    assert told(visitor.caller, *queries) == before


def test_how_common_a_word_is_depends_on_what_is_seen_alone(visitor):
    store("one", "Zebra")
    store("two", "Yak")
    before = told(visitor.caller, "zebra yak", "zebrra", "zebr")
    for number in range(4):
        store(f"private-{number}", "Zebra zebrra zebrro", owner=visitor.they, public=False)
    assert told(visitor.caller, "zebra yak", "zebrra", "zebr") == before


def test_who_is_ranked_is_chosen_among_what_is_seen(visitor):
    """More match than are ranked: which are, and which of equals come first, is decided without hidden rows."""
    store_many(
        (f"plain-{number}" for number in range(170)),
        *("x", "Zebra"),
        text=lambda number: "yak " * (number % 7),
        uses=lambda number: number % 3,
    )
    rebuild_index()
    before = told(visitor.caller, "zebra yak", '"zebra"', "zeb")
    private = (f"private-{number}" for number in range(40))
    store_many(private, "Yak zebra", text=lambda number: "gnu " * 50, owner=visitor.they, public=False)
    rebuild_index()
    assert told(visitor.caller, "zebra yak", '"zebra"', "zeb") == before


def test_what_is_withdrawn_by_hand_counts_no_more(visitor):
    store("one", "Zebra yak")
    for number in range(3):
        store(f"other-{number}", "Yak")
    before = told(visitor.caller, "zebra yak", "zebrra", "gnuu")
    template = store("two", "Zebra gnu")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE prompt_templates_template SET is_public = %s WHERE id = %s", [False, template.pk])
    assert told(visitor.caller, "zebra yak", "zebrra", "gnuu") == before
    index_templates([template.pk])
    assert told(visitor.caller, "zebra yak", "zebrra", "gnuu") == before


def test_a_tag_of_others_is_a_tag_that_is_not_there(visitor):
    store("one", "Zebra", tags=("hoof",))
    paths = ("?tag=secret", "search/?q=zebra&tag=secret", "search/?q=&tag=secret", "tags/")
    before = [visitor.answer("GET", path) for path in paths]
    store("two", "Zebra", tags=("secret",), owner=visitor.they, public=False)
    assert [visitor.answer("GET", path) for path in paths] == before
    Tag.objects.get(name="secret").delete()
    assert [visitor.answer("GET", path) for path in paths] == before


def test_a_place_in_a_list_counts_nobodys_templates(visitor):
    for number in range(3):
        store(f"private-{number}", owner=visitor.they, public=False)
        store(f"public-{number}", uses=1)
    _, page = visitor.answer("GET", "?limit=2&ordering=-uses")
    cursor = orjson.loads(page)["next"]
    assert orjson.loads(base64.urlsafe_b64decode(cursor + "==")) == ["-uses", 1, "public-1", True]


def test_a_page_passes_by_neither_of_one_slug(visitor):
    """The caller's own and the public one of a slug are told apart at the end of a page."""
    store("same", "x", owner=visitor.me, public=False)
    store("same", "x")
    for ordering in ("title", "-title", "uses", "-uses"):
        _, first = visitor.answer("GET", f"?limit=1&ordering={ordering}")
        after = orjson.loads(first)["next"]
        _, second = visitor.answer("GET", f"?limit=1&ordering={ordering}&after={after}")
        shown = [orjson.loads(page)["results"][0]["is_public"] for page in (first, second)]
        assert sorted(shown) == [False, True]
        assert orjson.loads(second)["next"] is None


def test_the_work_does_not_grow_with_hidden_rows(visitor, database):
    """Counted in the database's own steps, as time would be measured: rows of others are not even looked at."""
    store_generated(20)
    asked = doors(visitor)
    before = {door: work(ask) for door, ask in asked.items()}
    store_private(60, visitor.they.pk, seed=1)
    after = {door: work(ask) for door, ask in asked.items()}
    # Four times the rows; an index is a level or a segment deeper at most.
    grown = {door: (before[door], after[door]) for door in asked if after[door] > 1.5 * before[door] + 60}
    assert grown == {}
