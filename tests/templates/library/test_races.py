"""Writers at once, on SQLite and on a PostgreSQL of the test's own."""

from __future__ import annotations

import os
from contextlib import nullcontext

import pytest

from tests import forked
from tests.operations.postgres import postgres_url
from tests.prepared import copy_database, migrate, tables
from tests.waiting import PROGRAM_HANG_S


@pytest.mark.parametrize("vendor", ["sqlite", "postgresql"])
def test_nothing_is_lost_and_nothing_twice(vendor, tmp_path):
    file = tmp_path / "db.sqlite3"
    copy_database(tables(migrate), file)
    with postgres_url() if vendor == "postgresql" else nullcontext(f"sqlite:///{file}") as url:
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        environment |= {
            "DJANGO_SETTINGS_MODULE": "promptcraft.settings",
            "DATABASE_URL": url,
            "SECRET_KEY": "for-races-only-" + "r4Ce" * 16,
            "DEBUG": "0",
            "LOG_LEVEL": "ERROR",
        }
        code, output, errors = forked.run(["-m", "tests.templates.library.races"], environment, within_s=PROGRAM_HANG_S)
    assert code == 0, output + errors
    assert output == f"races on {vendor}: nothing lost, nothing twice\n"
