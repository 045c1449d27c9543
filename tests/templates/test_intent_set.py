"""The labelled queries that intent is measured by: their own rules."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

from apps.templates.categories import CATEGORIES, UNKNOWN

LABELS = {*CATEGORIES, UNKNOWN}
ENTITIES = {"audience", "tone", "length", "format", "product", "deadline"}
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
