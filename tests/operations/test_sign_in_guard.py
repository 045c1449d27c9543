"""The guard of log-ins over real sockets: who is counted, and what can be learnt."""

from __future__ import annotations

import itertools
import json
import random
import sqlite3
import statistics
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher

from tests.contract.limit_fixtures import Door
from tests.doors.cost import needs_proc, spent_s

TOKEN = "/api/v2/auth/token/"
RIGHT = "the right password"
ROUNDS = 30_000
"""About ten milliseconds of hashing."""
TRIES = 5
"""What the machine is busy with otherwise may spoil a measurement; a fault of ours spoils every one."""
USER = """
INSERT INTO auth_user (username, password, is_superuser, is_staff, is_active, first_name, last_name, email, date_joined)
VALUES (?, ?, 0, 0, ?, '', '', '', '2026-01-01 00:00:00')
"""
_addresses = itertools.count(1)


def add_person(door: Door, *, password: str = RIGHT, rounds: int = 1000, active: bool = True) -> str:
    name = f"person-{uuid.uuid4().hex[:12]}"
    encoded = PBKDF2PasswordHasher().encode(password, "salt" * 6, rounds)
    with closing(sqlite3.connect(door.server.database, timeout=5)) as database, database:
        database.execute(USER, [name, encoded, active])
    return name


def new_address() -> str:
    """Return an address of this machine's that nothing has come from yet."""
    number = next(_addresses)
    return f"127.5.{number // 250}.{number % 250 + 1}"


def attempt(connection: HTTPConnection, name: str, password: str, **headers: str) -> tuple[HTTPResponse, bytes]:
    sent = {"Content-Type": "application/json"} | headers
    connection.request("POST", TOKEN, json.dumps({"username": name, "password": password}), sent)
    response = connection.getresponse()
    return response, response.read()


def status_from(door: Door, source: str, name: str, password: str = "wrong") -> int:
    with closing(HTTPConnection("127.0.0.1", door.server.port, timeout=20, source_address=(source, 0))) as connection:
        return attempt(connection, name, password)[0].status


def in_parallel(count: int, work: Callable[[int], int]) -> Counter[int]:
    start = threading.Barrier(count)

    def run(number: int) -> int:
        start.wait(10)
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return Counter(pool.map(run, range(count)))


@pytest.mark.parametrize("exists", [True, False], ids=["known", "unknown"])
def test_parallel_guesses_of_a_name_from_everywhere(door: Door, exists: bool):
    """Slow enough to overlap, were they let to."""
    password = f"{ROUNDS} rounds of hashing"

    def guess() -> int:
        name = add_person(door, rounds=ROUNDS) if exists else f"nobody-{uuid.uuid4().hex}"
        addresses = [new_address() for _ in range(12)]
        answers = in_parallel(
            12, lambda number: status_from(door, addresses[number], (name, name.upper())[number % 2], password)
        )
        assert set(answers) == {401, 429}
        if answers[401] == 5:
            assert status_from(door, new_address(), name, RIGHT) == 429, "the right one tells no more than a wrong one"
        return answers[401]

    # Should the minute turn on the way, more are let through; it does not turn twice in this time.
    assert 5 in (guess(), guess())


def test_parallel_guesses_of_many_names_from_one_address(door: Door):
    address = new_address()
    answers = in_parallel(45, lambda number: status_from(door, address, f"nobody-{uuid.uuid4().hex}"))
    # Those that find too many before them are refused with 503.
    assert {401, 429} <= set(answers) <= {401, 429, 503}
    # Two are hashed at a time: the one that is under way when the twentieth fails is not called back.
    assert 20 <= answers[401] <= 42
    assert status_from(door, new_address(), add_person(door), RIGHT) == 200


def statuses_of(door: Door, forwarded: str) -> list[int]:
    """Fail 25 times through a trusted peer; `forwarded` is what it says of each, by its number `n`."""
    with closing(HTTPConnection("127.0.0.1", door.server.port, timeout=10)) as connection:
        return [
            attempt(connection, uuid.uuid4().hex, "wrong", **{"X-Forwarded-For": forwarded.format(n=n)})[0].status
            for n in range(25)
        ]


