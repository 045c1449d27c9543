"""Writers at once, on SQLite and on a PostgreSQL of the test's own."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.operations.postgres import postgres_url
from tests.waiting import PROGRAM_HANG_S

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("vendor", ["sqlite", "postgresql"])
def test_nothing_is_lost_and_nothing_twice(vendor, tmp_path):
    database = postgres_url() if vendor == "postgresql" else nullcontext(f"sqlite:///{tmp_path / 'db.sqlite3'}")
    with database as url:
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        environment |= {
            "DJANGO_SETTINGS_MODULE": "promptcraft.settings",
            "DATABASE_URL": url,
            "SECRET_KEY": "for-races-only-" + "r4Ce" * 16,
            "DEBUG": "0",
            "LOG_LEVEL": "ERROR",
        }
        command = [sys.executable, "-m", "tests.templates.library.races"]
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PROGRAM_HANG_S, check=False
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == f"races on {vendor}: nothing lost, nothing twice\n"
