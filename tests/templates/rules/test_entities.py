"""What a query says of the text that is wanted."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

from apps.templates.answers import Entities
from apps.templates.rules.entities import find_entities
from benchmarks.intents.labelled import LABELLED, labelled_parts, read_lines
from tests.each import each

SAID = [json.loads(line) for line in Path(__file__).parents[1].joinpath("entities.jsonl").read_text().splitlines()]
_WORD = re.compile(r"\w+")


@each(
    ("query", "expected"),
    [
        ("short friendly email to our customers by friday", {"tone": "friendly", "deadline": "friday"}),
        ("blog post about tea, max 600 words, formal", {"length": "max 600 words", "tone": "formal"}),
        ("explain dns as a table for beginners", {"format": "table", "audience": "beginners"}),
        ("fasse den text zusammen, höchstens 100 wörter", {"length": "höchstens 100 wörter"}),
        ("erkläre das als Tabelle für Anfänger", {"format": "Tabelle", "audience": "Anfänger"}),
        ("résume en 5 phrases pour demain", {"length": "5 phrases", "deadline": "demain"}),
        ("resumen en 3 frases, tono formal", {"length": "3 frases", "tone": "formal"}),
        ("riassumi in 3 frasi", {"length": "3 frasi"}),
        ("streść to w 5 punktach", {"length": "5 punktach"}),
        ("написать текст, 3000 знаков", {"length": "3000 знаков"}),
        ("写一篇文章,300字以内", {"length": "300字以内"}),
        ("worksheet on bees, grade 4", {"audience": "grade 4"}),
        ("a 900-word essay on salt", {"length": "900-word"}),
    ],
)
def test_found_in_the_own_words(query, expected):
    found = find_entities(query)
    assert {name: getattr(found, name) for name in expected} == expected


@each(
    "query",
    ["write an email", "hello", "fix this bug", "translate this to french", "poem", "", "cover letter for a nurse"]
    + ["agenda for the team meeting", "name for a school", "the table is too slow", "gift ideas for teachers"]
    + [
        "summary of 300 pages",
        "delete the newest row per user",
        "slogan for a bike shop",
        "the invoice is due on friday",
    ]
    + ['translate "a friendly letter to our customers, 200 words"', "ats friendly version of this cv"],
)
def test_what_is_not_said_is_none(query):
    assert find_entities(query) == Entities()


def test_each_stands_in_its_query():
    for line in read_lines(LABELLED):
        for value in dataclasses.astuple(find_entities(line.query)):
            assert value is None or (value and value in line.query)


@each(
    ("name", "said", "recall"),
    [("audience", 37, 0.7), ("tone", 30, 0.7), ("length", 34, 0.65), ("format", 8, 0.7), ("deadline", 10, 0.7)],
)
def test_nine_in_ten_are_right(name, said, recall):
    pairs = [(line["entities"].get(name), getattr(find_entities(line["query"]), name)) for line in SAID]
    if name == "deadline":
        pairs += [(line.entities.get(name), find_entities(line.query).deadline) for line in labelled_parts()[1]]
    found = [(theirs, ours) for theirs, ours in pairs if ours]
    right = sum(bool(theirs) and same(theirs, ours) for theirs, ours in found)
    assert sum(name in line["entities"] for line in SAID) == said
    assert right >= 0.9 * len(found)
    assert right >= recall * said


def same(one: str, other: str) -> bool:
    """Return whether one of two has the words of the other."""
    words, others = (f" {' '.join(_WORD.findall(text.casefold()))} " for text in (one, other))
    return words in others or others in words


@each(
    "query",
    ["for " * 25_000, "a " * 50_000, "max 1 " * 16_000, "very " * 20_000, "'-" * 50_000, "x" * 100_000, "1" * 100_000]
    + ["email to my our all " * 5_000, "給" * 100_000, ", json" * 16_000],
    ids=range(10),
)
def test_hostile_texts_are_read_no_further_than_others(query):
    assert find_entities(query) == find_entities(query + query)
