"""Two worker processes on one database: what one ends, the other no longer knows.

The seconds for which a token is remembered pass beside the other tests of the package.
"""

from __future__ import annotations

import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher

from apps.accounts.families import REPLAY_WINDOW_S
from tests.accounts.forgery import claims_of
from tests.contract.limit_fixtures import rows_of
from tests.server import PASSWORD, ServerProcess
from tests.waiting import HANG_S

OUT_WITHIN_S = 5.0
CROWD = 50
USER = """
INSERT INTO auth_user (username, password, is_superuser, is_staff, is_active, first_name, last_name, email, date_joined)
VALUES (?, ?, 0, 0, 1, '', '', '', '2026-01-01 00:00:00')
"""


@dataclass(frozen=True)
class Workers:
    """Two processes on one database."""

    one: ServerProcess
    other: ServerProcess

    def log_in(self) -> tuple[str, Any]:
        """Make a user, log in, and return the name and the token pair."""
        name = f"racer-{uuid.uuid4().hex[:12]}"
        self.change(USER, name, PBKDF2PasswordHasher().encode(PASSWORD, "salt" * 6, 1000))
        status, pair = post(self.one, "token/", username=name, password=PASSWORD)
        assert status == 200
        return name, pair

    def change(self, statement: str, *values: object) -> None:
        """Change the database as another process would."""
        with closing(sqlite3.connect(self.one.database, timeout=5)) as database, database:
            database.execute(statement, values)

    def let_time_pass(self, refresh: str) -> None:
        """Move the use of a token into the past, beyond the window in which it is answered again."""
        at = f"datetime(rotated_at, '-{REPLAY_WINDOW_S + 1} seconds')"
        self.change(f"UPDATE accounts_refreshtoken SET rotated_at = {at} WHERE jti = ?", claims_of(refresh)["jti"])

    def everywhere(self) -> tuple[ServerProcess, ServerProcess]:
        return self.one, self.other


def post(server: ServerProcess, path: str, **body: str) -> tuple[int, Any]:
    status, _, answer = server.call(f"/api/v2/auth/{path}", user=None, json=body)
    return status, answer


def me(server: ServerProcess, access: str) -> int:
    return server.call("/api/v2/auth/me/", user=None, headers={"Authorization": f"Bearer {access}"})[0]


@pytest.fixture(scope="module")
def workers(servers: tuple[ServerProcess, ServerProcess]) -> Workers:
    return Workers(*servers)


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(CROWD) as pool:
        yield pool


# --- whoever leaves


def disable(workers: Workers, name: str, pair: Any) -> None:
    workers.change("UPDATE auth_user SET is_active = 0 WHERE username = ?", name)


def change_password(workers: Workers, name: str, pair: Any) -> None:
    workers.change("UPDATE auth_user SET password = '!' || password WHERE username = ?", name)


def delete(workers: Workers, name: str, pair: Any) -> None:
    family = claims_of(pair["refresh"])["family"]
    workers.change("DELETE FROM accounts_refreshtoken WHERE family_id = ?", family)
    workers.change("DELETE FROM accounts_refreshfamily WHERE id = ?", family)
    workers.change("DELETE FROM auth_user WHERE username = ?", name)


def log_out(workers: Workers, name: str, pair: Any) -> None:
    assert post(workers.one, "logout/", refresh=pair["refresh"])[0] == 205


def steal(workers: Workers, name: str, pair: Any) -> None:
    assert post(workers.one, "token/refresh/", refresh=pair["refresh"])[0] == 200
    workers.let_time_pass(pair["refresh"])
    assert post(workers.one, "token/refresh/", refresh=pair["refresh"])[0] == 401


WAYS: tuple[Callable[[Workers, str, Any], None], ...] = (disable, change_password, delete, log_out, steal)


@dataclass
class Departure:
    """When somebody left, and what was answered to them on each worker from then on: (seconds after, status)."""

    left_at_s: float
    answers: dict[ServerProcess, list[tuple[float, int]]]

    @property
    def is_over(self) -> bool:
        """Whether it is refused everywhere, or should have been when it was last asked for."""
        refused = all(answers[-1][1] == 401 for answers in self.answers.values())
        return refused or min(answers[-1][0] for answers in self.answers.values()) > OUT_WITHIN_S

    def lasted_s(self, server: ServerProcess) -> float:
        """Return when the last answer but a refusal began."""
        return max((at_s for at_s, status in self.answers[server] if status != 401), default=0.0)


