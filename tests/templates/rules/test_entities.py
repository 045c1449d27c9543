"""What a query says of the text that is wanted."""

from __future__ import annotations

import dataclasses
import functools

from apps.templates.answers import Entities
from apps.templates.rules.entities import find_entities
from benchmarks.intents.labelled import LABELLED, labelled_parts, read_lines
from tests.each import each


@each(
    ("query", "expected"),
    [
        ("short friendly email for our customers by friday", {"audience": "our customers", "deadline": "friday"}),
        ("blog post about tea, max 600 words, formal", {"length": "max 600 words", "tone": "formal"}),
        ("explain dns as a table for beginners", {"format": "table", "audience": "beginners"}),
        ("slogan for a bike shop", {"product": "bike shop"}),
        ("we sell solar panels, cold mail please", {"product": "solar panels"}),
        ("fasse den text zusammen, höchstens 100 wörter", {"length": "höchstens 100 wörter"}),
        ("erkläre das als Tabelle für Anfänger", {"format": "Tabelle", "audience": "Anfänger"}),
        ("résume en 5 points pour demain", {"length": "5 points", "deadline": "demain"}),
        ("descripción de producto para unas zapatillas", {"product": "unas zapatillas"}),
        ("resumen en 3 frases, tono formal", {"length": "3 frases", "tone": "formal"}),
        ("schrijf een tekst van 200 woorden voor klanten", {"length": "200 woorden", "audience": "klanten"}),
        ("riassumi in 3 frasi", {"length": "3 frasi"}),
        ("streść to w 5 punktach", {"length": "5 punktach"}),
        ("написать текст, 3000 знаков", {"length": "3000 знаков"}),
        ("写一篇文章,300字以内", {"length": "300字以内"}),
        ("cold email to dentists selling booking software", {"audience": "dentists"}),
        ("tell 8000 subscribers that prices go up", {"audience": "8000 subscribers"}),
        ("worksheet on bees, grade 4", {"audience": "grade 4"}),
        ("письмо директору завода", {"audience": "директору завода"}),
        ("billboard, seven words, oat milk", {"product": "oat milk"}),
        ("flyer text for my piano lessons", {"product": "piano lessons"}),
    ],
)
def test_found_in_the_own_words(query, expected):
    found = find_entities(query)
    assert {name: getattr(found, name) for name in expected} == expected


@each(
    "query",
    ["write an email", "hello", "fix this bug", "translate this to french", "poem", "", "cover letter for a nurse"]
    + ["agenda for the team meeting", "name for a school", "the table is too slow"],
)
def test_what_is_not_said_is_none(query):
    assert find_entities(query) == Entities()


def test_each_stands_in_its_query():
    for line in read_lines(LABELLED):
        for value in dataclasses.astuple(find_entities(line.query)):
            assert value is None or (value and value in line.query)


@functools.cache
def held_out():
    return [(line, find_entities(line.query)) for line in labelled_parts()[1]]


@each(
    ("name", "precision", "recall"),
    [
        ("audience", 0.5, 0.27),
        ("tone", 0.8, 0.3),
        ("length", 0.65, 0.75),
        ("format", 0.9, 0.38),
        ("product", 0.5, 0.26),
        ("deadline", 0.7, 0.5),
    ],
)
def test_held_out_third(name, precision, recall):
    found = said = right = 0
    for line, entities in held_out():
        ours, theirs = getattr(entities, name), line.entities.get(name)
        found += ours is not None
        said += theirs is not None
        if ours and theirs:
            right += ours.lower() in theirs.lower() or theirs.lower() in ours.lower()
    assert right >= precision * found
    assert right >= recall * said


@each(
    "query",
    ["for " * 25_000, "a " * 50_000, "max 1 " * 16_000, "very " * 20_000, "'-" * 50_000, "x" * 100_000, "1" * 100_000]
    + ["description of a b c d " * 4_000, "給" * 100_000, ", json" * 16_000],
    ids=range(10),
)
def test_hostile_texts_are_read_no_further_than_others(query):
    assert find_entities(query) == find_entities(query + query)
