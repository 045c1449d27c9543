"""Sockets on which nothing happens cost memory alone, and not much of that."""

from __future__ import annotations

import socket
import time
from pathlib import Path

from apps.templates.sockets.registry import MOST_SOCKETS_OF_USER
from tests.contract.limit_fixtures import add_user, eventually, started
from tests.doors.cost import wait_until_idle
from tests.server import ServerProcess
from tests.templates.sockets.client import Client, bare, frame
from tests.templates.sockets.conftest import ON

SOCKETS = 300
MOST_BYTES = 40_000
"""Of the server's memory for each."""


def processor_s(server: ServerProcess) -> float:
    """Return the processor's seconds that the server has used (Linux)."""
    fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def opened(server: ServerProcess) -> list[socket.socket]:
    """Open sockets of as many users as it takes."""
    users = [add_user(server, f"idle-{number}") for number in range(SOCKETS // MOST_SOCKETS_OF_USER)]
    return [bare(server, token=server.token(user)) for user in users for _ in range(MOST_SOCKETS_OF_USER)]


def test_many_idle_sockets():
    server = ServerProcess(ON | {"PROVIDER_CHAIN": "mock"})
    with started(server):
        with Client(server) as client:
            assert client.is_served()
        # It reads ahead after its start.
        wait_until_idle(Path(f"/proc/{server.pid}"))
        before = server.resident_bytes()
        idle = opened(server)
        assert (server.resident_bytes() - before) / SOCKETS < MOST_BYTES
        with Client(server) as client:
            used_s, began_at_s = processor_s(server), time.monotonic()
            # Nobody but this one says anything meanwhile.
            eventually(lambda: time.monotonic() - began_at_s > 2, "two seconds")
            assert processor_s(server) - used_s < 0.2
            assert client.is_served()
        for one in idle:
            one.sendall(frame(b'{"type": "ping"}'))
        for one in idle:
            assert b'"pong"' in one.recv(4096)
            one.close()


def test_those_that_left_cost_nothing():
    server = ServerProcess(ON | {"PROVIDER_CHAIN": "mock"})
    with started(server):
        held_bytes = []
        for _ in range(3):
            for one in opened(server):
                one.close()
            with Client(server) as client:
                assert client.is_served()
            held_bytes.append(server.resident_bytes())
        assert held_bytes[-1] - held_bytes[0] < SOCKETS * MOST_BYTES / 2
