"""Servers with the legacy WebSockets on: behind models, behind rules alone, with narrow limits, and under daphne."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.limit_fixtures import started
from tests.server import ServerProcess
from tests.templates.workbench import PATIENT, Workbench
from tests.upstream import UpstreamServer

ORIGIN = "https://app.example.org"
ON = PATIENT | {
    "LEGACY_WEBSOCKETS": "1",
    "CORS_ALLOWED_ORIGINS": ORIGIN,
    "HEADER_HOLD": "20",
    "DISCONNECT_GRACE": "0.4",
}
APPLICATION = "tests.templates.sockets.application:application"


@pytest.fixture(scope="package")
def servers(simulator: UpstreamServer) -> Iterator[dict[str, ServerProcess]]:
    """All of them, by their names."""
    made = {
        "uvicorn": ServerProcess(ON, upstream=simulator, application=APPLICATION, library=True),
        "daphne": ServerProcess(ON, "daphne", upstream=simulator, application=APPLICATION, library=True),
        "strict": ServerProcess(
            ON | {"CHAT_RATE_LIMIT": "3/m", "MAX_STREAMS_PER_USER": "2"}, upstream=simulator, application=APPLICATION
        ),
        "rules": ServerProcess(ON | {"PROVIDER_CHAIN": "mock"}, application=APPLICATION),
    }
    with started(*made.values()):
        yield made


@pytest.fixture
def workbench(servers: dict[str, ServerProcess], upstream: UpstreamServer) -> Workbench:
    """One with a model, under uvicorn."""
    return Workbench(servers["uvicorn"], upstream)


@pytest.fixture(params=["uvicorn", "daphne"])
def either(request: pytest.FixtureRequest, servers: dict[str, ServerProcess], upstream: UpstreamServer) -> Workbench:
    """One with a model, under each server in turn."""
    return Workbench(servers[request.param], upstream)
