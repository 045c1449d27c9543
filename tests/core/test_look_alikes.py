from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from apps.core import look_alikes
from apps.core.look_alikes import folded, forms, latin_form
from tests.each import each


@each(
    ("name", "other"),
    [
        ("alice", "\u0430lice"),  # Cyrillic a
        ("alice", "AL\u0130CE"),  # a capital I with a dot
        ("alice", "al\u0131ce"),  # an i without one
        ("alice", "\uff41\uff4c\uff49\uff43\uff45"),  # full width
        ("alice", "\U0001d4b6lice"),  # mathematical script
        ("alice", "\u24d0lice"),  # in a circle
        ("alice", "al\u200bice"),  # a space of no width
        ("alice", "al\u202eice"),  # from here right to left
        ("alice", "alice\ufe0f"),  # a variation selector
        ("alice", "alice\u3164"),  # the Hangul filler, which is a letter to Python
        ("alice", "a\u0336lice"),  # struck through
        ("alice", "ali\u0301ce\u0323"),
        ("\u00c4dmin", "\u00e4dmin"),
        ("admin", "\u00e4dmin"),
        ("admin", "\u1d00\u1d05\u1d0d\u026a\u0274"),  # small capitals
        ("bob", "\u0432\u043e\u0432"),  # Cyrillic, whose capitals are BOB
        ("cop", "\u0441\u043e\u0440"),  # not a letter of it Latin
        ("NINA", "\u039d\u0399\u039d\u0391"),  # Greek capitals
        ("viva", "\u03bd\u03b9\u03bd\u03b1"),  # the same in lower case
        ("\u039d\u0399\u039d\u0391", "\u03bd\u03b9\u03bd\u03b1"),
        ("finn", "\ufb01nn"),  # a ligature
        ("aether", "\u00e6ther"),
        ("strasse", "stra\u00dfe"),
        ("olav", "\u00f8lav"),  # a stroke that no normal form takes away
        ("paul", "PauI"),
        ("paul", "pau1"),
        ("oliver", "0liver"),
        ("modem", "modern"),
        ("dave.w", "dave.vv"),
        ("ma-test", "MA_TEST"),
        ("\u0643\u0627\u062a\u0628", "\u06a9\u0627\u062a\u0628"),  # Arabic and Persian kaf
    ],
)
def test_they_look_alike(name, other):
    assert forms(name) & forms(other)


@each(
    ("name", "other"),
    [
        ("alice", "alicia"),
        ("anna", "avva"),
        ("lucy", "lucu"),
        ("ma-test", "matest"),
        ("a.b", "a-b"),
        ("\u304b", "\u304c"),  # ka and ga
        ("\ud55c\uad6d", "\ud55c\uad7f"),
        ("\u0905\u0928\u093f\u0932", "\u0905\u0928\u0940\u0932"),  # two vowels
        ("\u738b", "\u7389"),
    ],
)
def test_they_do_not(name, other):
    assert not forms(name) & forms(other)


@each("name", ["", "\u200b", "\u3164", "\uffa0", "\ufe0f\u202e"])
def test_what_shows_nothing_has_the_empty_form(name):
    assert forms(name) == {""}


@given(st.text(max_size=40))
def test_a_form_is_its_own_form(name):
    for form in forms(name):
        assert folded(form) == form


@given(st.text(max_size=40))
def test_case_does_not_matter(name):
    assert forms(name) & forms(name.casefold())


@given(st.text("abilnorvwRNVM01_-", max_size=30))
def test_in_ascii_both_are_the_same(text):
    assert forms(text) == {latin_form(text)}


def test_the_table_is_in_order():
    """No entry leads to another one, or is a character that never gets there."""
    table = look_alikes._look_alikes()
    assert len(table) > 1_400
    for code, seen in table.items():
        character = chr(code)
        assert not character.isascii()
        assert unicodedata.normalize("NFKD", character) == character
        assert not any(ord(one) in table for one in seen)
