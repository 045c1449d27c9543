"""What the rooms of the workbench share: users in this process; a simulator and the ways to a room's servers."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from apps.accounts import identity
from apps.limits import opening
from apps.limits.process import ProcessWindows
from tests.server import ServerProcess
from tests.templates.api import Api, user_named
from tests.templates.workbench import Workbench
from tests.upstream import UpstreamServer


@pytest.fixture
def fresh_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """No counts and no tokens of another test."""
    monkeypatch.setattr(opening, "_windows", ProcessWindows(time.monotonic))
    identity._memory.clear()


@pytest.fixture
def ada(db):
    return Api(user_named("ada"))


@pytest.fixture
def bob(db):
    return Api(user_named("bob"))


@pytest.fixture
def boss(db):
    return Api(user_named("boss", is_staff=True))


@pytest.fixture(scope="package")
def simulator() -> Iterator[UpstreamServer]:
    with UpstreamServer() as server:
        yield server


@pytest.fixture
def upstream(simulator: UpstreamServer) -> UpstreamServer:
    """The simulator, its scripts and its journal empty."""
    simulator.reset()
    return simulator


@pytest.fixture
def strict(servers: dict[str, ServerProcess], upstream: UpstreamServer) -> Workbench:
    """One with a model, and three completions a minute; of a socket's, two at once."""
    return Workbench(servers["strict"], upstream)


@pytest.fixture
def by_rules(servers: dict[str, ServerProcess], upstream: UpstreamServer) -> Workbench:
    """One without a model: the mock alone."""
    return Workbench(servers["rules"], upstream)
