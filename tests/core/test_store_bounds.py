"""The bounds add up to less than 2 s, and the settings hold them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from django.db import connections

from apps.core import store_bounds
from apps.core.store_bounds import BRIEF_S, CALL_S, CONNECTION_S, LOCK_S, SILENCE_S, STATEMENT_S
from apps.core.work_queue import WAIT_S
from tests.waiting import PROGRAM_HANG_S

WITHIN_S = 2.0
_PRINT = """
import json
from promptcraft.settings import DATABASES
print(json.dumps(DATABASES["default"], default=lambda value: value.__name__))
"""


def database_of(url: str) -> Any:
    """Return the settings' database for a DATABASE_URL."""
    environment = {"PATH": os.environ["PATH"], "DEBUG": "0", "SECRET_KEY": "k7Qp2mZx" * 8, "DATABASE_URL": url}
    command = [sys.executable, "-c", _PRINT]
    return json.loads(
        subprocess.run(command, env=environment, capture_output=True, check=True, timeout=PROGRAM_HANG_S).stdout
    )


def test_no_way_through_the_bounds_takes_two_seconds():
    assert STATEMENT_S < SILENCE_S, "a server that is there gives up first, and keeps the connection"
    assert CONNECTION_S + SILENCE_S < WITHIN_S
    assert WAIT_S + BRIEF_S < WITHIN_S
    assert BRIEF_S < CONNECTION_S
    assert LOCK_S < CALL_S < WITHIN_S


def test_sqlite_waits_for_its_lock_so_long():
    assert database_of("sqlite:////tmp/absent.sqlite3")["OPTIONS"]["timeout"] == LOCK_S


@pytest.mark.parametrize(("query", "connect_timeout"), [("", 2), ("?connect_timeout=5", 5)])
def test_postgresql_is_bounded_and_the_operators_options_win(query: str, connect_timeout: int):
    database = database_of(f"postgres://user:word@127.0.0.1/name{query}")
    assert database["ENGINE"] == "apps.core.postgresql"
    options = database["OPTIONS"]
    assert int(options["connect_timeout"]) == connect_timeout
    assert options["tcp_user_timeout"] == 10_000
    assert options["pool"]["connection_class"] == "BoundedConnection"
    assert options["pool"]["reconnect_failed"] == "connect_again"


def test_a_management_command_is_not_bounded():
    # In a process of its own: another test may have served in this one.
    command = "from apps.core.store_bounds import waits_are_bounded; import django; django.setup()"
    command += "; print(waits_are_bounded())"
    done = subprocess.run(
        [sys.executable, "-c", command],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "promptcraft.settings"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"


async def test_a_program_that_imports_the_service_on_its_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models make a connection while they are imported. It was never opened, and could not be closed on a loop."""
    monkeypatch.setattr(store_bounds, "_bounded", False)
    assert connections["default"].connection is None
    store_bounds.bound_waits()
    assert store_bounds.waits_are_bounded()
