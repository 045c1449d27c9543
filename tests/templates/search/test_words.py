"""Words: folded, cut, stemmed; and how far one is from another. No database."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.templates.search.dictionary import pieces
from apps.templates.search.highlights import highlights
from apps.templates.search.query import MAX_GROUPS, MAX_VARIANTS, parse_query
from apps.templates.search.stems import stem
from apps.templates.search.typos import distance
from apps.templates.search.words import MAX_WORD_CHARACTERS, analysed, words_in

# What could end a string in a query of one of the databases, or a row of stems, or an audience before a stem.
UNSAFE = set("_ \t\n\"'\\|&!()*:<>-^{}[]$%\x00")


@pytest.mark.parametrize(
    "words",
    [
        "summarize summarise summary summaries summarization summarisation summarizing summarised",
        "translate translation translations translating translator",
        "colour color colours colored coloured",
        "behaviour behavior behavioural",
        "analysis analyses analyse analyze analytics analytical",
        "plan plans planned planning",
        "write writes writing written wrote",
        "agree agreed agrees agreeing",
        "policy policies",
        "class classes",
    ],
)
def test_forms_share_a_stem(words: str):
    assert len({stem(word) for word in words.split()}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [("email", "emu"), ("news", "new"), ("bus", "busy"), ("the", "then"), ("sing", "s")],
)
def test_other_words_do_not(one: str, other: str):
    assert stem(one) != stem(other)


def test_rows_of_stems():
    row = " stand up e mail the author a b test | standup | email | ab "
    assert analysed("Stand-up e-mail: the author's A/B test") == row
    assert analysed("会议纪要 模板") == " 会议 议纪 纪要 要 模板 板 "
    assert analysed("") == analysed(" ...! ") == " "


@given(st.text(max_size=60) | st.text(st.sampled_from("aé-'’&/.会ー゛½ﷺ\u0301 |\"\x00"), max_size=40))
def test_words_of_any_text(text: str):
    """Are safe to be put into a query of either database, not long, and where they are said to be."""
    for word in words_in(text):
        assert word.word
        assert word.stem
        assert not set(word.word + word.stem) & UNSAFE
        assert len(word.word) <= MAX_WORD_CHARACTERS
        assert text[word.start : word.end].strip()
    for found in highlights("title", text, parse_query(text)):
        assert 0 <= found.start < found.end <= len(text)


@given(st.text(max_size=400))
def test_queries_are_bounded(text: str):
    groups = parse_query(text)
    assert len(groups) <= MAX_GROUPS
    assert all(0 < len(group.variants) <= MAX_VARIANTS for group in groups)
    assert all(0 < len(variant.stems) <= MAX_GROUPS for group in groups for variant in group.variants)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("code", "code", 0),
        *[("code", other, 1) for other in ("codes", "cod", "core", "cdoe", "ocde", "xode")],
        ("newsletter", "nwesletetr", 2),
        ("code", "cats", 3),
        ("code", "codified", 3),
        ("ab", "ba", 1),
        ("", "ab", 2),
    ],
)
def test_mistakes_are_counted_up_to_a_bound(one: str, other: str, expected: int):
    assert distance(one, other, 2) == distance(other, one, 2) == expected


def test_pieces_reach_across_the_ends():
    assert pieces("ab") == {"^^a", "^ab", "ab^"}
    assert pieces("anana") == {"^^a", "^an", "ana", "nan", "na^"}
    assert pieces("год") == {"^^г", "^го", "год", "од^"}
