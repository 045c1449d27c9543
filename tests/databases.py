"""Databases for what runs on both: a file for SQLite and a cluster for PostgreSQL, each in the place of the default."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dj_database_url
from django.core.management import call_command
from django.db import connections

__all__ = ["connected", "migrated"]


@contextmanager
def connected(settings: dict[str, Any]) -> Iterator[None]:
    """Make a database the default one of this thread, with a connection of its own."""
    previous, connection = connections.settings["default"], connections["default"]
    connections.settings["default"] = settings
    connections["default"] = connections.create_connection("default")
    try:
        yield
    finally:
        connections["default"].close()
        connections.settings["default"], connections["default"] = previous, connection


def migrated(url: str) -> dict[str, Any]:
    """Return the settings of a database in which every migration has run."""
    database: dict[str, Any] = {**connections.settings["default"], "OPTIONS": {}, **dj_database_url.parse(url)}
    if database["ENGINE"].endswith("sqlite3"):
        database["OPTIONS"] = {"transaction_mode": "IMMEDIATE"}
    with connected(database):
        call_command("migrate", verbosity=0, interactive=False)
    return database
