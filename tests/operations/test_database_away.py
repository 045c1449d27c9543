"""A database that hangs, is gone, comes back, or is locked: every door says so, and works again.

A scene plays once, on every server side by side; the tests look at what was seen.
"""

from __future__ import annotations

import json
import os
import socket
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests import forked
from tests.contract.limit_fixtures import (
    CALM,
    COMPLETIONS,
    HEALTH,
    LIVE,
    PROMPT,
    READY,
    error_of,
    eventually,
    rows_of,
    started,
)
from tests.operations.doors import AUTHENTICATED, DOORS, HANG_S, OWN_NEEDS, PUBLIC, Answer, Stage, prepare
from tests.operations.postgres import PostgresServer
from tests.server import ServerName, ServerProcess
from tests.sse_client import SseEvent
from tests.templates.sockets.client import SEARCH, Client
from tests.upstream import Gate, UpstreamServer, healthy

SERVERS: tuple[ServerName, ...] = ("uvicorn", "daphne", "granian")
ENVIRONMENT = CALM | {
    "DJANGO_SETTINGS_MODULE": "tests.operations.hasty_settings",
    "REGISTRATION_OPEN": "1",
    "WORKBENCH_RATE_LIMIT": "100000/m",
    "DRAIN_TIMEOUT": "5",
}
WRITING = ("log in", "refresh", "log out", "register", "create", "import")


@dataclass
class Running:
    """A completion and a stream that run while the database goes away."""

    stage: Stage
    whole: Answer | None = None
    events: list[SseEvent] = field(default_factory=list)
    replay: Answer | None = None
    detail: Answer | None = None

    def begin(self, pool: ThreadPoolExecutor, upstream: UpstreamServer) -> Callable[[], None]:
        """Begin both, and return what has them end and waits for that."""
        gate = Gate()
        upstream.script("deepseek", healthy("Low water at six.", gate=gate, gate_after=1), times=2)
        whole = pool.submit(self.ask_whole)
        gate.wait_reached(1)
        stream = self.stage.server.open(
            COMPLETIONS,
            user=None,
            headers=self._bearer("stream"),
            json={"messages": PROMPT, "stream": True},
            timeout_s=HANG_S,
        )
        events = stream.events()
        self.events.append(next(events))

        def finish() -> None:
            gate.release()
            self.events.extend(events)
            stream.close()
            self.whole = whole.result(HANG_S)

        return finish

    def ask_whole(self) -> Answer:
        """Ask for the completion that is not streamed; always the same one."""
        headers = self._bearer("begin") | {"Idempotency-Key": "the-one"}
        body = {"messages": PROMPT}
        return self.stage.server.call(COMPLETIONS, user=None, headers=headers, json=body, timeout_s=HANG_S)

    def read(self) -> Answer:
        """Read the stream's completion."""
        completion_id = self.events[0].json()["id"]
        headers = self._bearer("stream")
        return self.stage.server.call(f"{COMPLETIONS}{completion_id}/", user=None, headers=headers)

    def _bearer(self, door: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.stage.users[door].used}"}


@dataclass
class Seen:
    """What one server did in each state of its database."""

    running: Running
    answers: dict[str, dict[str, Answer]] = field(default_factory=dict)
    health: dict[str, dict[str, tuple[int, Any]]] = field(default_factory=dict)
    last: Answer | None = None
    exit_code: int | None = None
    output: str = ""


def play(postgres: PostgresServer, upstream: UpstreamServer, servers: list[ServerProcess]) -> dict[str, Seen]:
    """Take the database away in several manners, and give it back."""
    stages = prepare(*servers)
    seen: dict[str, Seen] = {stage.server.server: Seen(Running(stage)) for stage in stages}

    def each(work: Callable[[Seen, Stage], Any]) -> None:
        with ThreadPoolExecutor(len(stages)) as pool:
            list(pool.map(work, seen.values(), stages))

    def wait_back() -> None:
        """Wait until every server has noticed that the database is back."""
        each(lambda one, stage: eventually(lambda: stage.health()[READY][0] == 200, "the database", timeout_s=HANG_S))

    def knock(state: str, doors: tuple[str, ...] = DOORS, *, used: bool = False) -> None:
        each(lambda one, stage: one.answers.update({state: stage.ask_all(doors, used=used)}))

    # Each has a completion under way and its end to wait for.
    with ThreadPoolExecutor(2 * len(stages)) as pool:
        endings = [one.running.begin(pool, upstream) for one in seen.values()]
        each(lambda one, stage: stage.remember())
        postgres.pause()
        ended = pool.map(lambda finish: finish(), endings)
        knock("paused, for the remembered", OWN_NEEDS, used=True)
        list(ended)
    each(lambda one, stage: one.health.update({"paused": stage.health()}))
    knock("paused")
    postgres.resume()
    wait_back()
    knock("resumed", AUTHENTICATED)
    each(lambda one, stage: setattr(one.running, "replay", written(one.running)))
    each(lambda one, stage: setattr(one.running, "detail", one.running.read()))
    postgres.stop()
    knock("down", (*PUBLIC, *OWN_NEEDS))
    postgres.start()
    wait_back()
    knock("back", AUTHENTICATED)
    postgres.stop()
    postgres.start()
    # Of all connections that were idle meanwhile none is any good.
    knock("restarted", AUTHENTICATED)
    postgres.pause()
    each(leave)
    return seen


