"""Seeded races of refresh families, on SQLite and on a PostgreSQL of the test's own, begun side by side."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests import forked
from tests.operations.postgres import postgres_url
from tests.prepared import copy_database, migrate, tables
from tests.waiting import PROGRAM_HANG_S

RACES = 6
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
    command = ["-m", "tests.accounts.races", "--count", str(RACES), "--seed", str(seed), "--crowd", str(CROWD)]
    code, output, errors = forked.run(command, environment, within_s=PROGRAM_HANG_S)
    assert code == 0, output + errors
    return output


def races_on_postgresql(seed: int) -> str:
    with postgres_url() as url:
        return races(url, seed)


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[str]]]:
    seed = int.from_bytes(os.urandom(4))
    file = tmp_path_factory.mktemp("races") / "db.sqlite3"
    copy_database(tables(migrate), file)
    with ThreadPoolExecutor(2) as pool:
        yield {
            "postgresql": pool.submit(races_on_postgresql, seed),
            "sqlite": pool.submit(races, f"sqlite:///{file}", seed),
        }


@pytest.mark.parametrize("vendor", ["sqlite", "postgresql"])
def test_no_race_ends_in_a_spurious_log_out(printed: dict[str, Future[str]], vendor: str):
    """A failure names its seed; `python -m tests.accounts.races --seed N` tries it again."""
    assert f"{RACES} races on {vendor}: no spurious log-out" in printed[vendor].result(120)
