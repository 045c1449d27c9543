"""The labelled queries that intent is measured by: their own rules."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

from apps.templates.categories import CATEGORIES, UNKNOWN
from benchmarks.intents.labelled import LEARNT_PLAIN, MEASURED_PLAIN, labelled_parts
from benchmarks.intents.plain_requests import core, material, plain_requests, wordings

LABELS = {*CATEGORIES, UNKNOWN}
ENTITIES = {"audience", "tone", "length", "format", "product", "deadline"}
SERVED = ("en", "de", "fr", "es", "pt", "it", "nl", "pl", "tr", "ru", "zh", "ja", "ar", "hi")
PLAIN = plain_requests(MEASURED_PLAIN)
LINES = [json.loads(line) for line in Path(__file__).with_name("intents.jsonl").read_text().split("\n") if line]


def test_enough_of_each():
    by_label = Counter(line["label"] for line in LINES)
    assert set(by_label) == LABELS
    assert len(LINES) >= 900
    assert min(by_label[label] for label in CATEGORIES) >= 30
    assert by_label[UNKNOWN] >= 90
    assert len({line["language"] for line in LINES}) >= 8


def test_each_line_is_whole_and_its_own():
    assert all(set(line) == {"query", "label", "also", "language", "entities"} for line in LINES)
    assert all(set(line["also"]) <= LABELS - {line["label"]} for line in LINES)
    assert all(set(line["entities"]) <= ENTITIES for line in LINES)
    queries = Counter(re.sub(r"[\W_]+", " ", line["query"].lower()).strip() or line["query"] for line in LINES)
    assert [query for query, count in queries.items() if count > 1] == []


def test_entities_stand_in_their_queries():
    assert [
        (line["query"], word)
        for line in LINES
        for word in line["entities"].values()
        if word.lower() not in line["query"].lower()
    ] == []


def test_enough_plain_requests_of_each_in_each_language():
    count = Counter((line.label, line.language) for line in PLAIN)
    assert {language for _, language in count} == set(SERVED)
    assert all(count[label, "en"] >= 30 for label in (*CATEGORIES, UNKNOWN))
    assert all(count[label, language] >= 5 for label in (*CATEGORIES, UNKNOWN) for language in SERVED)


def test_no_frame_and_no_thing_is_in_both():
    for language in SERVED:
        frames, things = wordings(LEARNT_PLAIN, language)
        other_frames, other_things = wordings(MEASURED_PLAIN, language)
        assert min(len(frames), len(things), len(other_frames), len(other_things)) > 0
        assert not frames & other_frames
        assert not things & other_things


def test_nothing_learnt_is_measured_or_names_what_is_measured():
    learnt = (*material(), *labelled_parts()[0])
    things = {core(thing) for language in SERVED for thing in wordings(MEASURED_PLAIN, language)[1]}
    queries = {line.query.casefold() for line in PLAIN}
    assert () not in things
    assert [line.query for line in learnt if line.query.casefold() in queries] == []
    assert [line.query for line in learnt if core(line.query) in things] == []
