"""Which index there is: that of the database in use."""

from __future__ import annotations

from django.db import connection

from apps.templates.search.index import SearchIndex
from apps.templates.search.postgres import PostgreSQLIndex
from apps.templates.search.sqlite import SQLiteIndex

__all__ = ["search_index"]


def search_index() -> SearchIndex:
    """Return the index of the current connection's database."""
    return PostgreSQLIndex() if connection.vendor == "postgresql" else SQLiteIndex()
