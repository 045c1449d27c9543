"""Intent by rules: how often it is right on queries it has never seen, what it costs, that it is always the same."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from apps.templates.answers import Entities, Source
from apps.templates.categories import UNKNOWN
from apps.templates.rules import features, intent
from apps.templates.rules.intent import LABELS, WEIGHTS, detect_intent, hashed_features
from benchmarks.intents.labelled import (
    FRESH,
    UNSEEN,
    Line,
    inputs_digest,
    labelled_parts,
    read_lines,
    split,
    training_material,
    trigrams,
)
from tests.each import each
from tests.waiting import PROGRAM_HANG_S

_ROOT = Path(__file__).parents[3]

# What the rules reach today; lower is a step back.
HELD_OUT_FIRST = 0.85
HELD_OUT_THIRD = 0.95
UNSEEN_FIRST = 0.86
UNSEEN_THIRD = 0.96

_HOSTILE = (
    "",
    " ",
    "\x00",
    "\ud800",
    "\u0301" * 50_000,
    "a" * 100_000,
    "a " * 50_000,
    "for " * 25_000,
    "写" * 100_000,
    "ﷺ" * 30_000,
    "\n" * 100_000,
    "{{" * 50_000,
    "\U0001f600" * 25_000,
    "'\"`" * 30_000,
    "1,2 " * 25_000,
)


def shares(lines: Sequence[Line]) -> tuple[float, float, float]:
    """Return how often the label came first, how often among three, and the expected calibration error."""
    first = third = 0
    bins: dict[int, list[tuple[bool, float]]] = defaultdict(list)
    for line in lines:
        found = detect_intent(line.query)
        right = found.category == line.label
        first += right
        third += right or line.label in [other.category for other in found.alternatives[:2]]
        bins[min(9, int(found.confidence * 10))].append((right, found.confidence))
    gaps = [abs(sum(right - confidence for right, confidence in pairs)) for pairs in bins.values()]
    return first / len(lines), third / len(lines), sum(gaps) / len(lines)


def test_held_out_third():
    training, held_out = labelled_parts()
    assert 0.3 < len(held_out) / (len(held_out) + len(training)) < 0.37
    first, third, calibration = shares(held_out)
    assert first >= HELD_OUT_FIRST
    assert third >= HELD_OUT_THIRD
    assert calibration <= 0.08


def test_queries_of_another_hand():
    lines = read_lines(FRESH)
    assert len(lines) >= 250
    first, third, calibration = shares(lines)
    assert first >= 0.97
    assert third >= 0.99
    assert calibration <= 0.08


def test_queries_written_after_the_training_material():
    lines = read_lines(UNSEEN)
    assert len(lines) >= 250
    assert len({line.query for line in lines}) == len(lines)
    assert {line.label for line in lines} == set(LABELS)
    first, third, calibration = shares(lines)
    assert first >= UNSEEN_FIRST
    assert third >= UNSEEN_THIRD
    assert calibration <= 0.08


def test_training_material_keeps_clear_of_what_is_measured():
    measured = [*labelled_parts()[1], *read_lines(FRESH), *read_lines(UNSEEN)]
    same = {line.query.casefold() for line in measured}
    assert [line.query for line in training_material() if line.query.casefold() in same] == []


def test_near_duplicates_are_on_one_side():
    lines = [
        Line(
            query=f"{start} the quarterly sales report of the northern region{end}",
            label="summarization",
            language="en",
        )
        for start in ("summarise", "summarize", "please summarise", "summarise all of")
        for end in ("", "!", " pls")
    ]
    assert sorted(map(len, split(lines))) == [0, len(lines)]
    assert trigrams("Ärger") == trigrams("ärger")


def test_weights_are_made_from_what_is_there():
    made_from = json.loads(WEIGHTS.read_bytes().partition(b"\n")[0])["inputs_sha256"]
    assert made_from == inputs_digest(), "run: python -m benchmarks.intents.train"
    assert WEIGHTS.stat().st_size <= 4_000_000


def test_shape_of_an_answer():
    found = detect_intent("Write a cover letter for a job as a nurse, formal, max 200 words, by Friday")
    assert (found.category, found.language, found.source, found.usage) == ("career", "en", Source.RULES, None)
    assert found.entities.tone == "formal"
    assert found.entities.length == "max 200 words"
    assert found.entities.deadline == "Friday"
    confidences = [found.confidence, *(other.confidence for other in found.alternatives)]
    assert len(found.alternatives) == 3
    assert all(1 >= more >= less >= 0 for more, less in pairwise(confidences))
    assert len({found.category, *(other.category for other in found.alternatives)}) == 4
    assert {other.category for other in found.alternatives} <= set(LABELS)


@each("query", ["", " ", "\n\t", "...", "12345", "😂😂", "+-*/", "\x00", "___"])
def test_what_says_nothing_is_unknown(query):
    found = detect_intent(query)
    assert (found.category, found.confidence, found.alternatives) == (UNKNOWN, 1.0, ())
    assert (found.language, found.entities) == ("und", Entities())


@each("query", _HOSTILE, ids=range(len(_HOSTILE)))
def test_hostile_queries_cost_no_more_than_others(query):
    assert detect_intent(query).category in LABELS
    seen = features.features(query)
    assert len(features.excerpt(query)) <= features.HEAD_CHARS + features.TAIL_CHARS + 1
    assert len(seen.concepts) + len(seen.words) + len(seen.pieces) <= 10_000


@each(
    ("query", "asked", "told"),
    [
        ("We sell lamps. Could you write a blog post about our support?", "blog post", "=support"),
        ("My code works, the tests too. Which slogan would you take?", "which slogan", "=code"),
        ("Der Vertrag ist gut. Schreib mir bitte ein Gedicht.", "ein gedicht", "=legal"),
    ],
)
def test_the_clause_that_asks_is_seen_apart(query, asked, told):
    seen = features.features(query)
    assert asked in seen.asked
    assert told in seen.told
    assert told not in seen.asked


def test_a_phrase_may_end_in_a_stem():
    assert "=seoforms" in features.features("google showed nothing").concepts


def test_a_long_query_is_judged_by_its_head_and_tail():
    material = "Lorem ipsum dolor sit amet. " * 4000
    assert detect_intent(f"Translate this into Spanish, please:\n{material}").category == "translation"
    assert features.excerpt(f"head {material} tail").endswith(" tail")


def test_a_sum_cannot_overflow_its_lane():
    most = max(len(rows) for query in _HOSTILE for rows, _ in hashed_features(query))
    assert most * 255 < 256**intent._LANE_BYTES


def test_same_answer_in_every_process():
    queries = ["write a poem about rain", "scrivi una mail ai clienti", "帮我写求职信", "fix the code or review it?"]
    program = f"from apps.templates.rules.intent import detect_intent\nfor q in {queries!r}: print(detect_intent(q))"
    answers = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONUTF8": "1"},
            capture_output=True,
            text=True,
            check=True,
            cwd=_ROOT,
            timeout=PROGRAM_HANG_S,
        ).stdout
        for seed in ("0", "1", "4242")
    }
    assert len(answers) == 1
    assert answers == {"".join(f"{detect_intent(query)}\n" for query in queries)}


def test_nothing_is_read_before_the_first_query():
    program = (
        "import apps.templates.rules.intent as i, apps.templates.rules.features as f\n"
        "assert i._weights.cache_info().currsize == f._cues.cache_info().currsize == 0\n"
        "i.preload()\n"
        "assert i._weights.cache_info().currsize == f._cues.cache_info().currsize == 1"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=_ROOT, timeout=PROGRAM_HANG_S)
