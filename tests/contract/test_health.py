"""Health: who looks, how fast, and whether it tells the truth."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest

from promptcraft.version import VERSION
from tests.contract.limit_fixtures import CALM, COMPLETIONS, HEALTH, LIVE, READY, Door, add_user, error_of, started
from tests.each import each
from tests.server import USERNAME, ServerProcess
from tests.sse_answer import collect
from tests.upstream import Gate, UpstreamServer, healthy, unanswering_port
from tests.waiting import HANG_S

Called = tuple[int, dict[str, str], Any]
PROVIDER = {"name", "configured", "state", "last_success_s", "success_ratio_5m", "ttft_ms", "last_error_code"}
UNTRIED = {
    "configured": False,
    "state": "unknown",
    "last_success_s": None,
    "success_ratio_5m": None,
    "ttft_ms": {"p50": None, "p95": None},
    "last_error_code": None,
}


@dataclass(frozen=True)
class Doors:
    """`whole` lacks nothing but a key for OpenAI, `bare` a provider and at first its tables, `lost` its database."""

    whole: Door
    bare: Door
    bare_at_first: tuple[Called, Called]
    lost: Door
    lost_ready: Future[Called]


@pytest.fixture(scope="module")
def doors() -> Iterator[Doors]:
    with UpstreamServer() as upstream, unanswering_port() as port, ThreadPoolExecutor(1) as pool:
        whole = ServerProcess(CALM | {"MAX_STREAMS": "7"}, upstream=upstream, vendors=["deepseek", "zai"])
        bare = ServerProcess(CALM)
        bare.database.touch()
        lost = ServerProcess(
            {"DATABASE_URL": f"postgres://somebody:secret@127.0.0.1:{port}/nothing", "PROVIDER_CHAIN": "mock"}
        )
        with started(whole, bare, lost):
            yield Doors(
                whole=Door(whole, upstream),
                bare=Door(bare, upstream),
                bare_at_first=_migrated_under_way(Door(bare, upstream), whole),
                lost=Door(lost, upstream),
                lost_ready=pool.submit(lost.call, READY, user=None),
            )


def _migrated_under_way(bare: Door, whole: ServerProcess) -> tuple[Called, Called]:
    """Ask whether it is ready without its tables, give it another server's, and ask again."""
    before = bare.call(READY, None)
    with closing(sqlite3.connect(whole.database)) as source, closing(sqlite3.connect(bare.server.database)) as target:
        source.backup(target)
    add_user(bare.server, USERNAME)
    return before, bare.call(READY, None)


@pytest.fixture
def door(doors: Doors) -> Door:
    """The server that lacks nothing."""
    doors.whole.upstream.reset()
    return doors.whole


def provider_of(door: Door, name: str) -> dict[str, Any]:
    return next(one for one in door.health()["providers"] if one["name"] == name)


def least_ms(door: Door, path: str) -> float:
    door.call(path, None)
    taken = []
    for _ in range(9):
        began_at_s = time.monotonic()
        door.call(path, None)
        taken.append((time.monotonic() - began_at_s) * 1000)
    return min(taken)


class TestShape:
    def test_health(self, door: Door) -> None:
        status, headers, body = door.call(HEALTH, None)
        assert status == 200
        assert headers["content-type"] == "application/json"
        assert set(body) == {
            "status",
            "version",
            "uptime_s",
            "draining",
            "serving",
            "providers",
            "database",
            "streams",
        }
        assert (body["status"], body["version"], body["draining"]) == ("ok", VERSION, False)
        assert body["serving"] == "deepseek"
        assert set(body["database"]) == {"ok", "latency_ms"}
        assert body["database"]["ok"] is True
        assert 0 <= body["database"]["latency_ms"] < 1000
        assert body["streams"] == {"active": 0, "capacity": 7}
        assert [one["name"] for one in body["providers"]] == ["deepseek", "zai", "openai", "mock"]
        for one in body["providers"]:
            assert set(one) == PROVIDER
            assert set(one["ttft_ms"]) == {"p50", "p95"}
            assert one["state"] in {"closed", "open", "half_open", "unknown"}
        assert [one["configured"] for one in body["providers"]] == [True, True, False, False]
        assert body["providers"][2] == {"name": "openai", **UNTRIED}

    def test_uptime_rises(self, door: Door) -> None:
        assert 0 < door.health()["uptime_s"] <= door.health()["uptime_s"] < 600

    def test_live(self, door: Door) -> None:
        assert door.call(LIVE, None)[::2] == (200, {"status": "ok"})

    def test_ready(self, door: Door) -> None:
        status, _, body = door.call(READY, None)
        assert (status, body["status"]) == (200, "ok")
        assert (body["draining"], body["database"], body["migrations"]) == (False, True, True)


each_path = each("path", [HEALTH, LIVE, READY, HEALTH.rstrip("/"), LIVE.rstrip("/"), READY.rstrip("/")])


