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
    """Writes records in groups, off the loop; a lone record is committed at once.

    `write` commits all records of a group or none.
    The queue is bounded by the stream slots: a completion gives its slot back after its record is written.
    `close` writes what is queued and ends the thread.
    """

    def __init__(self, write: Callable[[Sequence[Any]], None]) -> None:
        self._write = write
        self._queue: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="completion-writer", daemon=True)
        self._thread.start()

    def submit(self, record: Any) -> asyncio.Future[bool]:
        """Queue a record; the future says whether it was committed."""
        future: asyncio.Future[bool] = self._loop.create_future()
        self._queue.put((record, future))
        return future

    async def close(self) -> None:
        """Write what is queued, end the thread and close its connection."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join, 10)

    def _run(self) -> None:
        over = False
        while not over:
            group: list[Item] = []
            item = self._queue.get()
            while True:
                if item is None:
                    over = True
                    break
                group.append(item)
                if len(group) == _GROUP:
                    break
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    break
            if group:
                self._commit(group)
        connections.close_all()

    def _commit(self, group: list[Item]) -> None:
        if self._try([record for record, _ in group]):
            self._settle(group, True)
        elif len(group) == 1:
            logger.error("a completion could not be written", extra={"fields": {"completion_id": group[0][0].id}})
            self._settle(group, False)
        else:
            # One bad row must not take the others with it.
            for item in group:
                self._commit([item])

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

    def _settle(self, group: list[Item], committed: bool) -> None:
        def tell() -> None:
            for _, future in group:
                if not future.done():
                    future.set_result(committed)

        try:
            self._loop.call_soon_threadsafe(tell)
        except RuntimeError:
            # The loop is gone; so is whoever waited.
            return
