"""What the tests of the doors share: one server in front of the simulator, one runtime in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from apps.chat.runtime import stop_runtime
from tests.contract.limit_fixtures import CALM, Door, started
from tests.doors.in_process import quick_mock, running
from tests.doors.trap import Trap
from tests.server import ServerProcess
from tests.upstream import UpstreamServer

ORIGIN = "https://app.example.org"


@pytest.fixture(scope="package")
def trap() -> Iterator[Trap]:
    """Where every proxy variable of the shared server's environment leads."""
    with Trap() as listening:
        yield listening


@pytest.fixture(scope="package")
def shared_door(trap: Trap) -> Iterator[Door]:
    with UpstreamServer() as upstream:
        proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), trap.url)
        proxies |= {name.lower(): url for name, url in proxies.items()}
        environment = (
            CALM
            | proxies
            | {
                "CORS_ALLOWED_ORIGINS": f"{ORIGIN}, http://localhost:5173",
                "REGISTRATION_OPEN": "1",
                "LOG_LEVEL": "DEBUG",
            }
        )
        server = ServerProcess(environment, upstream=upstream)
        with started(server):
            yield Door(server, upstream)


@pytest.fixture
def door(shared_door: Door) -> Iterator[Door]:
    """A server that is the process that it was, and has logged no error, when the test is over."""
    shared_door.upstream.reset()
    pid = shared_door.server.pid
    yield shared_door
    assert shared_door.server.pid == pid
    assert "Traceback" not in shared_door.server.output()
    assert '"level": "ERROR"' not in shared_door.server.output()


@pytest.fixture(scope="session")
def application_imported() -> None:
    """Its import closes connections, which an event loop does not let it do."""
    import promptcraft.asgi  # noqa: F401


@pytest.fixture
async def runtime(application_imported: None, transactional_db: None, settings: object) -> AsyncIterator[None]:
    """The application's runtime in this process, with the mock alone and limits out of the way."""
    settings.CHAT_RATE_LIMIT = "999999/s"  # type: ignore[attr-defined]
    settings.MAX_STREAMS_PER_USER = 1000  # type: ignore[attr-defined]
    settings.WORKBENCH_RATE_LIMIT = "999999/s"  # type: ignore[attr-defined]
    with running(quick_mock()):
        try:
            yield
        finally:
            await stop_runtime()
