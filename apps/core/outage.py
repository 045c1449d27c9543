"""What it looks like when the database is away, and the line that the log says of it."""

from __future__ import annotations

import logging
import threading
import time

from django.db import InterfaceError, OperationalError

__all__ = ["database_is_away", "log_outage"]

logger = logging.getLogger("promptcraft.database")

_SAID_EVERY_S = 10.0
_READ_ONLY = "25006"
"""PostgreSQL's code for a write to a standby: what was the primary no longer is."""
_MOST_CHARACTERS = 200

_lock = threading.Lock()
_said_at = float("-inf")


def database_is_away(error: BaseException) -> bool:
    """Tell whether an error of Django's is none of the caller's or of ours: another try may succeed.

    Unreachable, silent, restarting, full, locked by others, read-only. SQLite says the same of a table that is absent,
    as all are when its file is.
    """
    return isinstance(error, OperationalError | InterfaceError) or (
        getattr(error.__cause__, "sqlstate", None) == _READ_ONLY
    )


def log_outage(error: BaseException) -> None:
    """Log the first line of what a database or its driver says, at most once in 10 s. Safe to call from any thread.

    With its traceback if it is SQLite's general error, which a fault of ours could be too.
    """
    global _said_at
    now = time.monotonic()
    with _lock:
        if now - _said_at < _SAID_EVERY_S:
            return
        _said_at = now
    said = str(error).strip().partition("\n")[0][:_MOST_CHARACTERS]
    ours = getattr(error.__cause__, "sqlite_errorname", None) == "SQLITE_ERROR"
    logger.log(
        logging.ERROR if ours else logging.WARNING,
        "the database does not answer: %s: %s",
        type(error).__name__,
        said,
        exc_info=error if ours else None,
    )
