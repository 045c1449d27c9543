"""One server and one simulator for all faults: deadlines that are short, yet not for a machine that plays twelve
floods at once, and a breaker that stays out of the way: its cooldown is over before the next request can come.

Most faults are waits. The requests of all selected tests run side by side, from the first test on; each test takes
the outcome of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from apps.llm.providers.base import TransportKind
from tests.server import ServerProcess
from tests.sse_answer import Collected, collect
from tests.upstream.scenario import Scenario
from tests.upstream.server import UpstreamServer
from tests.waiting import HANG_S

DEADLINES = {
    "CONNECT_TIMEOUT": "1",
    "FIRST_TOKEN_TIMEOUT": "4",
    "GAP_TIMEOUT": "3",
    "TOTAL_TIMEOUT": "10",
    "HEADER_HOLD": "30",
    "BREAKER_FAILURES": "100000",
    "BREAKER_COOLDOWN": "0.000001",
}
MODELS = {"deepseek": "deepseek-flash", "zai": "glm-4.7", "openai": "gpt-6-luna"}
AT_ONCE = 12


@dataclass(frozen=True)
class Case:
    """One request: a scenario of one vendor, as a stream or whole, with or without somebody to fall back on."""

    scenario: Scenario
    vendor: str
    stream: bool
    fallback: bool
    transport: TransportKind = "push"
    """What carries the request upstream."""

    @property
    def marker(self) -> str:
        """What the request says, and no other request does."""
        case = (self.scenario.name, self.vendor, self.stream, self.fallback, self.transport)
        return f"When does the tide turn? {' '.join(map(str, case))}"

    @property
    def body(self) -> dict[str, Any]:
        return {
            "model": f"{MODELS[self.vendor]}@{self.scenario.name}",
            "messages": [{"role": "user", "content": self.marker}],
            "stream": self.stream,
            "stream_options": {"include_usage": True} if self.stream else None,
            "fallback": self.fallback,
        }


@dataclass(frozen=True)
class Outcome:
    """What came back: a stream, or one JSON document."""

    status: int
    headers: Mapping[str, str]
    collected: Collected | None
    document: dict[str, Any]


@dataclass(frozen=True)
class Relay:
    """Server processes in front of a simulator, and the outcomes of every selected case."""

    servers: tuple[ServerProcess, ...]
    upstream: UpstreamServer
    outcomes: Mapping[Case, Future[Outcome]]

    def outcome(self, case: Case) -> Outcome:
        """Wait for a case's outcome."""
        return self.outcomes[case].result(4 * HANG_S)

    def asked(self, case: Case) -> list[str]:
        """Return the vendors that got a case's request, in order."""
        return [one.vendor for one in self.upstream.exchanges() if case.marker in json.dumps(one.json)]

    def wait_left(self, case: Case) -> None:
        """Wait until no upstream connection of a case is open any more. Raises JournalTimeout."""
        self.upstream.wait_for(lambda journal: all(one.over for one in journal if case.marker in json.dumps(one.json)))


def send(server: ServerProcess, case: Case) -> Outcome:
    with server.open("/api/v2/chat/completions/", json=case.body) as stream:
        if "text/event-stream" in stream.headers["content-type"]:
            return Outcome(stream.status, stream.headers, collect(stream), {})
        return Outcome(stream.status, stream.headers, None, json.loads(stream.read()))


@pytest.fixture(scope="package")
def relay(request: pytest.FixtureRequest) -> Iterator[Relay]:
    params = [getattr(item, "callspec", Nothing).params for item in request.session.items]
    selected: list[Case] = [one["case"] for one in params if "case" in one]
    with (
        UpstreamServer() as upstream,
        ServerProcess(DEADLINES, upstream=upstream) as many,
        ServerProcess(DEADLINES, upstream=upstream) as one,
        ServerProcess(DEADLINES | {"UPSTREAM_TRANSPORT": "httpx"}, upstream=upstream) as over_httpx,
        ThreadPoolExecutor(AT_ONCE) as side_by_side,
        ThreadPoolExecutor(1) as in_turn,
    ):
        many.token(), one.token(), over_httpx.token()
        outcomes = {
            # Refusals take no time, and some (out of money) open the breaker at once, which then lets a single
            # request through.
            case: in_turn.submit(send, one, case)
            if case.scenario.group in ("errors", "samples") or case.scenario.failure == "out_of_funds"
            else side_by_side.submit(send, many if case.transport == "push" else over_httpx, case)
            for case in selected
        }
        yield Relay((many, one, over_httpx), upstream, outcomes)
        for outcome in outcomes.values():
            outcome.cancel()


class Nothing:
    """A test without parameters."""

    params: Mapping[str, Any] = {}
