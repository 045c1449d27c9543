"""The tables of search: made, unmade, and what is said where they cannot be."""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection

from apps.templates.search import rebuild_index
from tests.databases import connected
from tests.templates.search.stored import slugs, store

FIRST = importlib.import_module("apps.templates.migrations.0002_search")
MIGRATION = importlib.import_module("apps.templates.migrations.0005_audience")


def run(statement: str, params: None = None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, params)


def counted(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM prompt_templates_search{table}")
        return int(cursor.fetchone()[0])


def test_tables_are_unmade_and_made(database: str):
    template = store("one", "Zebra")
    editor = SimpleNamespace(connection=connection, execute=run)
    MIGRATION.unmake(None, editor)
    names = connection.introspection.table_names()
    kept = ["prompt_templates_search"] if database == "postgresql" else []
    assert [name for name in names if name.startswith("prompt_templates_search")] == kept
    # Nothing is left that would stumble over the missing tables.
    template.delete()
    MIGRATION.make(None, editor)
    store("two", "Zebra")
    rebuild_index()
    assert slugs("zebra") == slugs("zebrra") == ["two"]


def test_a_truncated_table_leaves_nothing_behind(database: str):
    if database == "sqlite":
        pytest.skip("SQLite has no TRUNCATE")
    store("one", "Zebra")
    run("SET CONSTRAINTS ALL IMMEDIATE")
    run("TRUNCATE prompt_templates_template CASCADE")
    assert [counted(table) for table in ("", "_entry", "_word", "_piece")] == [0, 0, 0, 0]


def test_an_administrator_is_asked_for_trigrams(postgresql_settings: dict[str, Any], django_db_blocker):
    """A role without rights of its own gets no further without the extension, and needs no rights with it."""
    other: dict[str, Any] = {**postgresql_settings, "NAME": "limited"}
    with django_db_blocker.unblock():
        with connected(postgresql_settings):
            run("CREATE ROLE limited LOGIN")
            run("CREATE DATABASE limited")
        with connected({**other, "USER": "limited"}), pytest.raises(RuntimeError, match="CREATE EXTENSION pg_trgm"):
            FIRST._need_trigrams(connection)
        with connected(other):
            run("CREATE EXTENSION pg_trgm")
        with connected({**other, "USER": "limited"}):
            FIRST._need_trigrams(connection)
