"""What is made once in a test run, however many processes it has: the first that wants it makes it, the others wait."""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

__all__ = ["begin_run", "made_once"]

_VARIABLE = "PROMPTCRAFT_TEST_RUN"


def begin_run() -> None:
    """Make the directory of a run; this process removes it when it leaves, those that it starts find it."""
    directory = tempfile.mkdtemp(prefix="promptcraft-run-")
    os.environ[_VARIABLE] = directory
    atexit.register(shutil.rmtree, directory, ignore_errors=True)


@cache
def made_once(name: str, make: Callable[[Path], None]) -> Path:
    """Return a directory of the run that `make` has filled."""
    if _VARIABLE not in os.environ:
        begin_run()
    directory = Path(os.environ[_VARIABLE], name)
    with Path(f"{directory}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not directory.exists():
            making = Path(f"{directory}.{os.getpid()}")
            making.mkdir()
            make(making)
            making.rename(directory)
    return directory
