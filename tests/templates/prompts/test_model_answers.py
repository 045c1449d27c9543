"""Whatever a model writes: an intent within its bounds, or ValueError."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from apps.templates.answers import Intent, Source
from apps.templates.categories import CATEGORIES, UNKNOWN
from apps.templates.prompts.model_answers import read_intent_answer
from tests.each import each

QUERY = "A Straße in the rain, for tourists (calm tone), by Friday."
MEMBERS = ("category", "confidence", "alternatives", "language", "entities")
anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(CATEGORIES),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
alternatives = st.lists(
    st.fixed_dictionaries({"category": st.sampled_from([*CATEGORIES, "other"]), "confidence": st.floats()})
)
answers = st.fixed_dictionaries(
    {"category": st.sampled_from([*CATEGORIES, UNKNOWN, "x"]), "confidence": st.floats(allow_nan=False)},
    optional={
        "alternatives": anything | alternatives,
        "language": anything,
        "entities": anything | st.dictionaries(st.sampled_from(["audience", "tone", "deadline"]), st.text() | anything),
    },
)


def check(intent: Intent) -> None:
    assert intent.source is Source.MODEL
    assert intent.category in (*CATEGORIES, UNKNOWN)
    assert 0 <= intent.confidence <= 1
    categories = [one.category for one in intent.alternatives]
    assert len(categories) == len(set(categories)) <= 3
    assert {intent.category, UNKNOWN}.isdisjoint(categories)
    assert [one.confidence for one in intent.alternatives] == sorted(
        (one.confidence for one in intent.alternatives), reverse=True
    )
    assert len(intent.language) in (2, 3)
    for name in intent.entities.__slots__:
        said = getattr(intent.entities, name)
        assert said is None or said in QUERY


def read(text: str) -> Intent:
    return read_intent_answer(text, QUERY, language="und", usage=None)


@given(answers)
def test_objects_of_the_right_form(answer: Any):
    check(read(json.dumps(answer, allow_nan=True).replace("NaN", "0.5").replace("Infinity", "1e300")))


@given(st.text() | anything.map(lambda value: json.dumps(value, allow_nan=True)))
@example('{"category": "seo", "confidence": 1e999}')
@example("```json\n{}\n```")
@example("[" * 100_000)
def test_anything(text: str):
    try:
        check(read(text))
    except ValueError:
        pass


@each(
    ("said", "kept"),
    [("FOR TOURISTS", "for tourists"), (" calm tone ", "calm tone"), ("(calm", "(calm"), (".*", None), ("", None)],
)
def test_entity_is_the_querys_own_words(said: str, kept: str | None):
    answer = {"category": "seo", "confidence": 1, "entities": {"audience": said}}
    assert read(json.dumps(answer)).entities.audience == kept