class TestEveryOne:
    @each_path
    def test_needs_nobody_and_is_not_kept(self, door: Door, path: str) -> None:
        for headers in ({}, {"Authorization": "Bearer nonsense"}):
            status, answered, _ = door.call(path, None, headers=headers)
            assert (status, answered["cache-control"]) == (200, "no-store")

    @each_path
    def test_head_is_get_without_a_body(self, door: Door, path: str) -> None:
        with door.server.open(path, user=None, method="HEAD") as answer:
            assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
            assert int(answer.headers["content-length"]) > 10
            assert answer.read_some() == b""

    @each_path
    @each("method", ["POST", "PUT", "DELETE"])
    def test_others_are_405(self, door: Door, path: str, method: str) -> None:
        status, headers, body = door.call(path, None, method=method)
        assert (status, error_of(body)["code"]) == (405, "method_not_allowed")
        assert headers["allow"] == "GET, HEAD, OPTIONS"

    @each_path
    def test_takes_50_ms_at_the_most(self, door: Door, path: str) -> None:
        assert least_ms(door, path) <= 50


def test_it_spends_no_token(door: Door) -> None:
    for path in (HEALTH, READY, LIVE) * 3:
        door.call(path, None)
    assert not door.upstream.journal
    assert not door.upstream.log.exchanges


def test_a_success_shows(door: Door) -> None:
    assert door.whole(model="glm-4.7")[0] == 200
    zai = provider_of(door, "zai")
    assert (zai["configured"], zai["state"]) == (True, "closed")
    assert 0 <= zai["last_success_s"] < 10
    assert 0 < zai["success_ratio_5m"] <= 1
    assert 0 < zai["ttft_ms"]["p50"] <= zai["ttft_ms"]["p95"] < 10_000


def test_a_failure_shows(door: Door) -> None:
    assert door.whole(model="glm-4.7")[0] == 200
    before = provider_of(door, "zai")["success_ratio_5m"]
    assert door.whole(model="glm-4.7@status-500", fallback=False)[0] == 502
    zai = provider_of(door, "zai")
    assert zai["last_error_code"] == "server_error"
    assert 0 < zai["success_ratio_5m"] < before


def test_a_clients_fault_does_not_show(door: Door) -> None:
    assert door.whole(model="glm-4.7")[0] == 200
    before = provider_of(door, "zai")
    assert door.whole(model="glm-4.7@zai-400-1210")[0] == 400
    after = provider_of(door, "zai")
    assert (after["success_ratio_5m"], after["last_error_code"]) == (
        before["success_ratio_5m"],
        before["last_error_code"],
    )


def test_running_streams_are_counted(door: Door) -> None:
    gate = Gate()
    door.upstream.script("deepseek", healthy(gate=gate, gate_after=1))
    with door.begin() as first, door.begin() as second:
        assert door.health()["streams"]["active"] == 2
        gate.release()
        assert collect(first).done
        assert collect(second).done
    assert door.health()["streams"]["active"] == 0


def test_nothing_of_the_operators_is_told(door: Door) -> None:
    with door.server.open(HEALTH, user=None) as answer:
        text = answer.read().decode()
    assert "sk-upstream" not in text
    assert "127.0.0.1" not in text


class TestWithoutTables:
    def test_it_is_not_ready(self, doors: Doors) -> None:
        status, headers, body = doors.bare_at_first[0]
        assert (status, headers["cache-control"]) == (503, "no-store")
        assert (body["database"], body["migrations"]) == (True, False)

    def test_it_is_once_they_are_there(self, doors: Doors) -> None:
        status, _, body = doors.bare_at_first[1]
        assert (status, body["migrations"]) == (200, True)


class TestWithoutProviders:
    def test_no_request_could_be_served(self, doors: Doors) -> None:
        status, headers, body = doors.bare.call(HEALTH, None)
        assert (status, headers["cache-control"]) == (503, "no-store")
        assert (body["status"], body["serving"]) == ("down", None)
        assert [one["configured"] for one in body["providers"]] == [False] * 4

    @each("fields", [{}, {"stream": True}, {"model": "mock"}, {"model": "deepseek-flash"}])
    def test_a_request_is_told_so(self, doors: Doors, fields: dict[str, Any]) -> None:
        status, headers, body = doors.bare.whole(**fields)
        error = error_of(body)
        assert (status, error["type"], error["code"]) == (502, "provider_error", "no_provider")
        assert (error["retryable"], headers["x-should-retry"]) == (False, "false")
        assert headers["x-ratelimit-remaining"] == headers["x-ratelimit-limit"]


class TestWithoutItsDatabase:
    """It accepts no connection and refuses none: whoever waits for it waits for minutes."""

    def test_health_answers_in_time_and_says_so(self, doors: Doors) -> None:
        door = doors.lost
        taken_s = []
        for _ in range(6):
            began_at_s = time.monotonic()
            status, _, body = door.call(HEALTH, None)
            taken_s.append(time.monotonic() - began_at_s)
            assert (status, body["status"], body["database"]["ok"]) == (503, "down", False)
            assert body["serving"] == "mock"
        # Whoever waited for the database would wait each time.
        assert min(taken_s) < 0.5

    def test_it_is_alive(self, doors: Doors) -> None:
        assert doors.lost.call(LIVE, None)[0] == 200
        assert least_ms(doors.lost, LIVE) <= 50

    def test_it_is_not_ready(self, doors: Doors) -> None:
        status, _, body = doors.lost_ready.result(HANG_S)
        assert (status, body["status"], body["database"]) == (503, "unavailable", False)

    def test_who_asks_for_more_gets_an_envelope(self, doors: Doors) -> None:
        status, _, body = doors.lost.call(COMPLETIONS, None, json={})
        assert (status, error_of(body)["code"]) == (401, "missing_token")
