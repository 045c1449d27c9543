"""A new password, and what staff do with users."""

from __future__ import annotations

import json

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from apps.accounts.api_keys import key_create
from apps.accounts.families import family_open
from tests.accounts.conftest import PASSWORD
from tests.each import each

NEW = "another sound passphrase"


@pytest.fixture
def call(api):
    def ask(method, path, bearer, body=None):
        return api.generic(
            method,
            f"/api/v2/auth/{path}",
            "" if body is None else json.dumps(body),
            content_type="application/json",
            headers={"authorization": f"Bearer {bearer}"},
        )

    return ask


def test_a_new_password_ends_every_log_in_and_no_key(user, pair, call, post):
    other, (_, key) = family_open(user=user), key_create(user_id=user.pk, name="x")
    assert call("GET", "me/", other.access).status_code == 200
    assert call("POST", "password/", pair.access, {"old": PASSWORD, "new": NEW}).status_code == 204
    assert [call("GET", "me/", bearer).status_code for bearer in (pair.access, other.access, key)] == [401, 401, 200]
    assert post("token/refresh/", {"refresh": pair.refresh}).status_code == 401
    assert post("token/", {"username": "ada", "password": PASSWORD}).status_code == 401
    assert post("token/", {"username": "ada", "password": NEW}).status_code == 200


@each(
    ("body", "param"),
    [
        ({"new": NEW}, "old"),
        ({"old": PASSWORD}, "new"),
        ({"old": "wrong", "new": NEW}, "old"),
        ({"old": PASSWORD, "new": "weak"}, "new"),
        ({"old": PASSWORD, "new": "ada@example.org"}, "new"),
        ({"old": PASSWORD, "new": ""}, "new"),
        ({"old": ["x"], "new": NEW}, "old"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_changes(user, pair, call, body, param):
    refused = call("POST", "password/", pair.access, body)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)
    assert call("GET", "me/", pair.access).status_code == 200
    user.refresh_from_db()
    assert user.check_password(PASSWORD)


def test_guesses_of_the_old_password_count_as_failed_log_ins(user, pair, call, post):
    statuses = [call("POST", "password/", pair.access, {"old": "wrong", "new": NEW}).status_code for _ in range(6)]
    assert statuses == [400] * 5 + [429]
    assert post("token/", {"username": "ada", "password": PASSWORD}).status_code == 429


@pytest.fixture
def staff(user, pair):
    user.is_staff = True
    user.save()
    return pair.access


def test_staff_see_users_in_pages(staff, user, call):
    made = [User.objects.create_user(f"user-{number}") for number in range(3)]
    first = call("GET", "users/?limit=2", staff).json()
    second = call("GET", f"users/?limit=2&after={first['next']}", staff).json()
    assert [one["username"] for one in first["results"] + second["results"]] == [
        "ada",
        *(one.username for one in made),
    ]
    assert second["next"] is None
    assert first["results"][0] == {
        "id": user.pk,
        "username": "ada",
        "email": "ada@example.org",
        "is_active": True,
        "is_staff": True,
    }


@each("query", ["limit=0", "limit=101", "limit=x", "after=-1", "after=%00", "limit=1.5", "after=" + "9" * 40])
def test_a_bad_page_is_refused(staff, call, query):
    refused = call("GET", f"users/?{query}", staff)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, query.partition("=")[0])


def test_a_disabled_user_is_out_and_may_come_back(staff, call):
    bea = User.objects.create_user("bea")
    log_in, (_, key) = family_open(user=bea), key_create(user_id=bea.pk, name="x")
    assert call("POST", f"users/{bea.pk}/disable/", staff).json()["is_active"] is False
    assert [call("GET", "me/", bearer).status_code for bearer in (log_in.access, key)] == [401, 401]
    assert call("POST", f"users/{bea.pk}/enable/", staff).json()["is_active"] is True
    # A log-in that was ended stays so; the key was only suspended.
    assert [call("GET", "me/", bearer).status_code for bearer in (log_in.access, key)] == [401, 200]


def test_staff_do_not_disable_themselves(staff, user, call):
    assert call("POST", f"users/{user.pk}/disable/", staff).status_code == 400
    user.refresh_from_db()
    assert user.is_active


@each(("is_superuser", "status"), [(False, 403), (True, 200)])
def test_a_superuser_is_disabled_by_another_alone(staff, user, call, is_superuser, status):
    User.objects.filter(pk=user.pk).update(is_superuser=is_superuser)
    root = User.objects.create_superuser(f"root-{status}")
    for state in ("disable", "enable"):
        assert call("POST", f"users/{root.pk}/{state}/", staff).status_code == status


def test_by_command(user, pair, call, capsys):
    call_command("disable_user", "ada")
    assert call("GET", "me/", pair.access).status_code == 401
    assert not User.objects.get().is_active
    call_command("enable_user", "ada")
    assert User.objects.get().is_active
    assert capsys.readouterr().out == "user ada disabled\nuser ada enabled\n"
    for command in ("disable_user", "enable_user"):
        with pytest.raises(CommandError):
            call_command(command, "nobody")


@each("path", ["users/999999/disable/", f"users/{2**62}/enable/", f"users/{10**30}/disable/"])
def test_nobody_is_not_found(staff, call, path):
    assert call("POST", path, staff).status_code == 404


@each("path", ["users/", "users/1/disable/", "users/1/enable/"])
def test_others_may_not(pair, call, path):
    assert call("GET" if path == "users/" else "POST", path, pair.access).status_code == 403
