"""Connections of a process that serves: bounded, and replaced when their server has ended them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import OperationalError

from apps.core import store_bounds
from apps.core.postgresql import base, connection
from apps.core.postgresql.base import DatabaseWrapper
from apps.core.postgresql.connection import BoundedConnection

pytestmark = pytest.mark.usefixtures("unblocked")

AMPLE_S = 20.0
TERMINATE = "SELECT pg_terminate_backend(%s, 20000)"
"""And wait for its end."""


class Serving:
    """Connections of one process to one database, through one pool."""

    def __init__(self, settings: dict[str, Any], pool: dict[str, Any]) -> None:
        options = {**settings["OPTIONS"], "pool": {"connection_class": BoundedConnection, "min_size": 1, **pool}}
        self._settings = {**settings, "CONN_HEALTH_CHECKS": False, "OPTIONS": options}
        self.opened: list[DatabaseWrapper] = []

    def open(self) -> DatabaseWrapper:
        """Return another connection, made when it is first used."""
        self.opened.append(DatabaseWrapper(self._settings, alias="serving"))
        return self.opened[-1]

    def close(self) -> None:
        for one in self.opened:
            one.close()
        self.open().close_pool()


def asked(wrapper: DatabaseWrapper, statement: str, *values: Any) -> Any:
    with wrapper.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchone()[0]


@pytest.fixture
def unblocked(django_db_blocker) -> Iterator[None]:
    """Let connections be made: to a cluster of the tests' own, past Django's."""
    with django_db_blocker.unblock():
        yield


@pytest.fixture
def serving(unblocked: None, postgresql_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    monkeypatch.setattr(store_bounds, "_bounded", True)
    monkeypatch.setattr(BoundedConnection, "server_is_silent", False)
    # The bounds that a test is not about are out of its way.
    monkeypatch.setattr(BoundedConnection, "_patience_s", AMPLE_S)
    for module, name in ((base, "CONNECTION_S"), (base, "BRIEF_S"), (connection, "BRIEF_S"), (connection, "SILENCE_S")):
        monkeypatch.setattr(module, name, AMPLE_S)
    made = Serving(
        postgresql_settings, {"max_size": 4, "reconnect_timeout": 0.2, "reconnect_failed": connection.connect_again}
    )
    yield made
    made.close()


def test_a_statement_is_given_up_by_the_server_and_its_connection_stays(serving: Serving):
    wrapper = serving.open()
    pid = asked(wrapper, "SELECT pg_backend_pid()")
    assert asked(wrapper, "SHOW statement_timeout") == "1s"
    asked(wrapper, "SELECT set_config('statement_timeout', '50', false)")
    with pytest.raises(OperationalError) as raised:
        asked(wrapper, "SELECT pg_sleep(60)")
    assert isinstance(raised.value.__cause__, psycopg.errors.QueryCanceled)
    assert asked(wrapper, "SELECT pg_backend_pid()") == pid
    assert not BoundedConnection.server_is_silent


def test_a_server_that_says_nothing_is_waited_for_so_long_and_its_connection_is_closed(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
):
    wrapper = serving.open()
    pid = asked(wrapper, "SELECT pg_backend_pid()")
    asked(wrapper, "SELECT set_config('statement_timeout', '0', false)")
    monkeypatch.setattr(BoundedConnection, "_patience_s", 0.2)
    with pytest.raises(OperationalError):
        asked(wrapper, "SELECT pg_sleep(60)")
    assert wrapper.connection.closed
    assert BoundedConnection.server_is_silent
    monkeypatch.setattr(BoundedConnection, "_patience_s", AMPLE_S)
    wrapper.close()
    # The next one is tried, and answers.
    other = serving.open()
    assert asked(other, "SELECT pg_backend_pid()") != pid
    assert not BoundedConnection.server_is_silent


def test_connections_that_their_server_ended_while_they_were_idle_are_given_to_nobody(serving: Serving):
    wrappers = [serving.open() for _ in range(3)]
    pids = [asked(wrapper, "SELECT pg_backend_pid()") for wrapper in wrappers]
    assert len(set(pids)) == 3
    killer = serving.open()
    asked(killer, "SELECT set_config('statement_timeout', '0', false)")
    for wrapper in wrappers:
        wrapper.close()
    for pid in pids:
        assert asked(killer, TERMINATE, pid)
    assert asked(serving.open(), "SELECT pg_backend_pid()") not in pids


def test_a_pool_that_has_no_connection_is_waited_for_so_long_and_then_briefly(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
):
    for _ in range(4):
        asked(serving.open(), "SELECT 1")
    monkeypatch.setattr(base, "CONNECTION_S", 0.05)
    monkeypatch.setattr(base, "BRIEF_S", 0.01)
    with pytest.raises(OperationalError, match=r"0\.05"):
        serving.open().ensure_connection()
    assert BoundedConnection.server_is_silent
    with pytest.raises(OperationalError, match=r"0\.01"):
        serving.open().ensure_connection()
    serving.opened[0].close()
    monkeypatch.setattr(base, "BRIEF_S", AMPLE_S)
    assert asked(serving.open(), "SELECT 1") == 1
    assert not BoundedConnection.server_is_silent


def test_a_connection_that_cannot_be_made_is_said_in_the_log(
    serving: Serving, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("apps.core.outage._said_at", float("-inf"))
    with pytest.raises(psycopg.OperationalError):
        BoundedConnection.connect("host=127.0.0.1 port=1 connect_timeout=2")
    (record,) = (record for record in caplog.records if record.name == "promptcraft.database")
    assert "port 1" in record.getMessage()
    assert BoundedConnection.server_is_silent


def test_outside_of_a_server_connections_are_plain_and_unbounded(
    postgresql_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(store_bounds, "_bounded", False)
    wrapper = Serving(postgresql_settings, {}).open()
    try:
        assert wrapper.pool is None
        assert asked(wrapper, "SHOW statement_timeout") == "0"
        assert not isinstance(wrapper.connection, BoundedConnection)
    finally:
        wrapper.close()
