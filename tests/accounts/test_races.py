"""Refresh families under races: seeded ones over the services, and two worker processes on one database.

What takes time (a PostgreSQL of its own, the races, the seconds that a token is remembered) begins with the first test
and goes on beside the others.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from apps.accounts.families import REPLAY_WINDOW_S
from tests.contract.limit_fixtures import CALM, rows_of, started
from tests.operations.postgres import postgres_url
from tests.server import PASSWORD, USERNAME, ServerProcess

ROOT = Path(__file__).resolve().parents[2]
AUTH = "/api/v2/auth/"
OUT_WITHIN_S = 5.0
RACES = 20
CROWD = 50


@dataclass(frozen=True)
class Workers:
    """Two processes on one database."""

    one: ServerProcess
    other: ServerProcess

    @property
    def both(self) -> tuple[ServerProcess, ServerProcess]:
        return self.one, self.other

    def log_in(self, user: str) -> dict[str, str]:
        status, _, pair = call(self.one, "token/", {"username": user, "password": PASSWORD})
        assert status == 200
        return dict(pair)

    def change(self, statement: str, *values: object) -> None:
        """Change the database as another process would."""
        with closing(sqlite3.connect(self.one.database, timeout=5)) as database, database:
            database.execute(statement, values)


def call(server: ServerProcess, path: str, body: dict[str, str]) -> tuple[int, dict[str, str], Any]:
    return server.call(AUTH + path, user=None, json=body)


def refresh(server: ServerProcess, token: str) -> tuple[int, Any]:
    status, _, pair = call(server, "token/refresh/", {"refresh": token})
    return status, pair


def me(server: ServerProcess, access: str) -> int:
    return server.call(f"{AUTH}me/", user=None, headers={"Authorization": f"Bearer {access}"})[0]


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(CROWD) as pool:
        yield pool


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    environment = CALM | {"DJANGO_SETTINGS_MODULE": "tests.operations.hasty_settings"}
    one = ServerProcess(environment)
    other = ServerProcess(environment | {"DATABASE_URL": one.env["DATABASE_URL"]})
    with started(one, other):
        workers = Workers(one, other)
        for _ in USERS:
            pass
        yield workers
