"""Files that hold secrets or what users wrote: readable by their owner alone, whatever the umask of the process."""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
import threading
from typing import Any

__all__ = ["PrivateConnection", "keep_private"]

logger = logging.getLogger("promptcraft.files")

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_MODE = 0o600
# SQLite makes them with the mode of the database; those that are there already may have another.
_BESIDE = ("", "-wal", "-shm", "-journal")
# Files of Windows have no such modes: who may read one follows from its directory.
_HAS_MODES = os.name == "posix"
_making = threading.Lock()


class PrivateConnection(sqlite3.Connection):
    """A connection to a SQLite database whose files have the mode 600; one that is wider is narrowed at the opening.

    A database in memory, and one that a URI names, are as SQLite makes them.
    """

    def __init__(self, database: Any, *args: Any, **kwargs: Any) -> None:
        path = os.fspath(database)
        if not (path == ":memory:" or path.startswith("file:")):
            _keep_database_private(path)
        super().__init__(database, *args, **kwargs)


def keep_private(path: str | os.PathLike[str]) -> None:
    """Take every right to a file from all but its owner; nothing if there is no such file.

    Where that is another user's file it stays as it is, and a warning says so.
    """
    try:
        if not _HAS_MODES or not os.stat(path).st_mode & _OTHERS:
            return
        os.chmod(path, _MODE)
    except FileNotFoundError:
        pass
    except OSError:
        logger.warning("Others may read %s, and this process may not change that: it belongs to another user.", path)


def _keep_database_private(path: str) -> None:
    # One at a time: to close a file gives up the locks that SQLite has on it in another thread of this process.
    with _making:
        try:
            if not os.stat(path).st_mode & _OTHERS:
                return
        except OSError:
            _make(path)
            return
    for ending in _BESIDE:
        keep_private(f"{path}{ending}")


def _make(path: str) -> None:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _MODE))
    except OSError:
        # Another process has just made it, or it cannot be made, which SQLite tells better.
        pass
