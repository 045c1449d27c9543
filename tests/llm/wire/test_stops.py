"""Stop strings in a text that comes in pieces: the same end however it is cut, and nothing of it sent before."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from apps.llm.wire.stops import MAX_STOP_CHARS, StopSearch
from tests.each import each

OWL = "\U0001f989"


def fed(stops: list[str], pieces: list[str]) -> tuple[str, bool, str]:
    """Return the text before the end, whether one was found, and the most that was held back meanwhile."""
    search = StopSearch(stops)
    out = [search.feed(piece) for piece in pieces]
    return "".join(out) + ("" if search.found else search.rest()), search.found, out[-1] if out else ""


def expected(stops: list[str], text: str) -> tuple[str, bool]:
    ends = [(start + len(stop), start) for stop in stops if (start := text.find(stop)) >= 0]
    return (text[: min(ends)[1]], True) if ends else (text, False)


@each(
    ("stops", "pieces", "text"),
    [
        (["x"], ["axb"], "a"),
        (["x"], ["x"], ""),
        (["END"], ["one E", "N", "D two"], "one "),
        (["END"], ["one EN", "E", "ND"], "one EN"[:4] + "EN"),
        (["aab"], ["a", "a", "a", "b"], "a"),
        (["abab"], ["aba", "abab"], "aba"),
        (["b c", "ab"], ["ab c"], ""),
        (["END", "THE END"], ["THE ", "END"], ""),
        (["Observation:"], ["Thought\nObser", "vat", "ion: 3"], "Thought\n"),
        ([OWL], ["a\ud83e", "\udd89b"], "a"),
        ([OWL], ["a", OWL, "b"], "a"),
        ([f"{OWL}{OWL}"], [f"a{OWL}\ud83e", "\udd89"], "a"),
        (["\n\n"], ["a\n", "\n"], "a"),
    ],
)
def test_a_stop_string_over_pieces(stops, pieces, text):
    assert fed(stops, pieces)[:2] == (text, True)


@each(
    ("stops", "pieces"),
    [
        (["END"], ["one E", "N", "T"]),
        (["END"], ["one EN"]),
        ([OWL], ["a\ud83e", "b"]),
        ([OWL], ["a\ud83e"]),
        ([OWL], ["\udd89", "\ud83e\ud83e"]),
        (["x"], []),
    ],
)
def test_what_only_begins_like_one_comes_out_in_the_end(stops, pieces):
    assert fed(stops, pieces)[:2] == ("".join(pieces), False)


def test_text_is_held_back_no_longer_than_it_may_begin_one():
    search = StopSearch(["ababc", "xyz"])
    assert [search.feed(piece) for piece in ("ab", "ab", "ab", "d", "x", "y", "y")] == [
        "",
        "",
        "ab",
        "ababd",
        "",
        "",
        "xyy",
    ]
    assert search.rest() == ""


@given(
    st.lists(st.text("ab", min_size=1, max_size=5), min_size=1, max_size=4),
    st.lists(st.text("ab", max_size=4), max_size=12),
)
@example(["aab", "ab"], ["a", "a", "ab"])
def test_it_ends_where_the_whole_text_would(stops, pieces):
    assert fed(stops, pieces)[:2] == expected(stops, "".join(pieces))


@given(
    st.sampled_from(["a" * MAX_STOP_CHARS, "ab" * 512, "a" * 1_000 + "b", "b"]),
    st.lists(st.integers(0, 1_200), max_size=6),
    st.booleans(),
)
def test_long_strings_in_long_pieces(stop, sizes, ends):
    pieces = ["a" * size for size in sizes] + (["b" * ends])
    assert fed([stop], pieces)[:2] == expected([stop], "".join(pieces))
