"""Databases for what runs on both: a file for SQLite and a cluster for PostgreSQL, each in the place of the default."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dj_database_url
from django.core.management import call_command
from django.db import connections

__all__ = ["connected", "migrate_here", "settings_of"]


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


def settings_of(url: str) -> dict[str, Any]:
    """Return the settings of a database that an address names."""
    database: dict[str, Any] = {**connections.settings["default"], "OPTIONS": {}, **dj_database_url.parse(url)}
    if database["ENGINE"].endswith("sqlite3"):
        database["OPTIONS"] = {"transaction_mode": "IMMEDIATE"}
    return database


def migrate_here(url: str) -> None:
    """Run every migration in a database, in this process."""
    with connected(settings_of(url)):
        call_command("migrate", verbosity=0, interactive=False)
