"""A PostgreSQL server of a test's own: a temporary cluster, one socket in its directory, no port, no password."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.operations.programs import need_program

__all__ = ["postgres_url"]

_START_S = 15.0
# It must lose nothing to a crash of the machine: it is thrown away. What it locks and shows is the same without.
_HASTY = ("-F", "-c", "synchronous_commit=off", "-c", "full_page_writes=off", "-c", "max_connections=200")


@contextmanager
def postgres_url() -> Iterator[str]:
    """Run a fresh cluster and yield what DATABASE_URL is to be. Skips the test where PostgreSQL is not installed."""
    initdb, postgres = need_program("initdb", "postgresql"), need_program("postgres", "postgresql")
    directory = Path(tempfile.mkdtemp(prefix="pc-pg-"))
    account = _unprivileged(directory)
    data = str(directory / "data")
    try:
        subprocess.run(
            [initdb, "-D", data, "-U", "promptcraft", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"],
            check=True,
            capture_output=True,
            timeout=60,
            cwd=directory,
            **account,
        )
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen(
                [postgres, "-D", data, "-k", str(directory), "-h", "", *_HASTY],
                cwd=directory,
                stdout=log,
                stderr=subprocess.STDOUT,
                **account,
            )
        try:
            _wait_ready(process, directory)
            yield f"postgres://promptcraft@{quote(str(directory), safe='')}/postgres"
        finally:
            # Sessions are cut: nobody is to be waited for.
            process.terminate()
            try:
                process.wait(1)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _unprivileged(directory: Path) -> dict[str, Any]:
    """Return how to start a process as somebody who is not root, which PostgreSQL refuses to run as."""
    if os.geteuid() != 0:
        return {}
    somebody = pwd.getpwnam("nobody")
    os.chown(directory, somebody.pw_uid, somebody.pw_gid)
    return {"user": somebody.pw_uid, "group": somebody.pw_gid, "extra_groups": []}


def _wait_ready(process: subprocess.Popen[bytes], directory: Path) -> None:
    deadline_s = time.monotonic() + _START_S
    pause = threading.Event()
    while "ready to accept connections" not in (directory / "log").read_text(errors="replace"):
        if process.poll() is not None or time.monotonic() > deadline_s:
            raise AssertionError(f"no PostgreSQL:\n{(directory / 'log').read_text(errors='replace')[-2000:]}")
        pause.wait(0.02)
