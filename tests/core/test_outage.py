"""What counts as a database that is away, and what the log says of it."""

from __future__ import annotations

import logging
import sqlite3

import psycopg
import pytest
from django.db import DataError, IntegrityError, InterfaceError, InternalError, OperationalError, ProgrammingError

from apps.core import outage
from apps.core.outage import database_is_away, log_outage
from tests.each import each


def caused_by(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


@each(
    "error",
    [
        OperationalError("database is locked"),
        OperationalError("no such table: auth_user"),
        InterfaceError("connection already closed"),
        caused_by(InternalError("a standby"), psycopg.errors.ReadOnlySqlTransaction("read-only")),
    ],
    ids=repr,
)
def test_a_database_that_may_come_back_is_away(error: Exception):
    assert database_is_away(error)


@each(
    "error",
    [
        IntegrityError("twice"),
        DataError("too long"),
        ProgrammingError("syntax"),
        caused_by(InternalError("a fault"), psycopg.errors.InFailedSqlTransaction("after an error")),
        ValueError("ours"),
    ],
    ids=repr,
)
def test_what_another_try_does_not_mend_is_not(error: Exception):
    assert not database_is_away(error)


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(outage, "_said_at", float("-inf"))


def test_an_outage_is_one_line_for_any_number_of_requests(quiet, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING, "promptcraft.database"):
        for _ in range(100):
            log_outage(OperationalError("refused\n\tIs the server running?"))
    (record,) = caplog.records
    assert record.getMessage() == "the database does not answer: OperationalError: refused"
    assert record.exc_info is None


def test_a_fault_that_could_be_ours_is_logged_with_its_traceback(quiet, caplog: pytest.LogCaptureFixture):
    with pytest.raises(sqlite3.OperationalError) as raised:
        sqlite3.connect(":memory:").execute("SELECT * FROM absent")
    with caplog.at_level(logging.WARNING, "promptcraft.database"):
        log_outage(caused_by(OperationalError(*raised.value.args), raised.value))
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
