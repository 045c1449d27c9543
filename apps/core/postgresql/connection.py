"""A connection that waits no longer than `SILENCE_S` for its server to say something."""

from __future__ import annotations

import select
import threading
from typing import Any, ClassVar, Self

import psycopg
from psycopg_pool import ConnectionPool

from apps.core.outage import log_outage
from apps.core.store_bounds import BRIEF_S, SILENCE_S

__all__ = ["BoundedConnection", "connect_again"]

_BETWEEN_TRIES_S = 0.3


class BoundedConnection(psycopg.Connection[Any]):
    """Closes itself when a statement is not answered in time: a late answer would be taken for the next one's."""

    server_is_silent: ClassVar[bool] = False
    """Whether the last wait for the server was in vain. Of the process, which has one server."""
    _patience_s = SILENCE_S

    @classmethod
    def connect(cls, conninfo: str = "", **options: Any) -> Self:
        """Connect. The pool does it in threads of its own: what fails is seen in the log alone."""
        try:
            connection = super().connect(conninfo, **options)
        except psycopg.OperationalError as error:
            BoundedConnection.server_is_silent = True
            log_outage(error)
            raise
        BoundedConnection.server_is_silent = False
        return connection

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait as psycopg does, but for SILENCE_S where it would wait without end. Raises OperationalError past it."""
        try:
            return super().wait(gen, interval, self._patience_s if timeout is None else timeout)
        except psycopg.OperationalError as error:
            # No code: the server did not say it.
            if error.sqlstate is None and not self.closed:
                BoundedConnection.server_is_silent = True
                self.close()
            raise

    def is_usable(self) -> bool:
        """Tell whether an idle connection is good. Asks the server only while it is known not to answer."""
        poll = select.poll()
        poll.register(self.fileno(), select.POLLIN)
        if poll.poll(0):
            # Nobody asked, so it is a farewell, as of a restart.
            return False
        return not BoundedConnection.server_is_silent or self._answers()

    def _answers(self) -> bool:
        self._patience_s = BRIEF_S
        try:
            self.execute("")
        except psycopg.OperationalError:
            return False
        finally:
            self._patience_s = SILENCE_S
        BoundedConnection.server_is_silent = False
        return True


def connect_again(pool: ConnectionPool[Any]) -> None:
    """Have a pool that has given up on a connection try again soon, so that a server that is back is noticed.

    By itself a pool tries in pauses that grow to minutes, or not before somebody asks, who would wait for it.
    """
    timer = threading.Timer(_BETWEEN_TRIES_S, pool.check)
    timer.daemon = True
    timer.start()
