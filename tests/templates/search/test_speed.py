"""What a search costs in a larger library, on both databases, and how they find what it asks for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from types import FrameType
from typing import Any

from django.db import connection

from apps.templates.search import template_search
from benchmarks.search.generated import store_generated
from tests.templates.search.stored import NOBODY
from tests.templates.visibility import undone, work

TEMPLATES = 40
Ask = Callable[[], object]


def test_common_words_and_typos_of_them_cost_no_more_than_there_are_templates(database: str):
    """In lines of Python, and in steps of SQLite; docs/search.md has the times over 10,000 templates."""
    queries = ("the", "email", "emial", "te", "data for the customer who writes the text", '"the text"', "zzzzzzzz")
    asks = [partial(template_search, caller=NOBODY, query=query) for query in queries]
    counters = (lines, work) if database == "sqlite" else (lines,)
    few, many = [costs(asks, count, counters) for count in (TEMPLATES, 3 * TEMPLATES)]
    for query, *costs_of_one in zip(queries, few, many, strict=True):
        for little, much in zip(*costs_of_one, strict=True):
            assert much <= 3.5 * little + 500, (query, *costs_of_one)


def test_how_the_templates_are_found(database: str):
    store_generated(200)
    with connection.cursor() as cursor:
        if database == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("EXPLAIN SELECT 1 FROM prompt_templates_search WHERE words @@ '''email'''::tsquery")
            plan = "\n".join(row[0] for row in cursor.fetchall())
            assert "Bitmap Index Scan on prompt_templates_search_stems" in plan
            cursor.execute("EXPLAIN SELECT 1 FROM prompt_templates_search_piece WHERE piece IN ('0^^e', '0^em')")
            plan = "\n".join(row[0] for row in cursor.fetchall())
            assert "prompt_templates_search_piece_pkey" in plan
        else:
            plans: list[list[str]] = []

            def explained(run, sql, values, many, context):
                if "MATCH" in sql:
                    raw = connection.connection.execute("EXPLAIN QUERY PLAN " + sql.replace("%s", "?"), values)
                    plans.append([row[3] for row in raw])
                return run(sql, values, many, context)

            with connection.execute_wrapper(explained):
                template_search(caller=NOBODY, query="emial zzzz")
            assert len(plans) >= 3
            # A full text index is asked (M, not rowid by rowid: =), the templates one by one of what it finds.
            steps = [step for plan in plans for step in plan]
            assert any("VIRTUAL TABLE INDEX 0:M" in step for step in steps)
            assert not any(step == "SCAN t" for step in steps)


def costs(asks: Sequence[Ask], templates: int, counters: Sequence[Callable[[Ask], int]]) -> list[list[int]]:
    with undone():
        store_generated(templates)
        return [[count(ask) for count in counters] for ask in asks]


def lines(ask: Callable[[], object]) -> int:
    """Return how many lines of Python run for an answer, and how many calls and returns."""
    done = 0
    former = sys.gettrace()

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal done
        done += 1
        return trace

    sys.settrace(trace)
    try:
        ask()
    finally:
        sys.settrace(former)
    return done
