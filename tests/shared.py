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
_MEMORY = Path("/dev/shm")
_MOST_BYTES = 8 << 30
"""Several times what a run has been seen to need."""


def begin_run() -> None:
    """Make the directory of a run; this process removes it when it leaves, those that it starts find it.

    It is in memory where there is enough of it, and all temporary files of the run are made in it: a disk costs the
    tests a twentieth of their time. Where `TMPDIR` is set, they are made there.
    """
    in_memory = "TMPDIR" not in os.environ and _has_room(_MEMORY)
    directory = tempfile.mkdtemp(prefix="pc-run-", dir=_MEMORY if in_memory else None)
    if in_memory:
        # A server of a database may run as somebody else.
        os.chmod(directory, 0o711)
        os.environ["TMPDIR"] = tempfile.tempdir = directory
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


def _has_room(place: Path) -> bool:
    """Tell whether files that may be programs can be put there, as many as a run makes."""
    try:
        found = os.statvfs(place)
        memory = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    except OSError:
        return False
    free_bytes = min(found.f_bavail * found.f_frsize, int(memory["MemAvailable"].split()[0]) * 1024)
    return free_bytes > _MOST_BYTES and not found.f_flag & os.ST_NOEXEC and os.access(place, os.W_OK | os.X_OK)
