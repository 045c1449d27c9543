"""API keys over HTTP and by command: made, shown once, used, held to their scopes, revoked."""

from __future__ import annotations

import io
import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts import api_keys, identity
from apps.accounts.access import Scope
from apps.accounts.api_keys import MOST_KEYS_OF_USER, development_key_ensure, key_create, key_revoke, key_used
from apps.accounts.families import family_open
from apps.accounts.identity import authenticate, authenticate_token
from apps.accounts.key_fields import read_key_fields
from apps.accounts.key_form import key_digest, new_key, read_key
from apps.accounts.memory import TokenMemory
from apps.accounts.models import ApiKey
from apps.llm.errors import AuthenticationFailed, InvalidRequest
from promptcraft.database import run_in_database
from tests.each import each

FORM = re.compile(r"pc-[A-Za-z0-9_-]{43}")
LATER = (datetime.now(UTC) + timedelta(days=3)).replace(microsecond=0)


@pytest.fixture
def call(api, pair):
    """Call a path of the accounts as the user who logged in, or with another bearer."""

    def ask(method, path, body=None, bearer=pair.access):
        return api.generic(
            method,
            f"/api/v2/auth/{path}",
            "" if body is None else json.dumps(body),
            content_type="application/json",
            headers={"authorization": f"Bearer {bearer}"},
        )

    return ask


def error_of(response):
    return response.json()["error"]


def test_a_key_is_shown_once_and_kept_as_its_digest(call, user):
    made = call("POST", "keys/", {"name": "CI"})
    assert made.status_code == 201
    body = made.json()
    key = body.pop("key")
    assert FORM.fullmatch(key)
    assert body == {
        "id": body["id"],
        "name": "CI",
        "start": key[:8],
        "scopes": ["chat"],
        "models": [],
        "created_at": body["created_at"],
        "expires_at": None,
        "last_used_at": None,
    }
    assert call("GET", "keys/").json() == {"results": [body], "next": None}
    row = ApiKey.objects.get()
    assert row.digest == key_digest(key)
    assert key not in str(vars(row))


def test_a_key_is_its_user(call, user):
    key = call("POST", "keys/", {"name": "CI"}).json()["key"]
    me = call("GET", "me/", bearer=key)
    assert (me.status_code, me.json()["username"]) == (200, user.username)


@each(
    ("body", "param"),
    [
        ({}, "name"),
        ({"name": None}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "x\0"}, "name"),
        ({"name": "x\ny"}, "name"),
        ({"name": "\x1b[31mx"}, "name"),
        ({"name": "x\u202ey"}, "name"),
        ({"name": " \u3000"}, "name"),
        ({"name": 1}, "name"),
        ({"name": "x", "scopes": []}, "scopes"),
        ({"name": "x", "scopes": "chat"}, "scopes"),
        ({"name": "x", "scopes": ["chat", "all"]}, "scopes[1]"),
        ({"name": "x", "scopes": ["chat", 1]}, "scopes[1]"),
        ({"name": "x", "models": [""]}, "models[0]"),
        ({"name": "x", "models": ["a\n"]}, "models[0]"),
        ({"name": "x", "models": ["a"] * 51}, "models"),
        ({"name": "x", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "x", "expires_at": "2099-01-01T00:00:00"}, "expires_at"),
        ({"name": "x", "expires_at": "0001-01-01T00:00:00+14:00"}, "expires_at"),
        ({"name": "x", "expires_at": "soon"}, "expires_at"),
        ({"name": "x", "expires_at": 4102444800}, "expires_at"),
        ({"name": "x", "daily_usd": 1.5}, "daily_usd"),
        ({"name": "x", "monthly_usd": 0}, "monthly_usd"),
    ],
)
def test_what_is_malformed_is_named(call, body, param):
    refused = call("POST", "keys/", body)
    assert (refused.status_code, error_of(refused)["param"]) == (400, param)
    assert not ApiKey.objects.exists()


def test_a_key_that_would_be_dead_when_it_is_shown_is_not_made(monkeypatch):
    now = datetime(2027, 1, 31, 12, 0, 5, 200_000, tzinfo=UTC)
    monkeypatch.setattr(timezone, "now", lambda: now)

    def expiry(at):
        return read_key_fields({"name": "x", "expires_at": at}).expires_at

    for at in ("2027-01-31T12:00:05.900Z", "2027-01-31T12:00:05Z", "2027-01-31T17:30:05+05:30"):
        with pytest.raises(InvalidRequest) as caught:
            expiry(at)
        assert caught.value.param == "expires_at"
    assert expiry("2027-01-31T13:00:06.900+01:00") == now.replace(second=6, microsecond=0)


def test_null_is_absent_and_what_is_said_twice_is_said_once(call):
    body = {"name": "x", "scopes": ["usage", "chat", "usage"], "models": None, "expires_at": LATER.isoformat()}
    made = call("POST", "keys/", body).json()
    assert (made["scopes"], made["models"]) == (["usage", "chat"], [])
    assert made["expires_at"] == LATER.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_keys_make_no_keys(call, user):
    _, key = key_create(user_id=user.pk, name="all", scopes=tuple(Scope))
    for method, path in (("GET", "keys/"), ("POST", "keys/"), ("DELETE", f"keys/{ApiKey.objects.get().pk}/")):
        refused = call(method, path, {"name": "x"} if method == "POST" else None, bearer=key)
        assert (refused.status_code, error_of(refused)["code"]) == (403, "forbidden")
    assert call("POST", "password/", {"old": "a", "new": "b"}, bearer=key).status_code == 403
    user.is_staff = True
    user.save()
    assert call("GET", "users/", bearer=key).status_code == 403
    assert ApiKey.objects.count() == 1


