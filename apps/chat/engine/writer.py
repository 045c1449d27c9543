"""The one writer of completion rows: a thread that commits whatever has gathered as one group."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any

from django.db import DatabaseError, connections

__all__ = ["CompletionWriter"]

logger = logging.getLogger("promptcraft.writer")

_TRIES = 3
_GROUP = 200
"""Rows of one commit at the most; the rest follow in the next."""

Item = tuple[Any, "asyncio.Future[bool]"]


class CompletionWriter:
    """Writes records in groups, off the loop: all that were submitted in one turn, or while the last group was written.

    `write` commits all records of a group or none. What waits is bounded by the stream slots: a completion gives its
    slot back after its record is written. `close` writes what waits and ends the thread.
    """

    def __init__(self, write: Callable[[Sequence[Any]], None]) -> None:
        self._write = write
        self._loop = asyncio.get_running_loop()
        self._waiting: list[Item] = []
        self._busy = self._closing = False
        self._groups: queue.SimpleQueue[list[Item]] = queue.SimpleQueue()
        """At most one; an empty one is the end."""
        self._thread = threading.Thread(target=self._run, name="completion-writer", daemon=True)
        self._thread.start()

    def submit(self, record: Any) -> asyncio.Future[bool]:
        """Queue a record; the future says whether it was committed."""
        future: asyncio.Future[bool] = self._loop.create_future()
        self._waiting.append((record, future))
        if not self._busy:
            self._busy = True
            # Not at once: what else ends in this turn of the loop is of the same group, and the thread is woken once.
            self._loop.call_soon(self._hand_over)
        return future

    async def close(self) -> None:
        """Write what is queued, end the thread and close its connection."""
        self._closing = True
        if not self._busy:
            self._groups.put([])
        await asyncio.to_thread(self._thread.join, 10)

    def _hand_over(self) -> None:
        group, self._waiting = self._waiting[:_GROUP], self._waiting[_GROUP:]
        self._busy = bool(group)
        if group or self._closing:
            self._groups.put(group)

    def _written(self, group: list[Item], committed: list[bool]) -> None:
        self._hand_over()
        for (_, future), told in zip(group, committed, strict=True):
            if not future.done():
                future.set_result(told)

    # --- in the thread

    def _run(self) -> None:
        while group := self._groups.get():
            committed = self._commit([record for record, _ in group])
            try:
                self._loop.call_soon_threadsafe(self._written, group, committed)
            except RuntimeError:
                # The loop is gone; so is whoever waited.
                break
            # Not kept until the next one.
            del group, committed
        connections.close_all()

    def _commit(self, records: list[Any]) -> list[bool]:
        """Return which of the records are in the database now."""
        if self._try(records):
            return [True] * len(records)
        if len(records) > 1:
            # One bad row must not take the others with it.
            return [self._commit([record])[0] for record in records]
        logger.error("a completion could not be written", extra={"fields": {"completion_id": records[0].id}})
        return [False]

    def _try(self, records: list[Any]) -> bool:
        for attempt in range(_TRIES):
            try:
                self._write(records)
            except DatabaseError as error:
                logger.warning("writing completions failed: %s", type(error).__name__)
                connections.close_all()
                if attempt + 1 < _TRIES:
                    threading.Event().wait(0.2 * (attempt + 1))
            except Exception:
                logger.exception("writing completions failed")
                return False
            else:
                return True
        return False
