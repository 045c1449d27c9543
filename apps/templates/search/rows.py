"""Reading rows of the search's tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from django.db import connection

__all__ = ["rows_of"]


def rows_of(statement: str, columns: str, parameters: Sequence[str | int | list[str]]) -> list[Sequence[Any]]:
    """Return the rows of a SELECT, in its order; `columns` are the names that it gives them, with commas.

    SQLite is asked for one row that holds them all, as JSON: its driver gives up the interpreter's lock at each row,
    and waits for it again, which beside a thread that computes takes longer than the search itself.
    """
    with connection.cursor() as cursor:
        if connection.vendor != "sqlite":
            cursor.execute(statement, parameters)
            found: list[Sequence[Any]] = cursor.fetchall()
        else:
            cursor.execute(f"SELECT json_group_array(json_array({columns})) FROM ({statement})", parameters)
            found = orjson.loads(cursor.fetchone()[0])
        return found