def test_revoked_at_once_here_and_once_only(call, user):
    made = call("POST", "keys/", {"name": "CI"}).json()
    assert call("GET", "me/", bearer=made["key"]).status_code == 200
    assert call("DELETE", f"keys/{made['id']}/").status_code == 204
    assert error_of(call("GET", "me/", bearer=made["key"]))["code"] == "invalid_token"
    assert call("DELETE", f"keys/{made['id']}/").status_code == 404


def test_another_users_key_is_as_absent_as_none(call, db):
    eve = User.objects.create_user("eve")
    row, _ = key_create(user_id=eve.pk, name="hers")
    refused = [error_of(call("DELETE", f"keys/{key_id}/")) for key_id in (row.pk, read_key(new_key(1)).family_id)]
    assert [one.pop("request_id") for one in refused]
    assert refused[0] == refused[1]
    assert ApiKey.objects.count() == 1


def test_a_user_has_so_many_keys(call, user, monkeypatch):
    monkeypatch.setattr(api_keys, "MOST_KEYS_OF_USER", 2)
    assert [call("POST", "keys/", {"name": "x"}).status_code for _ in range(3)] == [201, 201, 400]
    assert MOST_KEYS_OF_USER == 100


def test_it_is_asked_for_once_in_a_while(call, user, clock):
    _, key = key_create(user_id=user.pk, name="x")
    assert call("GET", "me/", bearer=key).status_code == 200
    with CaptureQueriesContext(connection) as queries:
        assert call("GET", "me/", bearer=key).status_code == 200
    assert not queries


@each(
    "end", [lambda row: row.delete(), lambda row: User.objects.update(is_active=False), lambda row: row.user.delete()]
)
@pytest.mark.django_db(transaction=True)
async def test_what_ends_elsewhere_is_felt_within_5_s(end, clock):
    def start():
        user = User.objects.create_user("ada")
        return key_create(user_id=user.pk, name="x")

    row, key = await run_in_database(start)
    header = f"Bearer {key}"
    shown = (await authenticate(header)).key
    assert shown is not None
    assert shown.id == row.pk
    await run_in_database(end, row)
    clock.now += 4.99
    with pytest.raises(AuthenticationFailed):
        await authenticate(header)
    await run_in_database(User.objects.all().delete)


class Wall:
    def __init__(self, now_s):
        self.now_s = now_s

    def __call__(self):
        return self.now_s


def test_it_expires_at_its_second(call, user, monkeypatch):
    _, key = key_create(user_id=user.pk, name="x", expires_at=LATER)
    wall = Wall(LATER.timestamp() - 0.001)
    monkeypatch.setattr(identity, "_memory", TokenMemory(wall_clock=wall))
    assert call("GET", "me/", bearer=key).status_code == 200
    wall.now_s = LATER.timestamp()
    assert identity._memory.recall(key) is None
    ApiKey.objects.update(expires_at=datetime.now(UTC))
    assert call("GET", "me/", bearer=key).status_code == 401


@pytest.mark.django_db(transaction=True)
async def test_a_socket_takes_no_key():
    def start():
        return key_create(user_id=User.objects.create_user("ada").pk, name="x")[1]

    key = await run_in_database(start)
    await authenticate(f"Bearer {key}")
    with pytest.raises(AuthenticationFailed):
        await authenticate_token(key)


def test_its_use_is_noted_to_the_minute(user):
    row, _ = key_create(user_id=user.pk, name="x")
    key_used(row.pk)
    first = ApiKey.objects.get().last_used_at
    assert first is not None
    key_used(row.pk)
    assert ApiKey.objects.get().last_used_at == first
    ApiKey.objects.update(last_used_at=first - timedelta(seconds=60))
    key_used(row.pk)
    again = ApiKey.objects.get().last_used_at
    assert again is not None
    assert again >= first


def test_the_development_key_stays_the_same(user, settings):
    key = development_key_ensure(user=user)
    assert FORM.fullmatch(key)
    assert development_key_ensure(user=user) == key
    assert ApiKey.objects.get().scopes == ["chat", "templates", "usage"]
    other = User.objects.create_user("bea")
    assert development_key_ensure(user=other) != key


def run(*arguments):
    out = io.StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_by_command(user, call):
    key = run("create_api_key", "ada", "--name", "CI", "--scopes", "chat", "usage", "--days", "3").strip()
    assert call("GET", "me/", bearer=key).status_code == 200
    (line,) = run("list_api_keys").splitlines()
    assert key[:8] in line
    assert key not in line
    assert run("list_api_keys", "nobody") == ""
    key_id = line.split()[0]
    assert run("revoke_api_key", key_id) == f"key {key_id} revoked\n"
    assert call("GET", "me/", bearer=key).status_code == 401


@each(
    "arguments",
    [
        ("create_api_key", "nobody", "--name", "x"),
        ("create_api_key", "ada", "--name", ""),
        ("create_api_key", "ada", "--name", "x", "--scopes", "all"),
        ("create_api_key", "ada", "--name", "x", "--days", "-1"),
        ("create_api_key", "ada", "--name", "x", "--days", "99999999"),
        ("revoke_api_key", "0b2f6e5a-d1c9-4c0e-9b7d-3c1f8a6e4d20"),
    ],
)
def test_a_command_says_in_one_line_what_is_wrong(user, arguments):
    with pytest.raises(CommandError) as caught:
        run(*arguments)
    assert "\n" not in str(caught.value)


def test_another_log_in_sees_the_keys(call, user):
    row, _ = key_create(user_id=user.pk, name="x")
    other = family_open(user=user)
    assert call("GET", "keys/", bearer=other.access).json()["results"][0]["id"] == str(row.pk)
    key_revoke(key_id=row.pk)
    assert call("GET", "keys/", bearer=other.access).json()["results"] == []