def written(running: Running) -> Answer:
    """Ask for the completion again until its row is there."""

    def look() -> Answer | None:
        answer = running.ask_whole()
        return answer if answer[0] == 200 else None

    found = eventually(look, "the row", timeout_s=HANG_S)
    assert found is not None
    return found


def leave(one: Seen, stage: Stage) -> None:
    """Have the server leave while somebody waits for the database."""
    with ThreadPoolExecutor(1) as pool:
        last = pool.submit(stage.ask, "log in")
        stage.server.terminate()
        one.exit_code = stage.server.wait(30)
        one.output = stage.server.output()
        try:
            one.last = last.result(HANG_S)
        except (AssertionError, OSError):
            # Daphne hangs up when it leaves.
            one.last = None


@pytest.fixture(scope="module")
def seen() -> Iterator[dict[str, Seen]]:
    with PostgresServer() as postgres, UpstreamServer() as upstream:
        environment = ENVIRONMENT | {"DATABASE_URL": postgres.url}
        servers = [ServerProcess(environment, name, upstream=upstream) for name in SERVERS]
        with started(*servers):
            yield play(postgres, upstream, servers)


@pytest.fixture(params=SERVERS)
def one(request: pytest.FixtureRequest, seen: dict[str, Seen]) -> Seen:
    """What each server did, in turn."""
    return seen[request.param]


def says_unavailable(answer: Answer) -> bool:
    status, headers, body = answer
    if status != 503:
        return False
    error = error_of(body)
    return (
        headers["content-type"] == "application/json"
        and headers["retry-after"] == str(error["retry_after"])
        and (error["code"], error["type"]) == ("overloaded", "service_unavailable")
    )


@pytest.mark.parametrize("state", ["paused", "down", "paused, for the remembered"])
def test_every_door_says_503_with_the_envelope(one: Seen, state: str):
    others = {door: answer for door, answer in one.answers[state].items() if not says_unavailable(answer)}
    assert not others


@pytest.mark.parametrize("state", ["resumed", "back", "restarted"])
def test_every_door_works_again(one: Seen, state: str):
    failed = {door: answer for door, answer in one.answers[state].items() if answer[0] >= 500}
    assert not failed
    assert one.answers[state]["me"][0] == one.answers[state]["list"][0] == 200
    assert one.answers[state]["completion"][0] == 404


def test_health_says_what_is_true(one: Seen):
    health = one.health["paused"]
    assert health[LIVE][0] == 200
    assert health[READY][0] == 503
    assert health[HEALTH][1]["database"]["ok"] is False


def test_an_answer_that_cannot_be_recorded_says_so_and_is_recorded_later(one: Seen):
    running = one.running
    assert running.whole is not None
    assert says_unavailable(running.whole)
    assert running.whole[1]["x-should-retry"] == "false"
    # The same completion, not another one.
    assert running.replay is not None
    assert running.replay[1]["idempotent-replay"] == "true"
    assert running.replay[2]["choices"][0]["message"]["content"] == "Low water at six."


def test_a_stream_that_cannot_be_recorded_ends_in_an_error_and_its_text_is_kept(one: Seen):
    events = [event.data for event in one.running.events]
    assert "[DONE]" not in events
    last = json.loads(events[-1])
    assert (last["error"]["code"], last["error"]["retryable"]) == ("overloaded", False)
    assert last["choices"][0]["finish_reason"] == "error"
    assert one.running.detail is not None
    _, _, detail = one.running.detail
    assert detail["status"] == "completed"
    assert detail["choices"][0]["message"]["content"] == "Low water at six."


