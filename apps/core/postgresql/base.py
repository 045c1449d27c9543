"""The backend: connections are pooled and bounded in a process that serves, plain in a management command."""

from __future__ import annotations

from typing import Any

import psycopg
import psycopg_pool
from django.db.backends.postgresql import base

from apps.core.postgresql.connection import BoundedConnection
from apps.core.store_bounds import BRIEF_S, CONNECTION_S, STATEMENT_S, waits_are_bounded

__all__ = ["DatabaseWrapper"]


class DatabaseWrapper(base.DatabaseWrapper):
    """Waits for a connection no longer than `CONNECTION_S`, and for a statement no longer than `SILENCE_S`.

    While the server is known not to answer, `BRIEF_S` for either: whoever waits in line is to have an answer, too. The
    first connection that is made, or answers, ends that.
    """

    @property
    def pool(self) -> Any:
        """The pool of a process that serves, None in any other."""
        return super().pool if waits_are_bounded() else None

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Return a connection; those of the pool that its server has closed since, as by a restart, are replaced."""
        pool = self.pool
        if pool is None:
            return super().get_new_connection(conn_params)
        for _ in range(pool.max_size):
            pool.timeout = BRIEF_S if BoundedConnection.server_is_silent else CONNECTION_S
            try:
                connection = super().get_new_connection(conn_params)
            except psycopg_pool.PoolTimeout:
                BoundedConnection.server_is_silent = True
                raise
            if connection.is_usable():
                return connection
            connection.close()
            pool.putconn(connection)
            if BoundedConnection.server_is_silent:
                # The others would be silent one after the other.
                pool.drain()
        raise psycopg.OperationalError("no connection of the pool is good")

    def _configure_connection(self, connection: Any) -> bool:
        changed: bool = super()._configure_connection(connection)  # type: ignore[misc]
        if waits_are_bounded():
            with connection.cursor() as cursor:
                cursor.execute(f"SET statement_timeout = {round(STATEMENT_S * 1000)}")
        return changed
