from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.limits.redis_server import RedisServer
from tests.limits.stores import Clock, Store

_user_ids = itertools.count(1)


@pytest.fixture(scope="session")
def lasting_redis() -> Iterator[RedisServer]:
    """A Redis that no test stops."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A Redis of the test's own."""
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session", params=["process", pytest.param("redis", marks=pytest.mark.outside)])
def store(request: pytest.FixtureRequest) -> Store:
    """Each place for the books in turn."""
    if request.param == "process":
        return Store(None)
    server: RedisServer = request.getfixturevalue("lasting_redis")
    return Store(server.url)


@pytest.fixture(scope="session")
def users() -> Iterator[int]:
    """Users who have asked for nothing yet: take them with `next`."""
    return _user_ids


@pytest.fixture
def clock() -> Clock:
    """A clock to turn."""
    return Clock()
