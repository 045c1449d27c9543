"""Seeded races of refresh families, on SQLite and on a PostgreSQL of the test's own, begun side by side."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.operations.postgres import postgres_url
from tests.waiting import PROGRAM_HANG_S

ROOT = Path(__file__).resolve().parents[2]
RACES = 12
CROWD = 50


def races(url: str, seed: int) -> str:
    """Run them in a process of their own and return what it printed."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    environment |= {
        "DJANGO_SETTINGS_MODULE": "promptcraft.settings",
        "DATABASE_URL": url,
        "SECRET_KEY": "for-races-only-" + "r4Ce" * 16,
        "DEBUG": "0",
        "LOG_LEVEL": "ERROR",
    }
    command = [sys.executable, "-m", "tests.accounts.races", "--count", str(RACES), "--seed", str(seed)]
    command += ["--crowd", str(CROWD)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PROGRAM_HANG_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def races_on_postgresql(seed: int) -> str:
    with postgres_url() as url:
        return races(url, seed)


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[str]]]:
    seed = int.from_bytes(os.urandom(4))
    file = tmp_path_factory.mktemp("races") / "db.sqlite3"
    with ThreadPoolExecutor(2) as pool:
        yield {
            "postgresql": pool.submit(races_on_postgresql, seed),
            "sqlite": pool.submit(races, f"sqlite:///{file}", seed),
        }


@pytest.mark.parametrize("vendor", ["sqlite", "postgresql"])
def test_no_race_ends_in_a_spurious_log_out(printed: dict[str, Future[str]], vendor: str):
    """A failure names its seed; `python -m tests.accounts.races --seed N` tries it again."""
    assert f"{RACES} races on {vendor}: no spurious log-out" in printed[vendor].result(120)
