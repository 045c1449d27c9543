"""Rows as they are read from the search's tables."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection

from apps.core import store_bounds
from apps.llm.errors import Code, ServiceUnavailable
from apps.templates.search.rows import bounded, rows_of
from tests.databases import connected

ODD = ['say "so"\\', "one\ntwo\x01", "na\u00efve \U0001f600", ""]


def stored(words: list[str]) -> str:
    places = " UNION ALL ".join(["SELECT %s AS number, CAST(%s AS text) AS word"] * len(words))
    return f"SELECT number, word FROM ({places}) stored ORDER BY number DESC"


def test_whatever_is_stored_in_the_order_of_the_statement(database: str):
    asked = [part for numbered in enumerate(ODD) for part in numbered]
    expected = [[number, word] for number, word in reversed(list(enumerate(ODD)))]
    assert [list(row) for row in rows_of(stored(ODD), "number, word", asked)] == expected
    assert rows_of("SELECT 1 AS number WHERE 1 = 2", "number", []) == []


def test_sqlite_is_asked_for_one_row(database: str):
    sent: list[tuple[str, Any]] = []

    def noted(run, sql, values, many, context):
        sent.append((sql, values))
        return run(sql, values, many, context)

    with connection.execute_wrapper(noted):
        rows_of(stored(ODD), "word", [part for numbered in enumerate(ODD) for part in numbered])
    ((statement, values),) = sent
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        assert len(cursor.fetchall()) == (1 if database == "sqlite" else len(ODD))


LONG = (
    "WITH RECURSIVE n(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM n LIMIT 20000000) SELECT max(number) FROM n"
)
"""Some seconds."""


def test_sqlite_gives_up_what_takes_too_long(sqlite_settings, django_db_blocker, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(store_bounds, "_bounded", True)
    with django_db_blocker.unblock(), connected(sqlite_settings):
        with pytest.raises(ServiceUnavailable) as raised, connection.cursor() as cursor, bounded(0.01):
            cursor.execute(LONG)
        assert raised.value.code is Code.OVERLOADED
        # The connection stays good, and its next statement has a time of its own.
        assert [list(row) for row in rows_of("SELECT 1 AS number", "number", [])] == [[1]]
