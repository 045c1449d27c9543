from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from tests.accounts import hashers
from tests.accounts.conftest import AUTH, PASSWORD, error_of
from tests.accounts.test_refresh import in_threads
from tests.each import each
from tests.templates.visibility import undone

GOOD = {"username": "grace", "email": "grace@EXAMPLE.org", "password": "a sound passphrase"}


@pytest.fixture
def _open(settings, db):
    settings.REGISTRATION_OPEN = True


@each("method", ["get", "post", "put", "patch", "delete", "options"], around=undone)
def test_closed_it_is_as_absent_as_any_other_path(method, api, db):
    closed = getattr(api, method)(f"{AUTH}register/")
    absent = getattr(api, method)(f"{AUTH}no-such-path/")
    assert closed.status_code == absent.status_code == 404
    assert error_of(closed) == error_of(absent)
    vary = {"X-Request-Id", "traceparent", "Content-Length"}
    assert set(closed.headers) - vary == set(absent.headers) - vary


@pytest.mark.usefixtures("_open")
def test_registers(post):
    response = post("register/", GOOD)
    user = User.objects.get()
    assert response.status_code == 201
    assert response.json() == {"id": user.pk, "username": "grace", "email": "grace@example.org"}
    assert not user.is_staff
    assert not user.is_superuser
    assert post("token/", {"username": "grace", "password": GOOD["password"]}).status_code == 200


@pytest.mark.usefixtures("_open")
@each(
    ("changes", "code", "param"),
    [
        ({"username": ...}, "missing_field", "username"),
        ({"email": ...}, "missing_field", "email"),
        ({"password": ...}, "missing_field", "password"),
        ({"username": None}, "invalid_value", "username"),
        ({"username": ""}, "invalid_value", "username"),
        ({"username": ["grace"]}, "invalid_value", "username"),
        ({"username": "two words"}, "invalid_value", "username"),
        ({"username": "grace\n"}, "invalid_value", "username"),
        ({"username": "nul\0"}, "invalid_value", "username"),
        ({"username": "g" * 151}, "invalid_value", "username"),
        ({"username": "\ufdfa" * 100}, "invalid_value", "username"),
        ({"username": "g" * 100_000}, "invalid_value", "username"),
        ({"email": "nobody"}, "invalid_value", "email"),
        ({"email": "a@b@c"}, "invalid_value", "email"),
        ({"email": "nul\0@example.org"}, "invalid_value", "email"),
        ({"email": "a" * 300 + "@example.org"}, "invalid_value", "email"),
        ({"password": "short1x"}, "invalid_value", "password"),
        ({"password": "password123"}, "invalid_value", "password"),
        ({"password": "2718281828459045"}, "invalid_value", "password"),
        ({"password": "gracegrace", "username": "gracegrace1"}, "invalid_value", "password"),
        ({"password": "p" * 4097}, "invalid_value", "password"),
        ({"password": 12345678}, "invalid_value", "password"),
        ({"password": "nul\0 nul nul nul"}, "invalid_value", "password"),
    ],
    around=undone,
)
def test_bad_fields(changes, code, param, post):
    body = {name: value for name, value in {**GOOD, **changes}.items() if value is not ...}
    response = post("register/", body)
    error = error_of(response)
    assert (response.status_code, error["code"], error["param"]) == (400, code, param)
    assert error["type"] == "invalid_request_error"
    assert not User.objects.exists()


@pytest.mark.usefixtures("_open")
@each("name", ["ada", "ADA", "\uff41da"], around=undone)
def test_taken_names(name, user, post):
    response = post("register/", {**GOOD, "username": name})
    assert (response.status_code, error_of(response)["param"]) == (400, "username")
    assert User.objects.count() == 1
    assert User.objects.get().check_password(PASSWORD)


@pytest.mark.usefixtures("_open")
def test_what_is_not_asked_for_is_not_taken(post):
    post("register/", {**GOOD, "is_staff": True, "is_superuser": True, "id": 99})
    assert User.objects.filter(is_staff=False, is_superuser=False).exclude(pk=99).count() == 1


@pytest.mark.usefixtures("_open")
def test_no_minute_has_more_than_twenty_from_an_address(post, windows_clock):
    """Whatever becomes of them, and across the turn of a minute too."""
    windows_clock.now = 1_019.9
    told = []
    for number in range(40):
        if number == 20:
            windows_clock.now += 1
        told.append(post("register/", {**GOOD, "username": f"g {number}"}).status_code)
    assert told == [400] * 20 + [429] * 20
    windows_clock.now = 1_079.9
    assert post("register/", GOOD).status_code == 201


@pytest.mark.usefixtures("_open")
def test_twenty_a_minute_from_one_address(post):
    codes = [post("register/", {**GOOD, "username": f"grace{number}"}).status_code for number in range(22)]
    assert codes == [201] * 20 + [429] * 2
    assert post("register/", GOOD, REMOTE_ADDR="192.0.2.7").status_code == 201


@pytest.mark.django_db(transaction=True)
def test_parallel_registrations_of_one_name_make_one_user(settings):
    settings.REGISTRATION_OPEN = True
    settings.PASSWORD_HASHERS = ["tests.accounts.hashers.WatchedHasher"]
    # Both have found the name free when they meet.
    hashers.reset(meeting_of=2)

    def register(number):
        return APIClient().post(f"{AUTH}register/", GOOD, format="json").status_code

    assert sorted(in_threads(2, register)) == [201, 400]
    assert User.objects.count() == 1