def watch(workers: Workers) -> dict[str, Departure]:
    """Have somebody leave in each way, just after both workers have verified their token, and ask on for 5 s."""
    departures = {}
    tokens = {}
    for way in WAYS:
        name, pair = workers.log_in()
        assert [me(server, pair["access"]) for server in workers.everywhere()] == [200, 200]
        tokens[way.__name__] = pair["access"]
        way(workers, name, pair)
        departure = Departure(time.monotonic(), {server: [] for server in workers.everywhere()})
        departures[way.__name__] = departure
        look(departure, pair["access"])
    pause = threading.Event()
    while not all(one.is_over for one in departures.values()):
        pause.wait(0.2)
        for name, departure in departures.items():
            look(departure, tokens[name])
    return departures


def look(departure: Departure, access: str) -> None:
    for server, answers in departure.answers.items():
        asked_at_s = time.monotonic() - departure.left_at_s
        answers.append((asked_at_s, me(server, access)))


@pytest.fixture(scope="module", autouse=True)
def departures(workers: Workers) -> Iterator[Future[dict[str, Departure]]]:
    """Begun with the first test of the module, looked at by those that are about it."""
    with ThreadPoolExecutor(1) as one:
        yield one.submit(watch, workers)


# --- tests


def test_fifty_refreshes_of_one_token_on_two_workers_make_one_chain(workers: Workers, pool: ThreadPoolExecutor):
    _, pair = workers.log_in()
    family = claims_of(pair["refresh"])["family"]
    start = threading.Barrier(CROWD)
    token = pair["refresh"]

    def refresh(number: int) -> tuple[int, str]:
        start.wait(20)
        for _ in range(CROWD):
            status, headers, answer = workers.everywhere()[number % 2].call(
                "/api/v2/auth/token/refresh/", user=None, json={"refresh": token}
            )
            if status != 429:
                break
            # So many of one log-in are before it that its turn does not come in time: it asks again.
            assert 1 <= int(headers["retry-after"]) <= 2
        return status, answer.get("refresh")

    for length in (2, 3):
        answers = set(pool.map(refresh, range(CROWD)))
        assert len(answers) == 1, answers
        ((status, token),) = answers
        assert status == 200
        count = "SELECT count(*), count(rotated_at) FROM accounts_refreshtoken WHERE family_id = ?"
        assert rows_of(workers.one, count, family) == [(length, length - 1)]


def test_a_theft_seen_by_one_worker_kills_the_descendants_on_the_other_at_once(workers: Workers):
    _, stolen = workers.log_in()
    _, second = post(workers.other, "token/refresh/", refresh=stolen["refresh"])
    _, third = post(workers.one, "token/refresh/", refresh=second["refresh"])
    workers.let_time_pass(stolen["refresh"])
    assert post(workers.one, "token/refresh/", refresh=stolen["refresh"])[0] == 401
    for server in (workers.other, workers.one):
        for pair in (second, third):
            assert post(server, "token/refresh/", refresh=pair["refresh"])[0] == 401
            assert post(server, "token/verify/", token=pair["access"])[0] == 401
            assert me(server, pair["access"]) == 401


def test_another_log_in_of_the_robbed_lives_on(workers: Workers):
    name, stolen = workers.log_in()
    _, own = post(workers.other, "token/", username=name, password=PASSWORD)
    steal(workers, name, stolen)
    assert [me(server, own["access"]) for server in workers.everywhere()] == [200, 200]
    assert post(workers.other, "token/refresh/", refresh=own["refresh"])[0] == 200


@pytest.mark.parametrize("way", [way.__name__ for way in WAYS])
def test_whoever_leaves_is_out_within_five_seconds_on_every_worker(
    departures: Future[dict[str, Departure]], workers: Workers, way: str
):
    departure = departures.result(HANG_S)[way]
    for server in workers.everywhere():
        assert departure.lasted_s(server) < OUT_WITHIN_S
        assert departure.answers[server][-1][1] == 401
    assert departure.answers[workers.other][0][1] == 200, "it was remembered, or this test shows nothing"


@pytest.mark.parametrize("way", ["log_out", "steal"])
def test_the_worker_that_saw_the_end_forgets_at_once(
    departures: Future[dict[str, Departure]], workers: Workers, way: str
):
    assert departures.result(HANG_S)[way].lasted_s(workers.one) == 0.0
