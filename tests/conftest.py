"""What every test shares: a database in a file, so that threads see each other's rows."""

from __future__ import annotations

import gc
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import transaction
from django.db.models.signals import post_migrate
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from tests.canaries import taken
from tests.databases import connected, migrate_here, settings_of
from tests.forked import hash_quickly
from tests.operations.postgres import postgres_url
from tests.prepared import copy_database, tables
from tests.shared import begin_run
from tests.side_by_side import FilesOfPackages, import_tests, usable_cores
from tests.unit import hold_to_marks, mark_outside, running

# How long an example takes says how busy the machine is.
hypothesis_settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("unhurried")


def pytest_configure(config: pytest.Config) -> None:
    """Let servers be interrupted: a shell that runs the tests in the background makes them ignore SIGINT."""
    if not hasattr(config, "workerinput"):
        begin_run()
    # Until everything is imported: what is made then stays, and looking through it takes a fifth of that time.
    gc.disable()
    hold_to_marks()
    hash_quickly()
    # After each test with transactions of its own it would take the most time, and nothing of ours reads its rows.
    post_migrate.disconnect(dispatch_uid="django.contrib.auth.management.create_permissions")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionstart(session: pytest.Session) -> None:
    worker = getattr(session.config, "workerinput", None)
    if worker is not None:
        directories = [path for path in map(Path, session.config.args) if path.is_dir()]
        process = int(worker["workerid"].removeprefix("gw"))
        import_tests([path.resolve() for path in directories], process=process, of=worker["workercount"])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark_outside(items)


def pytest_collection_finish() -> None:
    """Spare the garbage collector what stays to the end: it would look at all of it again and again."""
    gc.enable()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    running[:] = [item]
    yield
    running.clear()


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Three for two cores, as many tests wait for another process; those that start none do not wait."""
    cores = usable_cores()
    return cores if config.option.markexpr == "not outside" else cores + (cores + 1) // 2


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FilesOfPackages:
    return FilesOfPackages(config, log)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_blocker, tmp_path_factory) -> None:
    file = _copied(django_db_blocker, tmp_path_factory)
    settings.DATABASES["default"].setdefault("TEST", {})["NAME"] = str(file)


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """It has its tables already."""
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Iterator[None]:
    """Fail the test, or the last one of a shared server, for what a server has let out."""
    yield
    found = taken()
    assert not found, "\n".join(found)


@pytest.fixture(scope="session")
def sqlite_settings(django_db_blocker, tmp_path_factory) -> dict[str, Any]:
    file = _copied(django_db_blocker, tmp_path_factory)
    return settings_of(f"sqlite:///{file}")


@pytest.fixture(scope="session")
def postgresql_settings() -> Iterator[dict[str, Any]]:
    with postgres_url() as url:
        yield settings_of(url)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.outside)])
def database(request, django_db_blocker) -> Iterator[str]:
    """Put a database of each vendor in the default one's place, in a transaction that is rolled back."""
    settings = request.getfixturevalue(f"{request.param}_settings")
    with django_db_blocker.unblock(), connected(settings), transaction.atomic():
        yield request.param
        transaction.set_rollback(True)


def _copied(django_db_blocker, tmp_path_factory) -> Path:
    """Return a migrated file of SQLite's."""
    file: Path = tmp_path_factory.mktemp("database") / "db.sqlite3"
    with django_db_blocker.unblock():
        copy_database(tables(migrate_here), file)
    return file
