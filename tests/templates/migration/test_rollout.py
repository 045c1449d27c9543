"""The phases and the rollback drill of the guide, as an operator goes through them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.contract.limit_fixtures import add_user, started
from tests.server import ServerProcess
from tests.templates.migration.conftest import FrontEnd

USERS = [f"user-{number}" for number in range(30)]


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    """A server with thirty users; each test puts it into the phases that it is about."""
    server = ServerProcess({"PROVIDER_CHAIN": "mock", "DRAIN_TIMEOUT": "10"})
    with started(server):
        for name in USERS:
            add_user(server, name)
        yield server


def again(server: ServerProcess, phase: str, percent: int = 0) -> None:
    """Set a phase and start the server again."""
    server.kill()
    server.env |= {
        "LEGACY_WEBSOCKETS": "1",
        "SSE_ROLLOUT_PHASE": phase,
        "SSE_ROLLOUT_PERCENT": str(percent),
    }
    server.start()


def told(server: ServerProcess) -> set[str]:
    """Return the users who are to move."""
    features = {name: server.call("/api/v2/auth/me/", user=name)[2]["features"]["sse_streaming"] for name in USERS}
    assert {one["phase"] for one in features.values()} == {server.env["SSE_ROLLOUT_PHASE"]}
    return {name for name, one in features.items() if one["enabled"]}


def test_there_and_back(server: ServerProcess) -> None:
    again(server, "percentage", 20)
    few = told(server)
    again(server, "percentage", 60)
    many = told(server)
    assert set() < few < many < set(USERS)
    again(server, "off")
    assert told(server) == set()
    again(server, "percentage", 20)
    assert told(server) == few


def test_a_stream_that_runs_while_the_phase_is_changed_ends_whole(server: ServerProcess) -> None:
    again(server, "percentage", 100)
    user = USERS[0]
    with server.open("/api/v2/prompts/generate/", user=user, json={"prompt": "Say it slowly"}) as stream:
        events = stream.events()
        next(events)
        server.terminate()
        assert [event.data for event in events][-1] == "[DONE]"
    assert server.wait() == 0
    server.env |= {"SSE_ROLLOUT_PHASE": "off"}
    server.start()
    assert told(server) == set()
    assert len(server.call("/api/v2/chat/completions/", user=user)[2]["data"]) == 1


@pytest.mark.parametrize(("phase", "way"), [("shadow", "websocket"), ("on", "sse")])
def test_the_client_goes_the_way_it_is_told(
    server: ServerProcess, folder: Path, node: tuple[str, ...], phase: str, way: str
) -> None:
    again(server, phase)
    assert FrontEnd(folder, node, server).run("choose") == way


def test_no_client_is_sent_to_websockets_that_are_off(server: ServerProcess) -> None:
    server.kill()
    server.env |= {"LEGACY_WEBSOCKETS": "0", "SSE_ROLLOUT_PHASE": "off"}
    server.start(wait=False)
    assert server.wait(10) == 3
    assert "SSE_ROLLOUT_PHASE" in server.output().splitlines()[-1]


def test_both_paths_are_counted_side_by_side(server: ServerProcess, folder: Path, node: tuple[str, ...]) -> None:
    again(server, "percentage", 50)
    with closing(sqlite3.connect(server.database)) as database, database:
        database.execute("UPDATE auth_user SET is_staff = 1 WHERE username = ?", [USERS[0]])
    page = FrontEnd(folder, node, server)
    asked: dict[str, Any] = {"query": "a poem", "prompt": "write something", "search": "poem", "filters": {}}
    page.run("before", **asked)
    page.run("after", **asked)
    paths: dict[str, Any] = server.call("/api/v2/chat/health/paths/", user=USERS[0])[2]["paths"]
    for operation in ("chat", "intent", "optimize", "search"):
        assert paths["sse"][operation]["completed"] == 1, operation
        assert paths["websocket"][operation]["completed"] == 1, operation
