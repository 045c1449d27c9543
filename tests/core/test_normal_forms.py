"""Normal forms are Unicode's, and a letter with thousands of marks takes no more time than thousands of letters."""

from __future__ import annotations

import sys
import unicodedata
from typing import Literal, get_args

from hypothesis import given
from hypothesis import strategies as st

from apps.core.normal_forms import MOST_MARKS, normalize
from tests.each import each

Form = Literal["NFC", "NFKC", "NFD", "NFKD"]
FORMS: tuple[Form, ...] = get_args(Form)
MARKS = "\u0315\u0300\uff9e\u0f73"
"""Of several classes, two of them only when they are taken apart."""


def longest_run(text: str) -> int:
    longest = run = 0
    for character in text:
        run = run + 1 if unicodedata.combining(character) else 0
        longest = max(longest, run)
    return longest


@given(st.text(max_size=200), st.sampled_from(FORMS))
def test_texts_as_people_write_them_have_unicodes_form(text: str, form: Form):
    if longest_run(unicodedata.normalize("NFKD", text)) <= MOST_MARKS:
        assert normalize(form, text) == unicodedata.normalize(form, text)


@given(st.lists(st.sampled_from([*MARKS, "a", "語"]), min_size=MOST_MARKS, max_size=300).map("".join))
def test_no_run_is_long_and_nothing_is_lost(text: str):
    decomposed = normalize("NFKD", text)
    # One character is taken apart into two marks.
    assert longest_run(decomposed) <= 2 * MOST_MARKS
    assert sorted(decomposed.replace("\u034f", "")) == sorted(unicodedata.normalize("NFKD", text))


def test_every_character_that_is_taken_apart_into_marks_counts_as_one():
    begins_with_mark = [
        character
        for character in map(chr, range(sys.maxunicode + 1))
        if unicodedata.combining(unicodedata.normalize("NFKD", character)[0])
    ]
    assert len(begins_with_mark) > 900
    for character in begins_with_mark:
        assert longest_run(normalize("NFKD", character * 4 * MOST_MARKS)) <= 2 * MOST_MARKS


@each("form", FORMS)
def test_letters_of_every_script_are_left_as_they_are(form: Form):
    text = "語" * 1_000 + "ä̈" * 500 + "한국어" * 300 + "🦉" * 100
    assert normalize(form, text) == unicodedata.normalize(form, text)