def test_leaving_meanwhile_is_as_clean_as_ever(one: Seen):
    assert one.exit_code == 0
    # It may have left before it heard of the last request.
    assert one.last is None or says_unavailable(one.last)


def test_the_log_has_a_line_about_it_and_no_traceback(one: Seen):
    assert "the database does not answer" in one.output
    assert "Traceback" not in one.output
    assert "psycopg.pool" not in one.output


def test_a_database_that_accepts_and_says_nothing_is_unavailable_from_the_start():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgres://somebody@127.0.0.1:{silent.getsockname()[1]}/name"
        with ServerProcess(ENVIRONMENT | {"DATABASE_URL": url}) as server:
            body = {"username": "ada", "password": "tide-table-at-six"}
            assert says_unavailable(server.call("/api/v2/auth/token/", user=None, json=body, timeout_s=HANG_S))
            assert server.call(READY, user=None)[0] == 503
            assert server.stop() == 0


@pytest.mark.parametrize("url", ["postgres://somebody@127.0.0.1:1/name", "sqlite:////absent/directory/db.sqlite3"])
def test_a_command_without_a_database_says_so_in_one_line(url: str):
    environment = {"PATH": os.environ["PATH"], "DEBUG": "0", "SECRET_KEY": "k7Qp2mZx" * 8, "DATABASE_URL": url}
    code, _, errors = forked.run(["manage.py", "migrate"], environment)
    assert code == 1
    said = errors.strip().split("\n")
    assert [line for line in said if line.startswith("promptcraft: ")] == said[-1:]
    assert "Traceback" not in errors


# --- SQLite


@pytest.fixture(scope="module")
def on_sqlite() -> Iterator[tuple[Stage, UpstreamServer]]:
    with UpstreamServer() as upstream:
        server = ServerProcess(ENVIRONMENT | {"LEGACY_WEBSOCKETS": "1"}, upstream=upstream)
        with started(server):
            yield prepare(server)[0], upstream


def test_a_file_that_another_process_writes_to_refuses_those_who_write(on_sqlite: tuple[Stage, UpstreamServer]):
    stage, upstream = on_sqlite
    running = Running(stage)
    with ThreadPoolExecutor(2) as pool, closing(sqlite3.connect(stage.server.database)) as other:
        finish = running.begin(pool, upstream)
        other.isolation_level = None
        other.execute("BEGIN IMMEDIATE")
        ended = pool.submit(finish)
        writing = stage.ask_all(WRITING)
        reading = stage.ask_all(("me", "list", "search", "read", "export", "completions"))
        ended.result(HANG_S)
        other.execute("ROLLBACK")
    assert {door for door, answer in writing.items() if not says_unavailable(answer)} == set()
    assert {answer[0] for answer in reading.values()} == {200}
    assert running.whole is not None
    assert says_unavailable(running.whole)
    assert written(running)[1]["idempotent-replay"] == "true"
    assert {answer[0] for answer in stage.ask_all(("create", "import")).values()} == {201}


def test_a_file_that_is_gone_is_unavailable_until_it_is_back(on_sqlite: tuple[Stage, UpstreamServer]):
    stage, _ = on_sqlite
    database = stage.server.database
    parts = [database.with_name(database.name + suffix) for suffix in ("", "-wal", "-shm")]
    doors = (*PUBLIC[:-1], "list", "create", "completions")
    with Client(stage.server, SEARCH, token=stage.users["search"].used) as connected:
        kept = [part.rename(part.with_name(f"kept-{part.name}")) for part in parts if part.exists()]
        answers = stage.ask_all(doors)
        health = stage.health()
        over_socket = connected.ask("search", query="hello")
        with Client(stage.server, token=stage.users["intent"].unused, greeted=False) as unknown:
            close_code = unknown.close_code()
    for part in parts:
        part.unlink(missing_ok=True)
    for part in kept:
        part.rename(part.with_name(part.name.removeprefix("kept-")))
    assert {door for door, answer in answers.items() if not says_unavailable(answer)} == set()
    assert health[READY][0] == 503
    assert health[HEALTH][1]["database"]["ok"] is False
    assert over_socket.error["code"] == "overloaded"
    assert close_code == 1013
    eventually(lambda: stage.ask("list")[0] == 200, "the file")
    assert rows_of(stage.server, "SELECT count(*) FROM auth_user")[0][0] > len(DOORS) - 1
