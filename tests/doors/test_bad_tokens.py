"""The corpus of bad tokens over a socket, before a server that would break at its first query."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from django.conf import settings

from tests.accounts.forgery import forge, good_claims
from tests.accounts.test_bad_tokens import CASES
from tests.contract.limit_fixtures import CALM, COMPLETIONS, Door, error_of, started
from tests.doors.test_heads import exchange
from tests.each import each
from tests.server import ServerProcess
from tests.upstream import UpstreamServer

PATHS = ("/api/v2/auth/me/", COMPLETIONS)
# No header can hold these; whoever tries gets a 400 for the head.
UNSENDABLE = {"trailing NUL", "a line break inside", "a NUL in a key"}


class Pair:
    """Tokens that are well made and stand for nobody, signed with the server's key. Made when used: they expire."""

    def __init__(self) -> None:
        self.access = forge(good_claims())
        self.refresh = forge(good_claims(token_type="refresh"))


@pytest.fixture(scope="module")
def blind() -> Iterator[Door]:
    """A server that signs with the key of the forger and has none of the tables that it would ask."""
    with UpstreamServer() as upstream:
        server = ServerProcess(CALM | {"SECRET_KEY": str(settings.SIMPLE_JWT["SIGNING_KEY"])}, upstream=upstream)
        with started(server):
            with closing(sqlite3.connect(server.database, timeout=5)) as database:
                database.executescript(
                    "DROP TABLE accounts_refreshtoken; DROP TABLE accounts_refreshfamily;DROP TABLE accounts_apikey;"
                )
            yield Door(server, upstream)


def ask(door: Door, path: str, header: str | None) -> tuple[int, dict[str, str], bytes]:
    lines = [f"GET {path} HTTP/1.1".encode(), b"Host: here", b"Connection: close"]
    if header is not None:
        lines.append(b"Authorization: " + header.encode())
    return exchange(door, b"\r\n".join([*lines, b"", b""]))


def test_a_query_would_be_seen(blind: Door) -> None:
    for path in PATHS:
        status, _, body = ask(blind, path, f"Bearer {Pair().access}")
        assert (status, error_of(json.loads(body))["code"]) == (503, "overloaded")


def test_there_are_many() -> None:
    assert len({name for name, _, _ in CASES}) >= 40
    assert len({make(Pair()) for _, make, _ in CASES}) >= 100


@each("path", PATHS)
@each(("name", "make", "code"), CASES, ids=[case[0] for case in CASES])
def test_each_is_refused_without_a_query(blind: Door, path: str, name: str, make: object, code: str) -> None:
    header = make(Pair())  # type: ignore[operator]
    status, headers, body = ask(blind, path, header)
    error = error_of(json.loads(body))
    if name in UNSENDABLE:
        assert (status, error["code"]) == (400, "invalid_value")
        return
    assert (status, error["code"], error["type"]) == (401, code, "authentication_error")
    assert headers["www-authenticate"] == "bearer"
    assert header is None or len(header) < 20 or header.encode() not in body


@each("path", ["token/verify/", "token/refresh/", "logout/"])
def test_so_they_are_in_a_body(blind: Door, path: str) -> None:
    field = "token" if path == "token/verify/" else "refresh"
    for name, make, code in CASES:
        pair = Pair()
        header = make(pair)
        if header is None or not header.startswith("Bearer ") or code == "missing_token":
            continue
        token = header.removeprefix("Bearer ").strip()
        if token in (pair.refresh, ""):
            # It would be asked for.
            continue
        status, _, body = blind.call(f"/api/v2/auth/{path}", None, json={field: token})
        if "\0" in token:
            assert (status, error_of(body)["code"]) == (400, "invalid_value")
            continue
        assert (status, error_of(body)["code"]) == (401, code), name
