"""Reading rows of the search's tables."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import orjson
from django.db import OperationalError, connection

from apps.core.store_bounds import STATEMENT_S, waits_are_bounded
from apps.llm.errors import Code, ServiceUnavailable

__all__ = ["bounded", "rows_of"]

_OPERATIONS = 1_000
"""Of SQLite's machine between two looks at the clock; a look at a whole template's text may be one of them."""


def rows_of(statement: str, columns: str, parameters: Sequence[str | int | list[str]]) -> list[Sequence[Any]]:
    """Return the rows of a SELECT, in its order; `columns` are the names that it gives them, with commas.

    SQLite is asked for one row that holds them all, as JSON: its driver gives up the interpreter's lock at each row,
    and waits for it again, which beside a thread that computes takes longer than the search itself.
    """
    with connection.cursor() as cursor, bounded():
        if connection.vendor != "sqlite":
            cursor.execute(statement, parameters)
            found: list[Sequence[Any]] = cursor.fetchall()
        else:
            cursor.execute(f"SELECT json_group_array(json_array({columns})) FROM ({statement})", parameters)
            found = orjson.loads(cursor.fetchone()[0])
        return found


@contextmanager
def bounded(statement_s: float = STATEMENT_S) -> Iterator[None]:
    """Have SQLite give up a statement that takes longer, as PostgreSQL does, in a process that serves.

    Raises ServiceUnavailable then: a search for long phrases may look at all of its caller's texts.
    """
    if connection.vendor != "sqlite" or not waits_are_bounded():
        yield
        return
    ends_at_s = time.monotonic() + statement_s
    opened = connection.connection
    opened.set_progress_handler(lambda: time.monotonic() > ends_at_s, _OPERATIONS)
    try:
        yield
    except OperationalError as error:
        if getattr(error.__cause__, "sqlite_errorname", None) != "SQLITE_INTERRUPT":
            raise
        raise ServiceUnavailable(
            "This search takes too long. Ask for less in quotes, or for fewer words.", code=Code.OVERLOADED
        ) from None
    finally:
        opened.set_progress_handler(None, 0)
