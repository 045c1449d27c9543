"""The one writer of completion rows: a thread that commits whatever has gathered as one group."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from django.db import connections

from apps.core.outage import database_is_away

__all__ = ["CompletionWriter"]

logger = logging.getLogger("promptcraft.writer")

_GROUP = 200
"""Rows of one commit at the most; the rest follow in the next."""
_RETAINED_S = 600.0
"""How long rows wait for a database that is away; then they are lost."""
_MOST_RETAINED = 10_000
"""Rows that wait; past it new ones are lost."""
_PAUSE_S = 0.25
"""Between two tries at a database that is away."""
_MOST_NAMED = 20
"""Completions that the line about lost ones names."""

Item = tuple[Any, "asyncio.Future[bool]"]


class CompletionWriter:
    """Writes records in groups, off the loop: all that were submitted in one turn, or while the last group was written.

    `write` commits all records of a group or none. While the database is away records wait for it, for 10 minutes and
    10,000 of them at the most; one log line names those that are lost. `close` tries once more and ends the thread.
    """

    def __init__(
        self, write: Callable[[Sequence[Any]], None], *, retained_s: float = _RETAINED_S, most: int = _MOST_RETAINED
    ) -> None:
        self._write = write
        self._retained_s = retained_s
        self._most = most
        self._loop = asyncio.get_running_loop()
        self._waiting: list[Item] = []
        self._busy = self._closing = False
        self._groups: queue.SimpleQueue[list[Item]] = queue.SimpleQueue()
        """At most one; an empty one is the end."""
        self._last_try = threading.Event()
        # The thread's own, but for `_lost`, to which both add.
        self._size = _GROUP
        self._away_since: float | None = None
        self._gave_up = False
        self._lost: list[Any] = []
        self._thread = threading.Thread(target=self._run, name="completion-writer", daemon=True)
        self._thread.start()

    def submit(self, record: Any) -> asyncio.Future[bool]:
        """Queue a record; the future says whether it was committed. Whoever waits no longer resolves it as false."""
        future: asyncio.Future[bool] = self._loop.create_future()
        if len(self._waiting) >= self._most:
            self._lost.append(record.id)
            future.set_result(False)
            return future
        self._waiting.append((record, future))
        if not self._busy:
            self._busy = True
            # Not at once: what else ends in this turn of the loop is of the same group, and the thread is woken once.
            self._loop.call_soon(self._hand_over)
        return future

    async def close(self) -> None:
        """Write what is queued, end the thread and close its connection."""
        self._closing = True
        self._last_try.set()
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
            if not self._last_try.is_set():
                self._tell_lost()
            try:
                self._loop.call_soon_threadsafe(self._written, group, committed)
            except RuntimeError:
                # The loop is gone; so is whoever waited.
                break
            # Not kept until the next one.
            del group, committed
        self._tell_lost()
        connections.close_all()

    def _commit(self, records: list[Any]) -> list[bool]:
        """Return which of the records are in the database now. Waits for one that is away.

        After a failure half as many are tried at once, so that one bad row does not take the others with it and a
        database that is slow gets less; after a commit twice as many.
        """
        committed: list[bool] = []
        while len(committed) < len(records) and not self._gave_up:
            part = records[len(committed) : len(committed) + self._size]
            try:
                self._write(part)
            except Exception as error:
                connections.close_all()
                self._size = max(1, len(part) // 2)
                if database_is_away(error):
                    self._wait_for_database(error)
                elif len(part) == 1:
                    logger.exception("a completion could not be written", extra=_named([part[0].id]))
                    committed.append(False)
            else:
                committed += [True] * len(part)
                self._size = min(_GROUP, 2 * self._size)
                self._away_since = None
        left = records[len(committed) :]
        self._lost += [record.id for record in left]
        # The next group is tried again, but for the last try.
        self._gave_up = self._gave_up and self._closing
        return committed + [False] * len(left)

    def _wait_for_database(self, error: Exception) -> None:
        """Wait a moment before the next try, or give up on the group."""
        now = time.monotonic()
        if self._away_since is None:
            self._away_since = now
            logger.warning("completions wait for the database: %s", type(error).__name__)
        self._gave_up = self._last_try.is_set() or now - self._away_since >= self._retained_s
        if not self._gave_up:
            self._last_try.wait(_PAUSE_S)

    def _tell_lost(self) -> None:
        count = len(self._lost)
        if count:
            logger.error("%d completions are not recorded: the database was away", count, extra=_named(self._lost))
            # The loop may have added to them meanwhile.
            del self._lost[:count]


def _named(ids: Sequence[Any]) -> dict[str, Any]:
    return {"fields": {"completion_ids": list(ids[:_MOST_NAMED])}}
