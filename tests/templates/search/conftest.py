"""Each test of the suite runs on SQLite and on PostgreSQL, in a transaction that is rolled back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction

from tests.operations.postgres import postgres_url
from tests.templates.search.databases import connected, migrated


@pytest.fixture(scope="session")
def sqlite_settings(django_db_blocker, tmp_path_factory) -> dict[str, Any]:
    with django_db_blocker.unblock():
        return migrated(f"sqlite:///{tmp_path_factory.mktemp('search')}/search.sqlite3")


@pytest.fixture(scope="session")
def postgresql_settings(django_db_blocker) -> Iterator[dict[str, Any]]:
    with postgres_url() as url:
        with django_db_blocker.unblock():
            settings = migrated(url)
        yield settings


@pytest.fixture(params=["sqlite", "postgresql"])
def vendor(request) -> str:
    return str(request.param)


@pytest.fixture
def database(vendor: str, request, django_db_blocker) -> Iterator[str]:
    """Put the vendor's database in the default one's place; yield the vendor's name."""
    settings = request.getfixturevalue(f"{vendor}_settings")
    with django_db_blocker.unblock(), connected(settings), transaction.atomic():
        yield vendor
        transaction.set_rollback(True)
