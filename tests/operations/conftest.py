"""A server started as the document starts it, and each proxy in front of it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping

import pytest

from tests.contract.limit_fixtures import CALM, Door, started
from tests.operations.proxies import HAProxy, Nginx, Proxy, block
from tests.server import ServerProcess
from tests.upstream import UpstreamServer

KEEPALIVE_S = 0.2
_ENVIRONMENT = CALM | {
    "DJANGO_SETTINGS_MODULE": "tests.operations.hasty_settings",
    "KEEPALIVE_INTERVAL": str(KEEPALIVE_S),
    "TRUSTED_PROXIES": "127.0.0.1,10.0.0.0/8",
    "DRAIN_TIMEOUT": "8",
}


def documented_flags() -> list[str]:
    """Return the options that the document's unit starts uvicorn with, but for the address."""
    (line,) = (line for line in block("systemd").split("\n") if line.startswith("ExecStart="))
    words = shlex.split(line.partition("=")[2])
    del words[words.index("--host") : words.index("--host") + 2]
    del words[words.index("--port") : words.index("--port") + 2]
    return words[2:]


@pytest.fixture(scope="package")
def simulator() -> Iterator[UpstreamServer]:
    """The providers."""
    with UpstreamServer() as upstream:
        yield upstream


@pytest.fixture(scope="package")
def servers(simulator: UpstreamServer) -> Iterator[tuple[ServerProcess, ServerProcess]]:
    """Two servers on one database; most tests take the first."""
    first = ServerProcess(_ENVIRONMENT, upstream=simulator, arguments=documented_flags())
    second = beside(first, simulator)
    with started(first, second):
        yield first, second


def beside(server: ServerProcess, simulator: UpstreamServer, more: Mapping[str, str] | None = None) -> ServerProcess:
    """Return another server on the database of one, not started yet."""
    environment = _ENVIRONMENT | {"DATABASE_URL": server.env["DATABASE_URL"]} | dict(more or {})
    return ServerProcess(environment, upstream=simulator, arguments=documented_flags())


@pytest.fixture
def door(simulator: UpstreamServer, servers: tuple[ServerProcess, ...]) -> Door:
    """The server that lasts, its providers without scripts."""
    simulator.reset()
    return Door(servers[0], simulator)


@pytest.fixture(scope="package")
def proxies(servers: tuple[ServerProcess, ...]) -> Iterator[dict[str, Proxy]]:
    """Proxies in front of the server that lasts, started when they are first asked for."""
    made: dict[str, Proxy] = {}
    yield made
    for proxy in made.values():
        proxy.close()


@pytest.fixture(params=[Nginx, HAProxy], ids=["nginx", "haproxy"])
def kind(request: pytest.FixtureRequest) -> type[Proxy]:
    """Each proxy in turn."""
    kind: type[Proxy] = request.param
    return kind


@pytest.fixture
def proxy(kind: type[Proxy], proxies: dict[str, Proxy], servers: tuple[ServerProcess, ...]) -> Proxy:
    """A proxy in front of the server that lasts."""
    if kind.name not in proxies:
        proxies[kind.name] = kind(servers[0].port).__enter__()
    return proxies[kind.name]
