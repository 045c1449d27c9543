"""One server and one simulator for all faults: short deadlines, a breaker that stays out of the way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.server import ServerProcess
from tests.upstream.server import UpstreamServer

DEADLINES = {
    "CONNECT_TIMEOUT": "1",
    "FIRST_TOKEN_TIMEOUT": "1.5",
    "GAP_TIMEOUT": "0.7",
    "TOTAL_TIMEOUT": "4",
    "HEADER_HOLD": "30",
    "BREAKER_FAILURES": "100000",
    "BREAKER_COOLDOWN": "0.001",
}


@dataclass(frozen=True)
class Relay:
    """A server process in front of a simulator."""

    server: ServerProcess
    upstream: UpstreamServer


@pytest.fixture(scope="package")
def relay() -> Iterator[Relay]:
    with UpstreamServer() as upstream, ServerProcess(DEADLINES, upstream=upstream) as server:
        yield Relay(server, upstream)
