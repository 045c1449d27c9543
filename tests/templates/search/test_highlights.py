"""The ranges that a found template is told with, on both databases."""

from __future__ import annotations

import pytest

from apps.templates.search import Found
from tests.templates.search.stored import search, store

pytestmark = pytest.mark.usefixtures("database")


def marked(found: Found) -> dict[str, list[str]]:
    """Return the highlighted pieces of each field, after what holds for all ranges."""
    pieces: dict[str, list[str]] = {}
    last: dict[str, int] = {}
    for highlight in found.highlights:
        text = {"title": found.title, "description": found.description}[highlight.field]
        assert last.get(highlight.field, -1) < highlight.start < highlight.end <= len(text)
        last[highlight.field] = highlight.end
        pieces.setdefault(highlight.field, []).append(text[highlight.start : highlight.end])
    return pieces


@pytest.mark.parametrize(
    ("title", "query", "expected"),
    [
        ("Cold email to a client", "emails cold", ["Cold", "email"]),
        ("Summarise, summary; SUMMARIES!", "summ", ["Summarise", "summary", "SUMMARIES"]),
        ("Newsletter", "newsleter", ["Newsletter"]),
        ("🎉 Ein Café in Łódź", "cafe lodz", ["Café", "Łódź"]),
        ("Cafe\u0301 noir", "café", ["Cafe\u0301"]),
        ("The plain-language plan", '"plain language"', ["plain", "language"]),
        ("Plain text in a language", '"plain text" language', ["Plain", "text", "language"]),
        ("A stand-up, standing up", "standup", ["stand-up"]),
        ("会议纪要模板", "纪要", ["纪要"]),
        ("会议纪要模板", "会议纪要", ["会议纪要"]),
        ("<b>Zebra</b> & <script>zebra</script>", "zebra", ["Zebra", "zebra"]),
        ("Resume of a life", "cv", ["Resume"]),
        ("The best of the best", "best", ["best", "best"]),
    ],
)
def test_ranges_of_a_title(title: str, query: str, expected: list[str]):
    store("one", title)
    (found,) = search(query)
    assert marked(found) == {"title": expected}


def test_ranges_of_both_fields_and_of_no_other():
    store("one", "Zebra", "About zebras.", "A zebra in the text.", tags=("zebra",))
    (found,) = search("zebra")
    assert marked(found) == {"title": ["Zebra"], "description": ["zebras"]}
    store("two", "x", "", "A yak in the text.")
    (found,) = search("yak")
    assert found.highlights == ()
