"""Leaving: what runs may finish, nothing new begins, and the exit is clean and never held up.

Each scene plays on a server of its own; all of them play side by side, and the tests look at what was seen. The
server of `manage.py serve` leaves in test_serve.py.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.contract.limit_fixtures import (
    CALM,
    COMPLETIONS,
    HEALTH,
    LIVE,
    READY,
    Door,
    error_of,
    eventually,
    rows_of,
    send_raw,
    started,
)
from tests.server import ServerName, ServerProcess
from tests.sse_client import SseEvent, SseStream
from tests.upstream import Answer, Gate, UpstreamServer, healthy
from tests.waiting import HANG_S

DRAIN_S = 1.5
# Granian closes its socket on the signal: nobody new reaches the application.
LISTENING: tuple[ServerName, ...] = ("uvicorn", "daphne")
SERVERS: tuple[ServerName, ...] = (*LISTENING, "granian")


@dataclass
class Seen:
    """What a scene showed. Seconds are from the first signal."""

    ready: int = 0
    health: tuple[int, Any] = (0, None)
    live: int = 0
    asked: tuple[int, dict[str, str], Any] = (0, {}, None)
    read: int = 0
    finished: list[SseEvent] = field(default_factory=list)
    cut: list[SseEvent] = field(default_factory=list)
    whole: list[tuple[int, dict[str, str], Any]] = field(default_factory=list)
    rows: dict[str, tuple[str, str]] = field(default_factory=dict)
    exit_code: int | None = None
    exit_after_s: float = 0.0
    output: str = ""


@dataclass
class Stage:
    """A server with running streams."""

    door: Door
    stack: ExitStack

    def stream(self) -> tuple[SseStream, Iterator[SseEvent], Gate]:
        """Begin a stream that has said its first token and waits."""
        gate = Gate()
        self.door.upstream.script("deepseek", healthy("Low water at six.", gate=gate, gate_after=1), times=1)
        stream = self.stack.enter_context(self.door.begin())
        events = stream.events()
        next(events)
        return stream, events, gate

    def idle_connection(self) -> socket.socket:
        """Open a connection that has been served and is kept alive."""
        request = f"GET {LIVE} HTTP/1.1\r\nHost: here\r\n\r\n".encode()
        connection = self.stack.enter_context(send_raw(self.door.server, request))
        assert connection.recv(65_536)
        return connection

    def leave(self, seen: Seen, signalled_at_s: float, timeout_s: float = HANG_S) -> None:
        """Wait for the exit and note it, the rows and the log."""
        server = self.door.server
        seen.exit_code = server.wait(timeout_s)
        seen.exit_after_s = time.monotonic() - signalled_at_s
        query = "SELECT id, status, json_extract(attempts, '$[#-1].end') FROM chat_completion"
        seen.rows = {key: (status, end) for key, status, end in rows_of(server, query)}
        seen.output = server.output()


def play(name: ServerName, drain_s: float, scene: Callable[[Stage, Seen], None]) -> Seen:
    seen = Seen()
    with UpstreamServer() as upstream, ExitStack() as stack:
        # An idle connection would be let go of in a few seconds by itself.
        arguments = ["--timeout-keep-alive", "60"] if name == "uvicorn" else []
        environment = CALM | {"DRAIN_TIMEOUT": str(drain_s)}
        server = ServerProcess(environment, name, upstream=upstream, arguments=arguments)
        stack.enter_context(started(server))
        scene(Stage(Door(server, upstream), stack), seen)
    return seen


# --- scenes


def one_finishes_and_one_does_not(stage: Stage, seen: Seen) -> None:
    door = stage.door
    finishing, finishing_events, gate = stage.stream()
    _, stuck_events, _ = stage.stream()
    stage.idle_connection()
    # Who starts it by hand stops it by hand.
    signalled_at_s = time.monotonic()
    os.kill(door.server.pid, signal.SIGINT if door.server.server == "daphne" else signal.SIGTERM)
    if door.server.server in LISTENING:
        seen.ready = eventually(lambda: (status := door.call(READY, None)[0]) == 503 and status, "not ready")
        seen.live = door.call(LIVE, None)[0]
        seen.health = door.call(HEALTH, None)[::2]
        seen.asked = door.whole()
        completion_id = finishing.headers["x-promptcraft-completion-id"]
        seen.read = door.call(f"{COMPLETIONS}{completion_id}/")[0]
    gate.release()
    seen.finished = list(finishing_events)
    seen.cut = list(stuck_events)
    stage.leave(seen, signalled_at_s)


def nothing_but_tails(stage: Stage, seen: Seen) -> None:
    """A reader that takes nothing, a request that never comes whole, and whole answers that are not ready."""
    door = stage.door
    text = Answer(pieces=("x" * 100_000,) * 120)
    door.upstream.script("deepseek", healthy(answer=text), times=1)
    stage.stack.enter_context(door.begin(receive_buffer_bytes=2048))
    door.wait_active(0)
    stage.stack.enter_context(
        send_raw(door.server, f"POST {COMPLETIONS} HTTP/1.1\r\nContent-Length: 9\r\n\r\n{{".encode())
    )
    gates = Gate(), Gate()
    door.upstream.script("deepseek", healthy(gate=gates[0]), times=1)
    door.upstream.script("deepseek", healthy(gate=gates[1], gate_after=2), times=1)
    with ThreadPoolExecutor(2) as pool:
        asked = []
        for gate in gates:
            asked.append(pool.submit(door.whole))
            gate.wait_reached(1)
        signalled_at_s = door.server.terminate()
        seen.whole = [one.result(HANG_S) for one in asked]
    stage.leave(seen, signalled_at_s)


def told_twice(stage: Stage, seen: Seen) -> None:
    door = stage.door
    _, events, _ = stage.stream()
    signalled_at_s = door.server.terminate()
    eventually(lambda: door.call(READY, None)[0] == 503, "draining")
    door.server.terminate()
    seen.cut = list(events)
    stage.leave(seen, signalled_at_s)


@pytest.fixture(scope="module")
def scenes() -> Iterator[dict[str, Future[Seen]]]:
    """Every scene, begun; a test waits for the one that it looks at."""
    with ThreadPoolExecutor(4) as pool:
        yield {
            "tails": pool.submit(play, "uvicorn", 0.3, nothing_but_tails),
            **{name: pool.submit(play, name, DRAIN_S, one_finishes_and_one_does_not) for name in SERVERS},
            "twice": pool.submit(play, "uvicorn", 60.0, told_twice),
        }


@pytest.fixture(params=SERVERS)
def drained(request: pytest.FixtureRequest, scenes: dict[str, Future[Seen]]) -> Seen:
    """A server that was told to stop while one stream was about to finish and another was not."""
    return scenes[request.param].result(HANG_S)


@pytest.fixture(params=LISTENING)
def listening(request: pytest.FixtureRequest, scenes: dict[str, Future[Seen]]) -> Seen:
    """The same under the servers that go on listening meanwhile."""
    return scenes[request.param].result(HANG_S)


class TestWhileItDrains:
    def test_it_is_not_ready_and_alive(self, listening: Seen) -> None:
        assert (listening.ready, listening.live) == (503, 200)

    def test_health_says_so(self, listening: Seen) -> None:
        status, body = listening.health
        assert (status, body["status"], body["draining"]) == (503, "down", True)
        assert body["streams"]["active"] == 2

    def test_new_completions_are_refused_with_a_time_to_come_back(self, listening: Seen) -> None:
        status, headers, body = listening.asked
        error = error_of(body)
        assert (status, error["type"], error["code"]) == (503, "service_unavailable", "draining")
        assert (error["retryable"], str(error["retry_after"])) == (True, headers["retry-after"])
        assert error["retry_after"] >= 1
        assert headers["x-ratelimit-remaining"] == str(int(headers["x-ratelimit-limit"]) - 2)

    def test_what_is_there_can_be_read(self, listening: Seen) -> None:
        assert listening.read == 200


class TestWhatRuns:
    def test_it_finishes(self, drained: Seen) -> None:
        assert drained.finished[-1].data == "[DONE]"
        finishes = [event.json()["choices"][0]["finish_reason"] for event in drained.finished[:-1]]
        assert finishes[-1] == "stop"

    def test_the_rest_ends_without_a_terminal_event(self, drained: Seen) -> None:
        assert "[DONE]" not in [event.data for event in drained.cut]
        assert all("error" not in event.json() for event in drained.cut)
        assert not any(event.json()["choices"][0]["finish_reason"] for event in drained.cut)

    def test_both_have_their_rows(self, drained: Seen) -> None:
        assert sorted(drained.rows.values()) == [("completed", "complete"), ("failed", "shutdown")]

    def test_the_exit_is_clean_and_in_time(self, drained: Seen) -> None:
        """An idle connection was there all the while."""
        assert drained.exit_code == 0
        assert DRAIN_S - 0.1 < drained.exit_after_s < DRAIN_S + 20

    def test_nothing_broke(self, drained: Seen) -> None:
        assert "Traceback" not in drained.output


class TestTails:
    @pytest.fixture
    def seen(self, scenes: dict[str, Future[Seen]]) -> Seen:
        return scenes["tails"].result(HANG_S)

    def test_they_do_not_hold_the_exit(self, seen: Seen) -> None:
        assert seen.exit_code == 0
        assert seen.exit_after_s < 10

    def test_whole_answers_that_are_not_whole_are_not_answers(self, seen: Seen) -> None:
        for status, headers, body in seen.whole:
            assert (status, error_of(body)["code"]) == (503, "draining")
            assert int(headers["retry-after"]) >= 1

    def test_only_what_had_content_counts(self, seen: Seen) -> None:
        remaining = sorted(int(headers["x-ratelimit-remaining"]) for _, headers, _ in seen.whole)
        limit = int(seen.whole[0][1]["x-ratelimit-limit"])
        # The slow reader's and that of the answer which had begun are taken.
        assert remaining[-1] == limit - 2

    def test_every_row_is_there(self, seen: Seen) -> None:
        assert sorted(seen.rows.values()) == [("completed", "complete"), ("failed", "shutdown"), ("failed", "shutdown")]


def test_a_second_signal_ends_it_at_once_and_as_cleanly(scenes: dict[str, Future[Seen]]) -> None:
    seen = scenes["twice"].result(HANG_S)
    assert seen.exit_code == 0
    # It had a minute to drain.
    assert seen.exit_after_s < 30
    assert "[DONE]" not in [event.data for event in seen.cut]
    assert list(seen.rows.values()) == [("failed", "shutdown")]
