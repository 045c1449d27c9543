"""The growth of everything that a stranger, a user or a provider can send, as a table: `python -m tests.doors.growth`.

    python -m tests.doors.growth [--only WORDS] [--way lines|blocks]

For each door and each thing that can grow there: the work for three sizes, each twice the one before, and the factor by
which a doubling makes it grow, without what does not depend on the size. `counting.py` says what is counted; for blocks
it takes valgrind.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from tests.doors.growth.growing import Measured
from tests.prepared import copy_database, migrate, tables

__all__ = ["EXPRESSIONS", "LOG", "Way", "measure", "table"]

LOG = "valgrind.log"
EXPRESSIONS = "expressions"
"""Names of files in the directory that the measuring programs share."""

Way = Literal["lines", "blocks"]

_ROOT = Path(__file__).parents[3]
_ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "PROVIDER_CHAIN": "mock",
    "LOG_LEVEL": "CRITICAL",
    "LEGACY_WEBSOCKETS": "1",
    "REGISTRATION_OPEN": "1",
    "CHAT_RATE_LIMIT": "999999/s",
    "WORKBENCH_RATE_LIMIT": "999999/s",
    "MAX_STREAMS_PER_USER": "1000",
}
# No debugger comes, no code is written over, and blocks end at each jump: a quarter of the time.
_VALGRIND = ("valgrind", "-q", "--tool=none", "--vgdb=no", "--smc-check=none", "--vex-guest-chase=no")


def measure(way: Way, only: str = "", *, timeout_s: float | None = None) -> list[Measured]:
    """Return what was measured of the things in whose names the words are. Raises CalledProcessError."""
    program = [sys.executable, "-m", "tests.doors.growth.measure"]
    with tempfile.TemporaryDirectory() as directory:
        environment = {**os.environ, **_ENVIRONMENT, "DATABASE_URL": f"sqlite:///{directory}/growth.sqlite3"}
        if way == "lines":
            copy_database(tables(migrate), Path(directory, "growth.sqlite3"))
            under = []
        else:
            # Looking for them would take long under valgrind.
            found = _run([*program, "expressions", directory, ""], environment, timeout_s)
            Path(directory, EXPRESSIONS).write_text(found, encoding="utf-8")
            under = [*_VALGRIND, f"--log-file={Path(directory, LOG)}"]
        output = _run([*under, *program, way, directory, only], environment, timeout_s)
    return [Measured(**{**item, "steps": tuple(item["steps"])}) for item in map(json.loads, output.splitlines())]


def table(results: Sequence[Measured]) -> str:
    """Return a line for each, the fastest growth first."""
    lines = ["factor     size         work    for twice   for 4 times  door | thing"]
    for one in sorted(results, key=lambda result: -result.factor):
        lines.append("{:6.2f} {:8,} {:12,} {:12,} {:13,}  {}".format(one.factor, one.size, *one.steps, one.name))
    return "\n".join(lines)


def _run(command: Sequence[str], environment: dict[str, str], timeout_s: float | None) -> str:
    return subprocess.run(
        command, cwd=_ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True, timeout=timeout_s
    ).stdout


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="WORDS")
    parser.add_argument("--way", choices=get_args(Way))
    chosen = parser.parse_args()
    for one_way in [chosen.way] if chosen.way else get_args(Way):
        print(f"{one_way}\n{table(measure(one_way, chosen.only))}\n")
