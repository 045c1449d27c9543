"""Whose words a typo may be of, and when they are forgotten, on both databases."""

from __future__ import annotations

import string
from collections import Counter

import orjson
import pytest
from django.db import connection

from apps.templates.models import Template
from apps.templates.search import dictionary, index_templates
from apps.templates.search.dictionary import MAX_PIECES_PER_ENTRY, MAX_WORDS_PER_ENTRY, Dictionary, pieces
from tests.templates.search.stored import caller_of, slugs, store, user

pytestmark = pytest.mark.usefixtures("database")


def rows(statement: str) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


def kept() -> dict[tuple[int, str], int]:
    """Return how many entries each audience's words have, after what holds whatever has happened."""
    counted = rows("SELECT audience, word, entries FROM prompt_templates_search_word")
    words = {(audience, word): entries for audience, word, entries in counted}
    entries = rows("SELECT audience, words FROM prompt_templates_search_entry")
    assert words == Counter((audience, word) for audience, of_one in entries for word in orjson.loads(of_one))
    expected = sorted((f"{of}{piece}", len(word), word) for of, word in words for piece in pieces(word))
    assert sorted(rows("SELECT piece, letters, word FROM prompt_templates_search_piece")) == expected
    return words


def test_a_word_is_forgotten_with_its_last_template():
    one, two = store("one", "Zebra zebra"), store("two", "Zebra yak")
    assert (kept()[0, "zebra"], kept()[0, "yak"]) == (2, 1)
    index_templates([one.pk, two.pk])
    assert (kept()[0, "zebra"], kept()[0, "yak"]) == (2, 1)
    Template.objects.filter(pk=two.pk).update(title="Gnu")
    index_templates([two.pk])
    assert (kept()[0, "zebra"], kept()[0, "gnu"]) == (1, 1)
    assert (0, "yak") not in kept()
    Template.objects.filter(pk=one.pk)._raw_delete("default")
    assert (0, "zebra") not in kept()


def test_a_users_words_go_with_the_user():
    owner = user("owner")
    store("one", "Zebra", owner=owner, public=False)
    store("two", "Zebra yak", owner=owner)
    store("three", "Yak")
    assert {word for _, word in kept()} >= {"zebra", "yak"}
    owner.delete()
    assert {(of, word) for of, word in kept() if word in ("zebra", "yak")} == {(0, "yak")}


@pytest.mark.parametrize("field", ["is_public", "owner"])
def test_words_move_with_their_template(field: str):
    one, other = user("one"), user("other")
    template = store("one", "Zebra", owner=one, public=field != "owner")
    before, after = (0, one.pk) if field == "is_public" else (one.pk, other.pk)
    assert (before, "zebra") in kept()
    Template.objects.filter(pk=template.pk).update(is_public=False, owner=one if field == "is_public" else other)
    # At once, though nobody has told the search.
    assert kept() == {}
    index_templates([template.pk])
    assert {of for of, word in kept() if word == "zebra"} == {after}


def test_what_nobody_may_see_is_in_no_dictionary():
    template = store("one", "Zebra")
    Template.objects.filter(pk=template.pk).update(is_public=False)
    index_templates([template.pk])
    assert kept() == {}


def test_words_of_others_stand_in_nobodys_way():
    """Near words of another's do not crowd out the ones that were meant; and one's own are forgiven too."""
    mine, other = user("mine"), user("other")
    store("meant", "Marketing plan")
    near = " ".join(f"markting{letter}" for letter in string.ascii_lowercase)
    store("flood", "Flood", "", near, owner=other, public=False)
    assert slugs("markting", caller_of(mine)) == slugs("markting") == ["meant"]
    assert slugs("markting", caller_of(other)) == ["flood"]
    store("own", "Giraffe", owner=mine, public=False)
    assert slugs("girafe", caller_of(mine)) == slugs("giraf", caller_of(mine)) == ["own"]
    assert slugs("girafe", caller_of(other)) == slugs("giraf") == []


def test_half_words_of_others_stand_in_nobodys_way():
    # Filed under `gener`, which the half is no beginning of: the whole word has to be known to be found by it.
    store("meant", "Generators")
    shorter = " ".join(f"generatq{letter}" for letter in string.ascii_lowercase)
    store("flood", "Flood", "", shorter, owner=user("other"), public=False)
    assert slugs("generat") == ["meant"]


def test_a_template_brings_so_many_words_and_no_more():
    words = ["".join(("w", *(string.ascii_lowercase[int(digit)] for digit in f"{number:04}"))) for number in range(600)]
    store("one", "Zebra", "", " ".join(words))
    assert sum(kept().values()) == MAX_WORDS_PER_ENTRY
    assert (0, "zebra") in kept()
    # Found it is, but no typo of it.
    assert slugs(words[-1]) == ["one"]


def test_a_user_brings_so_many_words_and_no_more(monkeypatch):
    monkeypatch.setattr(dictionary, "MAX_WORDS_PER_USER", 5)
    owner, other = user("owner"), user("other")
    first = store("one", "alpha beta gamma", owner=owner, public=False)
    assert {word for _, word in kept()} == {"alpha", "beta", "gamma", "one", "research"}
    store("two", "delta alpha", owner=owner, public=False)
    assert (kept()[owner.pk, "alpha"], kept()[owner.pk, "research"]) == (2, 2)
    assert (owner.pk, "delta") not in kept()
    first.delete()
    store("three", "delta", owner=owner, public=False)
    assert (owner.pk, "delta") in kept()
    # Each has a bound of their own, and the public none.
    store("four", "epsilon", owner=other, public=False)
    store("five", "zeta eta theta iota kappa lambda")
    assert {(other.pk, "epsilon"), (0, "lambda"), (0, "zeta")} <= set(kept())


def test_long_words_of_an_entry_are_fewer():
    """A piece of three letters is a row, written with its word in one transaction."""
    letters = string.ascii_lowercase
    store("one", text=" ".join(letters[at % 26] * 20 + letters[at // 26] * 20 for at in range(480)))
    assert sum(len(word) + 1 for _, word in kept()) <= MAX_PIECES_PER_ENTRY
    assert len(kept()) > MAX_PIECES_PER_ENTRY // 50


def test_likest_words_come_first():
    store("one", "Newsletters newsletter letter emails email")
    words = Dictionary(user_id=1)
    assert words.like("newsleter", 2) == ["newsletter", "newsletters"]
    assert words.beginning("email", 5) == ["email", "emails"]
    assert words.known(["email", "male"]) == ["email"]
