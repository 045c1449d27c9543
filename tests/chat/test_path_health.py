"""The counters of both paths as staff reads them, over a real server."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.contract.limit_fixtures import add_user, started
from tests.promptcraft.described import document, problems
from tests.server import ServerProcess
from tests.waiting import HANG_S

PATHS = "/api/v2/chat/health/paths/"
COMPLETIONS = "/api/v2/chat/completions/"
STAFF = "a-member-of-staff"


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    # The log is off: the counters are not.
    server = ServerProcess({"PROVIDER_CHAIN": "mock", "LOG_LEVEL": "ERROR", "CHAT_RATE_LIMIT": "3/h"})
    with started(server):
        add_user(server, STAFF)
        with closing(sqlite3.connect(server.database)) as database, database:
            database.execute("UPDATE auth_user SET is_staff = 1 WHERE username = ?", [STAFF])
        yield server


def counted(server: ServerProcess, operation: str, requests: int) -> dict[str, Any]:
    """Return what is counted of an operation as soon as so many have ended: the count follows the last byte."""
    until = time.monotonic() + HANG_S
    while time.monotonic() < until:
        figures = server.call(PATHS, user=STAFF)[2]["paths"]["sse"][operation]
        if figures["requests"] >= requests:
            return dict(figures)
    raise AssertionError(figures)


def test_is_for_staff(server: ServerProcess) -> None:
    status, _, body = server.call(PATHS)
    assert (status, body["error"]["code"]) == (403, "forbidden")
    assert server.call(PATHS, user=None)[0] == 401


def test_is_as_the_schema_says(server: ServerProcess) -> None:
    body = server.call(PATHS, user=STAFF)[2]
    assert problems(body, document()["components"]["schemas"]["PathHealth"]) == []
    assert (body["phase"], body["percent"], body["websockets"]) == ("on", 0, False)
    assert {name: list(series) for name, series in body["paths"].items()} == dict.fromkeys(
        ("sse", "websocket"), ["chat", "generate", "intent", "optimize", "search"]
    )


def test_counts_how_requests_end(server: ServerProcess) -> None:
    user = add_user(server, "one-who-asks")
    ask = {"messages": [{"role": "user", "content": "Hello"}], "stream": True}
    with server.open(COMPLETIONS, user=user, json=ask) as stream:
        assert len(list(stream.events())) > 2
    with server.open(COMPLETIONS, user=user, json=ask, headers={"X-Mock-Scenario": "error_after_3"}) as stream:
        assert stream.status == 200
        assert len(list(stream.events())) > 2
    with server.open(COMPLETIONS, user=user, json=ask, headers={"X-Mock-Scenario": "long"}) as stream:
        next(stream.events())
    # The slots are taken.
    assert server.call(COMPLETIONS, user=user, json=ask)[0] == 429
    figures = counted(server, "chat", 4)
    histograms = {name: figures.pop(name) for name in ("ttft_ms", "duration_ms")}
    assert figures == {
        "requests": 4,
        "completed": 1,
        "stopped": 1,
        "refused": 1,
        "failed": 1,
        "errors": {"rate_limited": 1, "stream_interrupted": 1},
    }
    assert (sum(histograms["ttft_ms"]["counts"]), sum(histograms["duration_ms"]["counts"])) == (3, 1)
    assert histograms["duration_ms"]["p95"] is not None


def test_counts_what_is_answered_at_once(server: ServerProcess) -> None:
    assert server.call("/api/v2/prompts/intent/", json={"query": "write a poem"})[0] == 200
    assert server.call("/api/v2/prompts/intent/", json={})[0] == 400
    assert server.call("/api/v2/templates/search/?q=poem")[0] == 200
    assert counted(server, "intent", 2)["errors"] == {"missing_field": 1}
    assert counted(server, "search", 1)["completed"] == 1
