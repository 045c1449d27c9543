"""One simulator for all faults, and servers whose breaker stays out of the way: its cooldown is over before the next
request can come. Deadlines are short for the faults that they end, and for no others: those they would end on a machine
that is busy.

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
from tests.contract.limit_fixtures import started
from tests.server import ServerProcess
from tests.sse_answer import Collected, collect
from tests.upstream.scenario import Scenario
from tests.upstream.server import UpstreamServer
from tests.waiting import HANG_S

PATIENT = {
    "FIRST_TOKEN_TIMEOUT": "300",
    "GAP_TIMEOUT": "300",
    "HEADER_HOLD": "30",
    "BREAKER_FAILURES": "100000",
    "BREAKER_COOLDOWN": "0.000001",
}
HASTY = PATIENT | {"FIRST_TOKEN_TIMEOUT": "4", "GAP_TIMEOUT": "3", "TOTAL_TIMEOUT": "10"}
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
    def ended_by_a_deadline(self) -> bool:
        return self.scenario.endless or "timeout" in (self.scenario.failure or "")

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
        marker = case.marker.encode()
        return [one.vendor for one in self.upstream.exchanges() if marker in one.body]

    def wait_left(self, case: Case) -> None:
        """Wait until no upstream connection of a case is open any more. Raises JournalTimeout."""
        marker = case.marker.encode()
        self.upstream.wait_for(lambda journal: all(one.over for one in journal if marker in one.body))


def send(server: ServerProcess, case: Case) -> Outcome:
    with server.open("/api/v2/chat/completions/", json=case.body) as stream:
        if "text/event-stream" in stream.headers["content-type"]:
            return Outcome(stream.status, stream.headers, collect(stream), {})
        return Outcome(stream.status, stream.headers, None, json.loads(stream.read()))


@pytest.fixture(scope="package")
def relay(request: pytest.FixtureRequest) -> Iterator[Relay]:
    tests = {getattr(item, "function", None) for item in request.session.items}
    cases = [case for test in tests for values in getattr(test, "cases", ()) for case in values]
    selected = [case for case in cases if isinstance(case, Case)]
    with (
        UpstreamServer() as upstream,
        started(
            one := ServerProcess(PATIENT, upstream=upstream),
            *(
                many := {
                    (transport, hasty): ServerProcess(
                        (HASTY if hasty else PATIENT) | {"UPSTREAM_TRANSPORT": transport}, upstream=upstream
                    )
                    for transport in ("push", "httpx")
                    for hasty in (False, True)
                }
            ).values(),
        ),
        ThreadPoolExecutor(AT_ONCE) as side_by_side,
        ThreadPoolExecutor(1) as in_turn,
    ):
        outcomes = {
            # Refusals take no time, and some (out of money) open the breaker at once, which then lets a single
            # request through.
            case: in_turn.submit(send, one, case)
            if not case.ended_by_a_deadline
            and (case.scenario.group in ("errors", "samples") or case.scenario.failure == "out_of_funds")
            else side_by_side.submit(send, many[case.transport, case.ended_by_a_deadline], case)
            for case in selected
        }
        yield Relay((one, *many.values()), upstream, outcomes)
        for outcome in outcomes.values():
            outcome.cancel()
