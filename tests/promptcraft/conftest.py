from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest

from tests.server import ServerProcess

_ENVIRONMENT = {"PROVIDER_CHAIN": "mock", "REGISTRATION_OPEN": "1", "ALLOWED_HOSTS": "127.0.0.1"}


@pytest.fixture(scope="session")
def servers() -> Iterator[Callable[[str], ServerProcess]]:
    """Give the server that runs with this DEBUG; each is started once."""
    running: dict[str, ServerProcess] = {}
    with ExitStack() as stack:

        def server_of(debug: str) -> ServerProcess:
            if debug not in running:
                running[debug] = stack.enter_context(ServerProcess(env={**_ENVIRONMENT, "DEBUG": debug}))
            return running[debug]

        yield server_of


@pytest.fixture(params=["0", "1"], ids=["debug off", "debug on"])
def server(request, servers):
    return servers(request.param)


@pytest.fixture
def production(servers):
    return servers("0")


@pytest.fixture(scope="session")
def clients() -> Iterator[Callable[..., httpx.Client]]:
    """Give a client of a server, a user's or a visitor's; each is made once: that takes longer than a request."""
    made: dict[tuple[str, bool], httpx.Client] = {}
    with ExitStack() as stack:

        def client_of(server: ServerProcess, *, signed_in: bool) -> httpx.Client:
            key = (server.url(), signed_in)
            if key not in made:
                headers = server.bearer() if signed_in else {}
                made[key] = stack.enter_context(
                    httpx.Client(base_url=server.url(), trust_env=False, verify=False, headers=headers)
                )
            return made[key]

        yield client_of


@pytest.fixture
def client(server, clients):
    """A visitor."""
    return clients(server, signed_in=False)


@pytest.fixture
def caller(server, clients):
    """A user with an access token."""
    return clients(server, signed_in=True)
