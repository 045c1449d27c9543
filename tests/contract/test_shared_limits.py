"""Limits that four server processes share through Redis, and what each of them does without it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from apps.limits.redis_scripts import WORKERS as WORKERS_KEY
from tests.contract.limit_fixtures import CALM, COMPLETIONS, Door, error_of, eventually, started
from tests.limits.redis_server import PASSWORD, RedisServer
from tests.server import ServerProcess
from tests.sse_client import SseStream
from tests.upstream import Gate, UpstreamServer, healthy
from tests.waiting import HANG_S, soon

WORKERS = 4
LIMIT = 5
PER_USER = 2
RECOVERY_S = 5.0
# What docs/operations.md says of the stream slots of a killed process.
BACK_S = 6.0
CUT_S = 0.25
# Much more than a request costs besides, and less than whoever waits for a Redis that hangs.
REQUEST_S = 20.0


@dataclass(frozen=True)
class Fleet:
    """Servers on one database, one key and one Redis."""

    doors: list[Door]
    redis: RedisServer

    def user(self) -> str:
        """Return the name of a user whom every server knows."""
        name = self.doors[0].user()
        for door in self.doors[1:]:
            door.server._tokens[name] = self.doors[0].server._tokens[name]
        return name

    def remaining(self, user: str) -> list[int]:
        """Ask every server what is left to a user."""
        return [int(door.call(COMPLETIONS, user)[1]["x-ratelimit-remaining"]) for door in self.doors]

    def departures(self) -> int:
        """Return how often a server has told that Redis is away, or back: it waits for it for a quarter of a second."""
        lines = "".join(door.server.output() for door in self.doors).splitlines()
        told = [json.loads(line) for line in lines if line.startswith("{")]
        return sum((one["logger"], one["level"]) == ("promptcraft.limits", "WARNING") for one in told)

    def wait_shared(self) -> float:
        """Wait until what one server takes is seen by all, and return the seconds that it took."""
        began_at_s = time.monotonic()

        def shared() -> bool:
            for door in self.doors:
                user = self.user()
                door.whole(user)
                if self.remaining(user) != [LIMIT - 1] * len(self.doors):
                    return False
            return True

        eventually(shared, "limits that are shared again", timeout_s=RECOVERY_S + 3)
        return time.monotonic() - began_at_s

    def wait_counted(self) -> None:
        """Wait until every server has counted all of them."""

        def beats() -> list[float]:
            return [float(end) for _, end in self.redis.do("ZRANGE", WORKERS_KEY, 0, -1, "WITHSCORES")]

        eventually(lambda: len(beats()) >= WORKERS, "a beat of each")
        last = max(beats())
        eventually(lambda: min(beats()) > last, "a beat of each after that")


def environment(redis: RedisServer, **more: str) -> dict[str, str]:
    # The real hasher takes a third of a second for each guess.
    hasty = {"DJANGO_SETTINGS_MODULE": "tests.operations.hasty_settings"}
    return CALM | hasty | {"CHAT_RATE_LIMIT": f"{LIMIT}/m", "REDIS_URL": redis.url, "LOG_LEVEL": "DEBUG"} | more


@pytest.fixture(scope="module")
def running() -> Iterator[Fleet]:
    with UpstreamServer() as upstream, RedisServer() as redis:
        first = ServerProcess(environment(redis), upstream=upstream)
        others = [
            ServerProcess(environment(redis, DATABASE_URL=first.env["DATABASE_URL"]), upstream=upstream)
            for _ in range(WORKERS - 1)
        ]
        with started(first), started(*others):
            yield Fleet([Door(server, upstream) for server in (first, *others)], redis)


@pytest.fixture
def fleet(running: Fleet) -> Fleet:
    """Four servers that share their limits."""
    running.doors[0].upstream.reset()
    running.wait_shared()
    running.doors[0].upstream.reset()
    return running


@pytest.fixture(scope="module")
def pair(running: Fleet) -> Iterator[list[Door]]:
    """Two more servers, with few streams for each user and many completions."""
    upstream = running.doors[0].upstream
    # Their users have the numbers of others: so they have another database, here as there.
    own = {"REDIS_URL": running.redis.url.removesuffix("/0") + "/1"}
    limits = {"CHAT_RATE_LIMIT": "1000/m", "MAX_STREAMS_PER_USER": str(PER_USER)}
    first = ServerProcess(environment(running.redis, **limits, **own), upstream=upstream)
    second = ServerProcess(first.env, upstream=upstream)
    with started(first), started(second):
        yield [Door(first, upstream), Door(second, upstream)]


def timed(door: Door, user: str) -> tuple[float, int, dict[str, str], Any]:
    began_at_s = time.monotonic()
    status, headers, body = door.whole(user)
    return time.monotonic() - began_at_s, status, headers, body


class TestTogether:
    def test_guesses_of_a_name_are_counted_together(self, fleet: Fleet) -> None:
        guess = {"username": fleet.user(), "password": "wrong"}
        answers = [
            fleet.doors[number % WORKERS].call("/api/v2/auth/token/", None, json=guess) for number in range(2 * WORKERS)
        ]
        assert [status for status, _, _ in answers] == [401] * 5 + [429] * (2 * WORKERS - 5)
        for _, headers, body in answers[5:]:
            assert 1 <= int(headers["retry-after"]) <= 60
            assert error_of(body)["code"] == "rate_limited"

    def test_of_two_hundred_requests_at_once_exactly_the_limit_is_admitted(self, fleet: Fleet) -> None:
        together = threading.Barrier(200)

        def post(number: int) -> tuple[int, str]:
            together.wait(30)
            status, headers, body = fleet.doors[number % WORKERS].whole(user, seed=number)
            assert status == 200 or 1 <= int(headers["retry-after"]) <= 60
            return status, "" if status == 200 else error_of(body)["code"]

        rounds = 0
        with ThreadPoolExecutor(200) as pool:
            for _ in range(20):
                fleet.wait_shared()
                user, departures = fleet.user(), fleet.departures()
                fleet.doors[0].upstream.reset()
                answers = sorted(pool.map(post, range(200)))
                if fleet.departures() > departures:
                    # A machine that stands still for a moment: a server granted its own share, as it should.
                    continue
                assert answers == [(200, "")] * LIMIT + [(429, "rate_limited")] * (200 - LIMIT)
                assert len(fleet.doors[0].upstream.journal) == LIMIT
                rounds += 1
                if rounds == 2:
                    break
        assert rounds == 2, "Redis was away each time"

    def test_each_answer_says_what_all_have_left(self, fleet: Fleet) -> None:
        user = fleet.user()
        left = [int(fleet.doors[number % WORKERS].whole(user)[1]["x-ratelimit-remaining"]) for number in range(LIMIT)]
        assert left == [4, 3, 2, 1, 0]
        assert fleet.remaining(user) == [0] * WORKERS

    def test_a_slot_is_given_back_to_all(self, fleet: Fleet) -> None:
        user = fleet.user()
        status, headers, _ = fleet.doors[0].whole(user, model="deepseek-flash@status-500", fallback=False)
        assert (status, headers["x-ratelimit-remaining"]) == (502, str(LIMIT))
        assert fleet.remaining(user) == [LIMIT] * WORKERS

    def test_a_bad_request_is_counted_by_all(self, fleet: Fleet) -> None:
        user = fleet.user()
        status, headers, _ = fleet.doors[1].whole(user, temperature=3)
        assert (status, headers["x-ratelimit-remaining"]) == (400, str(LIMIT - 1))
        assert fleet.remaining(user) == [LIMIT - 1] * WORKERS

    def test_one_key_at_once_makes_one_completion(self, fleet: Fleet) -> None:
        """Redis is waited for between the look for the key and the beginning."""
        user, gate = fleet.user(), Gate()
        fleet.doors[0].upstream.script("deepseek", healthy(gate=gate))
        together = threading.Barrier(8)

        def post(number: int) -> tuple[int, str]:
            together.wait(30)
            status, _, body = fleet.doors[0].whole(user, headers={"Idempotency-Key": "one"})
            return status, body["id"]

        with ThreadPoolExecutor(8) as pool:
            answers = [pool.submit(post, number) for number in range(8)]
            gate.wait_reached(1)
            gate.release()
            assert len({one.result(HANG_S) for one in answers}) == 1
        assert len(fleet.doors[0].upstream.journal) == 1
        assert fleet.remaining(user) == [LIMIT - 1] * WORKERS


class TestStreams:
    def hold(self, stack: ExitStack, door: Door, user: str) -> list[SseStream]:
        gate = Gate()
        stack.callback(gate.release)
        streams = []
        for _ in range(PER_USER):
            door.upstream.script("deepseek", healthy(gate=gate, gate_after=1), times=1)
            streams.append(stack.enter_context(door.begin(user)))
            assert streams[-1].status == 200
        return streams

    def test_of_one_server_count_on_the_other_until_they_are_over(self, pair: list[Door]) -> None:
        one, other = pair
        user = one.user()
        other.server._tokens[user] = one.server._tokens[user]
        with ExitStack() as stack:
            streams = self.hold(stack, one, user)
            status, headers, body = other.whole(user)
            assert (status, error_of(body)["code"]) == (429, "too_many_streams")
            assert headers["x-ratelimit-remaining"] == str(1000 - PER_USER)
            streams[0].close()
            soon(lambda: other.whole(user)[0] == 200, other.health, "a free slot")

    def test_of_a_killed_server_come_back_by_themselves(self, pair: list[Door]) -> None:
        survivor, killed = pair
        user = survivor.user()
        killed.server._tokens[user] = survivor.server._tokens[user]
        with ExitStack() as stack:
            self.hold(stack, killed, user)
            killed.server.kill()
            died_at_s = time.monotonic()
            assert survivor.whole(user)[0] == 429
            eventually(lambda: survivor.whole(user)[0] == 200, "the slots of the killed", timeout_s=BACK_S + 1)
            assert time.monotonic() - died_at_s <= BACK_S + REQUEST_S
        killed.server.start()


class TestWithoutRedis:
    def test_killed_each_server_grants_its_share_and_it_counts_afterwards(self, fleet: Fleet) -> None:
        user, spent = fleet.user(), fleet.user()
        for _ in range(LIMIT):
            assert fleet.doors[0].whole(spent)[0] == 200
        fleet.wait_counted()
        fleet.redis.kill()
        try:
            for door in fleet.doors:
                took_s, status, headers, _ = timed(door, user)
                assert took_s < CUT_S + REQUEST_S
                # A quarter of five, and no less than one.
                assert (status, headers["x-ratelimit-remaining"]) == (200, "0")
                took_s, status, headers, body = timed(door, user)
                assert took_s < REQUEST_S
                assert (status, error_of(body)["code"]) == (429, "rate_limited")
                assert 1 <= int(headers["retry-after"]) <= 60
            # Who had used the limit up on this server before is not given another share.
            assert fleet.doors[0].whole(spent)[0] == 429
        finally:
            fleet.redis.start()
        assert fleet.wait_shared() <= RECOVERY_S
        assert fleet.remaining(user) == [LIMIT - WORKERS] * WORKERS
        assert fleet.remaining(spent) == [0] * WORKERS

    def test_hanging_it_costs_one_request_a_quarter_of_a_second(self, fleet: Fleet) -> None:
        asking = [fleet.user() for _ in range(6)]
        before_s = min(timed(fleet.doors[0], asking[0])[0] for _ in range(3))
        fleet.redis.pause()
        try:
            for door in fleet.doors:
                first_s, *_ = timed(door, asking[1])
                assert first_s < before_s + CUT_S + REQUEST_S
                assert min(timed(door, user)[0] for user in asking[2:]) < CUT_S / 2
        finally:
            fleet.redis.resume()
        assert fleet.wait_shared() <= RECOVERY_S

    def test_a_server_starts_without_it(self, fleet: Fleet) -> None:
        """On a Redis of its own that is not there."""
        with RedisServer() as absent:
            absent.kill()
            server = ServerProcess(environment(absent, WEB_CONCURRENCY="1"), upstream=fleet.doors[0].upstream)
            with started(server):
                door = Door(server, fleet.doors[0].upstream)
                user = door.user()
                answers = [timed(door, user) for _ in range(LIMIT + 1)]
                assert [status for _, status, _, _ in answers] == [200] * LIMIT + [429]
                assert max(took_s for took_s, *_ in answers) < CUT_S + REQUEST_S
                absent.start()
                eventually(lambda: absent.do("KEYS", "*:rate"), "slots written down", timeout_s=RECOVERY_S)
                assert door.whole(user)[0] == 429
                assert PASSWORD not in server.output()

    def test_nobody_notices_that_it_lost_its_scripts(self, fleet: Fleet) -> None:
        user = fleet.user()
        fleet.redis.do("SCRIPT", "FLUSH")
        left = [int(fleet.doors[number % WORKERS].whole(user)[1]["x-ratelimit-remaining"]) for number in range(LIMIT)]
        assert left == [4, 3, 2, 1, 0]

    def test_data_that_it_lost_is_written_again(self, fleet: Fleet) -> None:
        user = fleet.user()
        for door in fleet.doors:
            assert door.whole(user)[0] == 200
        fleet.redis.do("FLUSHALL")
        eventually(lambda: fleet.remaining(user) == [LIMIT - WORKERS] * WORKERS, "what was known", timeout_s=RECOVERY_S)

    def test_its_password_is_in_no_log(self, fleet: Fleet) -> None:
        fleet.redis.kill()
        try:
            for door in fleet.doors:
                door.whole(fleet.user())
            eventually(
                lambda: all("Redis is away" in door.server.output() for door in fleet.doors), "a line in each log"
            )
        finally:
            fleet.redis.start()
        assert not [door.server.port for door in fleet.doors if PASSWORD in door.server.output()]

    def test_health_says_so(self, fleet: Fleet) -> None:
        door = fleet.doors[0]
        said = door.health()
        assert (said["cache"]["ok"], said["status"]) == (True, "ok")
        assert 0 <= said["cache"]["latency_ms"] < 1000
        fleet.redis.kill()
        try:
            away = {"ok": False, "latency_ms": None}
            eventually(lambda: door.health()["cache"] == away, "a Redis that is away", timeout_s=RECOVERY_S)
            assert door.health()["status"] == "degraded"
        finally:
            fleet.redis.start()
        eventually(lambda: door.health()["cache"]["ok"], "a Redis that is back", timeout_s=RECOVERY_S)
