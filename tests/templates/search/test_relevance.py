"""How well the judged queries are answered, on both databases. `python -m benchmarks.search` prints the figures."""

from __future__ import annotations

import functools
from collections import Counter

import pytest

from apps.templates.library.starter_library import read_library
from apps.templates.search import template_search
from benchmarks.search.generated import store_library
from benchmarks.search.relevance import judge, ndcg, read_judged, reciprocal_rank
from tests.templates.search.stored import NOBODY

JUDGED = read_judged()


def test_the_set_is_whole():
    known = {template.slug for template in read_library()}
    assert len(JUDGED) >= 120
    assert [query for query, count in Counter(judged.query for judged in JUDGED).items() if count > 1] == []
    for judged in JUDGED:
        assert set(judged.grades) <= known, judged.query
        assert set(judged.grades.values()) <= {1, 2, 3}
        assert max(judged.grades.values()) >= 2, judged.query


def test_figures_of_an_order():
    grades = {"a": 3, "b": 1}
    assert ndcg(grades, ["a", "b"]) == 1.0
    assert ndcg(grades, ["b", "a"]) == pytest.approx((1 + 7 / 1.58496) / (7 + 1 / 1.58496), abs=1e-5)
    assert ndcg(grades, []) == reciprocal_rank(grades, ["b"]) == 0.0
    assert reciprocal_rank(grades, ["b", "a"]) == 0.5


def test_good_templates_are_found_first(database: str):
    store_library()

    @functools.cache
    def search(query: str) -> list[str]:
        return [found.slug for found in template_search(caller=NOBODY, query=query, limit=10)]

    held_out = judge([judged for judged in JUDGED if judged.is_held_out], search)
    everything = judge(JUDGED, search)
    # A little under what was measured: a template more or less in the library moves them.
    assert min(held_out.ndcg, everything.ndcg) > 0.88, (held_out, everything)
    assert min(held_out.mrr, everything.mrr) > 0.87, (held_out, everything)
