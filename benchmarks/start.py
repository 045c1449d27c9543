"""How long the service takes to start, as `make run` starts it on a machine that has run it before."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.native import LoadFailed, Native
from benchmarks.processes import Process, free_port, wait_until
from benchmarks.rows import Figure, Outcome, Row
from benchmarks.server import Server, is_live, settings_of
from benchmarks.targets import StartedTarget

__all__ = ["start_row"]

_TIMES = 3
_IMPORT = "import time; began = time.perf_counter(); import promptcraft.asgi; print(time.perf_counter() - began)"


def start_row(directory: Path, cores: set[int]) -> Row:
    """Return the row; it measures servers only."""

    def measure(native: Native, target: StartedTarget) -> Outcome:
        if not isinstance(target, Server):
            return Outcome()
        # As in development: the key is empty, so that nothing but the mock can serve.
        development = settings_of(directory / "start.sqlite3") | {"DEBUG": "1", "DEEPSEEK_API_KEY": ""}
        environment = target.environment | development
        del environment["PROVIDER_CHAIN"]
        serve = [_serve_s(environment, target.root, directory, cores) for _ in range(1 + _TIMES)]
        imports = [_import_s(target.environment, target.root) for _ in range(1 + _TIMES)]
        figures: dict[str, float | None] = {
            "first_s": serve[0],
            "serve_s": statistics.median(serve[1:]),
            "import_s": statistics.median(imports[1:]),
        }
        return Outcome(figures=figures)

    return Row(
        name="start",
        group="start",
        measure=measure,
        figures=(
            Figure(key="serve_s", label="manage.py serve --prepare, second start: s to healthy", digits=2),
            Figure(key="import_s", label="import of promptcraft.asgi: s", digits=2),
        ),
        once=True,
        direct=False,
    )


def _serve_s(environment: Mapping[str, str], root: Path, directory: Path, cores: set[int]) -> float:
    port = free_port()
    began_s = time.monotonic()
    process = Process(
        [sys.executable, "manage.py", "serve", "--prepare", "--port", str(port)],
        cores=cores,
        environment=environment,
        directory=root,
        log=directory / "start.log",
    )
    try:
        if not wait_until(lambda: is_live(port), timeout_s=60, every_s=0.01):
            raise LoadFailed(f"manage.py serve is not live:\n{process.log_end()}")
        return time.monotonic() - began_s
    finally:
        process.stop()


def _import_s(environment: Mapping[str, str], root: Path) -> float:
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT], cwd=root, env=dict(environment), capture_output=True, text=True, check=True
    )
    return float(done.stdout)