@pytest.mark.parametrize(
    "forwarded",
    [
        "198.51.100.{n}, 203.0.113.21",
        "198.51.100.{n}, 203.0.113.22, 10.0.0.1, 127.0.0.1",
        "198.51.100.{n}, no address {n}, 203.0.113.23:4{n}, 10.1.1.1",
        "2001:db8:21:1::{n:x}",
        "198.51.100.{n}, [2001:db8:22:1::{n:x}]:44{n}",
        "::ffff:203.0.113.24, ::ffff:10.0.0.{n}",
    ],
)
def test_one_client_behind_trusted_proxies(door: Door, forwarded: str):
    # Should the minute turn on the way, the next 25 are of one minute.
    assert 429 in statuses_of(door, forwarded) or 429 in statuses_of(door, forwarded)


@pytest.mark.parametrize(
    "forwarded", ["203.0.114.{n}, 10.0.0.9", "2001:db8:23:{n:x}::1", "198.51.100.7, 203.0.115.{n}"]
)
def test_many_clients_behind_trusted_proxies(door: Door, forwarded: str):
    assert set(statuses_of(door, forwarded)) == {401}


def test_an_underscore_makes_no_second_header(door: Door):
    """Where a proxy sets one spelling and lets the other through, the two must not be read as one."""
    address = "203.0.113.99"

    def status(number: int) -> int:
        with closing(HTTPConnection("127.0.0.1", door.server.port, timeout=10)) as connection:
            said = {"X-Forwarded-For": address, "X_Forwarded_For": f"198.51.100.{number}"}
            return attempt(connection, uuid.uuid4().hex, "wrong", **said)[0].status

    assert 429 in [status(number) for number in range(45)]


def test_nothing_in_the_answer_tells_who_exists(door: Door):
    names = [add_person(door), f"nobody-{uuid.uuid4().hex}", add_person(door, active=False), "n" * 1000]
    answers: list[tuple[int, list[tuple[str, str]], bytes]] = []
    for name in names:
        with closing(HTTPConnection("127.0.0.1", door.server.port, timeout=10)) as connection:
            forwarded = {"X-Forwarded-For": f"203.0.116.{len(answers)}", "X-Request-Id": "the-same"}
            response, body = attempt(connection, name, "wrong", **forwarded)
        headers = {key.lower(): value for key, value in response.getheaders()}
        del headers["date"], headers["traceparent"]
        answers.append((response.status, sorted(headers.items()), body))
    assert answers[0][0] == 401
    assert answers[1:] == answers[:1] * 3


SAMPLES = 30
KNOWN = 10


@needs_proc
def test_time_does_not_tell_who_exists(door: Door):
    """The processor's time: the other time is the machine's."""
    password = f"{ROUNDS} rounds of hashing"
    began_s = time.thread_time()
    PBKDF2PasswordHasher().encode(password, "salt" * 6, ROUNDS)
    hash_s = time.thread_time() - began_s
    seen = []
    for _ in range(TRIES):
        known = [add_person(door, password="another", rounds=ROUNDS) for _ in range(KNOWN)]
        seen.append(medians_s(door, known, password))
        if abs(seen[-1]["known"] - seen[-1]["unknown"]) < hash_s / 3:
            break
    else:
        raise AssertionError(f"hashing takes {hash_s}, log-ins {seen}")
    assert min(seen[-1].values()) > hash_s / 2, "nothing was hashed at all"


def medians_s(door: Door, known: list[str], password: str) -> dict[str, float]:
    server = Path(f"/proc/{door.server.pid}")
    times_s: dict[str, list[float]] = {"known": [], "unknown": []}
    kinds = ["known", "unknown"] * SAMPLES
    random.shuffle(kinds)
    with closing(HTTPConnection("127.0.0.1", door.server.port, timeout=10)) as connection:
        for number, kind in enumerate(kinds):
            # Each known name four times: a fifth failure would be the last that is let through.
            name = known[len(times_s["known"]) % KNOWN] if kind == "known" else f"nobody-{uuid.uuid4().hex[:11]}"
            address = {"X-Forwarded-For": f"198.18.{number}.{random.randrange(1, 250)}"}
            began_s = spent_s(server)
            response, _ = attempt(connection, name, password, **address)
            times_s[kind].append(spent_s(server) - began_s)
            assert response.status == 401
    return {kind: statistics.median(times) for kind, times in times_s.items()}
