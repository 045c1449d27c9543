"""The difference of two prompts, and the answer that is built of it."""

from __future__ import annotations

import random
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from apps.templates.answers import CRITERIA, Piece, Source
from apps.templates.library.pieces import word_pieces
from apps.templates.prompts.comparing import optimization, placeholder_changes
from tests.each import each

WORDS = st.lists(st.sampled_from(["the ", "dog ", "dog", "sat", ". ", "\n", "on ", "mat", "{{ x }}"]), max_size=40).map(
    "".join
)


def assert_lawful(original, optimized):
    pieces = word_pieces(original, optimized)
    assert "".join(piece.text for piece in pieces if piece.op != "insert") == original
    assert "".join(piece.text for piece in pieces if piece.op != "delete") == optimized
    assert all(piece.text and piece.op in ("equal", "delete", "insert") for piece in pieces)
    neighbours = [(first.op, second.op) for first, second in zip(pieces, pieces[1:], strict=False)]
    assert all(first != second and (first, second) != ("insert", "delete") for first, second in neighbours)
    return pieces


@given(st.text(max_size=200) | WORDS, st.text(max_size=200) | WORDS)
@settings(max_examples=150)
def test_the_pieces_make_up_both_texts(original, optimized):
    assert_lawful(original, optimized)
    assert word_pieces(original, original) == ((Piece(op="equal", text=original),) if original else ())


def test_words_are_told_apart():
    assert word_pieces("write about dogs", "Please write about two dogs.") == (
        Piece(op="insert", text="Please "),
        Piece(op="equal", text="write about "),
        Piece(op="insert", text="two "),
        Piece(op="equal", text="dogs"),
        Piece(op="insert", text="."),
    )
    # A phrase is replaced whole, not word by word around equal spaces.
    assert word_pieces("one two three four", "one 2 3 four") == (
        Piece(op="equal", text="one "),
        Piece(op="delete", text="two three"),
        Piece(op="insert", text="2 3"),
        Piece(op="equal", text=" four"),
    )


def test_long_texts_are_compared_by_lines_and_longer_ones_replaced():
    lines = [f"line {number} {'x' * 30}\n" for number in range(1_000)]
    changed = [*lines[:500], "new\n", *lines[501:]]
    assert [piece.op for piece in assert_lawful("".join(lines), "".join(changed))] == [
        "equal",
        "delete",
        "insert",
        "equal",
    ]
    many = "".join(f"{number}\n" for number in range(9_000))
    other = "".join(f"{number}\n" for number in range(1, 18_000, 2))
    assert [piece.op for piece in assert_lawful(many, other)] == ["delete", "insert"]


def stretches(seed):
    choose = random.Random(seed).choices
    return " ".join(" ".join([str(number), *choose("abcdefgh", k=14)]) for number in range(1_000, 1_210))


@each(
    ("original", "optimized"),
    [
        ("a " * 50_000, "a b " * 25_000),
        ("a\n" * 50_000, "b\na\n" * 25_000),
        ("." * 100_000, "," * 100_000),
        ("." * 8_000, ".," * 4_000),
        (" ".join(map(str, range(1_500))), " ".join(map(str, range(1_500, 0, -1)))),
        (stretches(1), stretches(2)),
        ("\n" * 100_000, " " * 100_000),
    ],
    ids=["words", "lines", "signs", "short signs", "reversed", "stretches", "white"],
)
def test_the_time_is_bounded(original, optimized):
    started = time.process_time()
    assert_lawful(original, optimized)
    assert time.process_time() - started < 0.5


def test_placeholders_are_kept_lost_and_added():
    assert placeholder_changes("{{ b }} {{ a }} {{b}}", "{{ c }} {{ a }}") == (("a",), ("b",), ("c",))
    assert placeholder_changes("", "") == ((), (), ())


def built(original, rewritten, warnings=()):
    return optimization(original, rewritten, source=Source.MODEL, usage=None, warnings=warnings)


def test_a_better_prompt_is_answered_with_its_gain():
    answer = built(
        "poem about {{ thing }}", "You are a poet. Write a poem about {{ thing }}, at most 12 lines.", ("w",)
    )
    assert not answer.unchanged
    assert answer.score_after > answer.score_before
    assert tuple(criterion.name for criterion in answer.criteria) == CRITERIA
    role = answer.criteria[-1]
    assert (role.before, role.after > 5) == (0, True)
    assert role.why.startswith("Before: ")
    assert "poet" in role.why
    assert answer.placeholders_kept == ("thing",)
    assert answer.warnings == ("w",)
    assert answer.source is Source.MODEL


def test_an_unchanged_prompt_scores_the_same_and_is_not_explained_twice():
    answer = built("Write a poem.", "Write a poem.")
    assert answer.unchanged
    assert answer.score_after == answer.score_before
    assert answer.warnings == ()
    assert all(criterion.before == criterion.after and "Before" not in criterion.why for criterion in answer.criteria)
    assert answer.diff == (Piece(op="equal", text="Write a poem."),)


@each(
    ("rewritten", "said"),
    [
        ("You are a poet. Write a poem in at most 12 lines and avoid clichés.", "lost placeholders: thing"),
        ("{{ thing }}", "below"),
    ],
)
def test_a_worse_one_is_dropped_with_a_warning(rewritten, said):
    original = "Write a poem about {{ thing }}."
    answer = built(original, rewritten)
    assert answer.unchanged
    assert answer.optimized == original
    assert answer.score_after == answer.score_before
    assert answer.placeholders_lost == ()
    assert said in answer.warnings[0]


@each(
    ("original", "language"),
    [("напиши письмо клиенту", "ru"), ("写一封邮件给客户", "zh"), ("napisz maila do klienta", "pl")],
)
def test_rules_without_words_of_a_language_say_so(original, language):
    answer = optimization(original, original, source=Source.RULES, usage=None, warnings=("w",))
    assert answer.warnings[0] == "w"
    assert f"this one is in {language}." in answer.warnings[1]
    by_model = optimization(original, original, source=Source.MODEL, usage=None, warnings=())
    assert by_model.warnings == ()


@each("original", ["Write a poem.", "schreib ein gedicht", "knock knock", "xyzzy", "42"])
def test_rules_with_words_of_a_language_or_of_none_say_nothing_of_it(original):
    assert optimization(original, original, source=Source.RULES, usage=None, warnings=()).warnings == ()


@given(st.text(max_size=200), st.text(max_size=200))
@settings(max_examples=100)
def test_any_pair_has_an_answer(original, rewritten):
    answer = built(original, rewritten)
    assert answer.score_after >= answer.score_before
    assert answer.unchanged == (answer.optimized == original)
    assert answer.placeholders_lost == ()
