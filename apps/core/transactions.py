"""Long work on the database in short transactions, between which other writers get their turn.

SQLite has one writer at a time, and a log-in or the end of a stream waits for it. PostgreSQL holds the locks of a
transaction's rows until its end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from django.db import IntegrityError, connection, transaction

__all__ = ["batches", "refers_to_nothing", "run_in_transactions"]

_FOREIGN_KEY = "23503"
"""PostgreSQL's code for it."""

_MOST_UNBROKEN_S = 0.01
"""How long one caller writes, in one turn or several, before it pauses."""
_MOST_PAUSE_S = 0.05
_never = threading.Event()

_T = TypeVar("_T")


def run_in_transactions(works: Iterable[Callable[[], object]]) -> None:
    """Run each work in a transaction of its own; what makes the next work runs outside of them.

    SQLite does not queue those who wait for its lock: they ask again every 1 to 100 ms. So after 10 ms of writing the
    lock is left alone for as long as it was held, at most 50 ms. Within a transaction of the caller's all of it is
    part of that one, and nothing waits.
    """
    written_s = 0.0
    for work in works:
        if written_s > _MOST_UNBROKEN_S:
            _never.wait(min(written_s, _MOST_PAUSE_S))
            written_s = 0.0
        with transaction.atomic():
            began_s = time.monotonic()
            work()
        if connection.vendor == "sqlite" and not connection.in_atomic_block:
            written_s += time.monotonic() - began_s


def batches(
    items: Iterable[_T], *, most: int, most_size: int, size_of: Callable[[_T], int] = lambda _: 0
) -> Iterator[list[_T]]:
    """Yield items in lists of at most `most`, whose sizes sum up to at most `most_size`; a larger one comes alone."""
    batch: list[_T] = []
    size = 0
    for item in items:
        item_size = size_of(item)
        if batch and (len(batch) >= most or size + item_size > most_size):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += item_size
    if batch:
        yield batch


def refers_to_nothing(error: BaseException) -> bool:
    """Tell whether a row could not be written because what it refers to, as its owner, was deleted meanwhile."""
    cause = error.__cause__
    return isinstance(error, IntegrityError) and (
        getattr(cause, "sqlstate", None) == _FOREIGN_KEY
        or getattr(cause, "sqlite_errorname", None) == "SQLITE_CONSTRAINT_FOREIGNKEY"
    )
