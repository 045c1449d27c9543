"""What the log says of providers to whoever operates the service."""

from __future__ import annotations

from tests.contract.limit_fixtures import CALM, Door, started
from tests.server import ServerProcess
from tests.upstream import UpstreamServer


def lines(server: ServerProcess, word: str) -> list[str]:
    return [line for line in server.output().splitlines() if '"promptcraft.providers"' in line and word in line]


def test_a_start_without_any_provider_says_what_to_set() -> None:
    server = ServerProcess({"PROVIDER_CHAIN": "deepseek,openai"})
    with started(server):
        assert len(lines(server, "DEEPSEEK_API_KEY, OPENAI_API_KEY")) == 1


def test_a_refused_key_and_an_open_breaker_are_a_line_each() -> None:
    environment = CALM | {"PROVIDER_CHAIN": "deepseek", "BREAKER_FAILURES": "3"}
    with UpstreamServer() as upstream:
        server = ServerProcess(environment, upstream=upstream)
        with started(server):
            door = Door(server, upstream)
            assert lines(server, "") == []
            upstream.script("deepseek", "status-401", times=5)
            assert {door.whole(door.user())[0] for _ in range(5)} <= {502, 503}
            assert len(lines(server, "DEEPSEEK_API_KEY")) == 1
            assert len(lines(server, "its breaker is open")) == 1
            assert len(lines(server, "")) == 2
