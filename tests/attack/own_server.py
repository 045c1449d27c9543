"""A server of our own to attack: with a provider simulator, users, a log and a database that can be looked at."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from tests.attack.target import Account, Target
from tests.forked import HASHES_AS_USUAL
from tests.server import ServerName, ServerProcess
from tests.upstream import UpstreamServer

__all__ = ["OwnServer", "own_target"]

_SETTINGS = {
    HASHES_AS_USUAL: "1",
    "REGISTRATION_OPEN": "1",
    "LEGACY_WEBSOCKETS": "1",
    "WORKBENCH_RATE_LIMIT": "100000/m",
    "LOG_LEVEL": "INFO",
}


class OwnServer:
    """The process behind a target, and the simulator behind it."""

    def __init__(self, server: ServerProcess, upstream: UpstreamServer) -> None:
        self.server = server
        self.upstream = upstream


@contextmanager
def own_target(server_name: ServerName = "uvicorn", *, library: bool = True) -> Iterator[Target]:
    """Start a server with three users and, if asked, the starter templates, and yield it as a target."""
    with UpstreamServer() as upstream, ServerProcess(_SETTINGS, server=server_name, upstream=upstream) as server:
        names = ("mallory", "ada", "grace")
        attacker, other, staff = (Account(name=name, password=secrets.token_urlsafe(16)) for name in names)
        server.manage("create_user", staff.name, "--staff", "--password-stdin", stdin=f"{staff.password}\n")
        if library:
            server.manage("load_templates")
        target = Target(url=server.url(), staff=staff, own=OwnServer(server, upstream))
        target.attacker, target.other = _registered(target, attacker), _registered(target, other)
        yield target


def _registered(target: Target, account: Account) -> Account:
    body = {"username": account.name, "password": account.password, "email": f"{account.name}@attack.example"}
    answer = target.call("POST", "/api/v2/auth/register/", body=body)
    if answer.status != 201:
        raise RuntimeError(f"{account.name} could not be registered: {answer.status} {answer.body!r}")
    return account
