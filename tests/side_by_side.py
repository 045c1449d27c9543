"""Tests in several processes at once: a file's tests stay together, and a process goes on in the package it is in.

Servers are shared by the tests of a file or of a package. So each process starts those of few packages, and ends them
once.

Every process imports all tests. Where none was compiled yet, each begins with other files than the others, and takes
what these have compiled.
"""

from __future__ import annotations

import importlib
import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

__all__ = ["LONGEST", "FilesOfPackages", "import_tests", "usable_cores"]

_ROOT = Path(__file__).resolve().parent.parent

LONGEST = ("tests/doors/test_growth_of_readers.py", "tests/doors/test_growth.py", "tests/benchmarks/test_bench.py")
"""Files that take minutes. Begun late, they would be waited for when all the others are done."""


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def import_tests(directories: Sequence[Path], *, process: int, of: int) -> None:
    """Import the tests in directories, as one of several processes; `process` counts from 0.

    What cannot be imported is left to the collection, which says why.
    """
    files = sorted(file for directory in directories for file in directory.rglob("test_*.py"))
    first = len(files) * process // of
    for file in (*files[first:], *files[:first]):
        with suppress(Exception):
            importlib.import_module(".".join(file.relative_to(_ROOT).with_suffix("").parts))


class FilesOfPackages(LoadScopeScheduling):  # type: ignore[misc]  # published without types
    """Gives a process the longest files first, then those of its package, then those of the package with most left."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.partition("::")[0]

    def _assign_work_unit(self, node: WorkerController) -> None:
        longest = next((scope for scope in LONGEST if scope in self.workqueue), None)
        self.workqueue.move_to_end(longest or self._next_scope(node), last=False)
        super()._assign_work_unit(node)

    def _next_scope(self, node: WorkerController) -> str:
        waiting = Counter(_package(scope) for scope in self.workqueue)
        package = self._package_of(node)
        if not waiting[package]:
            others = Counter(map(self._package_of, self.nodes))
            package = max(waiting, key=lambda one: waiting[one] / (1 + others[one]))
        scopes: list[str] = [scope for scope in self.workqueue if _package(scope) == package]
        return scopes[0]

    def _package_of(self, node: WorkerController) -> str:
        """Return the package that a process is in, "" before its first file."""
        return _package(next(reversed(self.assigned_work[node]), ""))


def _package(scope: str) -> str:
    return scope.rpartition("/")[0]
