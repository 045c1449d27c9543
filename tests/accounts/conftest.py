from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from apps.accounts import identity
from apps.accounts.families import family_open
from apps.accounts.memory import TokenMemory
from apps.limits import opening
from apps.limits.process import ProcessWindows
from tests.accounts import hashers

AUTH = "/api/v2/auth/"
PASSWORD = "correct horse battery"


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _fresh_state(settings):
    # The real hasher takes a third of a second, on purpose.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    hashers.reset()
    identity._memory.clear()


@pytest.fixture(autouse=True)
def windows_clock(monkeypatch):
    """Windows in which nothing was counted yet, on a clock to turn."""
    clock = Clock()
    monkeypatch.setattr(opening, "_windows", ProcessWindows(clock))
    return clock


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(identity, "_memory", TokenMemory(clock=clock))
    return clock


@pytest.fixture
def user(db):
    return User.objects.create_user("ada", email="ada@example.org", password=PASSWORD)


@pytest.fixture
def pair(user):
    return family_open(user=user)


@pytest.fixture
def api():
    return APIClient()


@pytest.fixture
def post(api):
    def send(path, body, **extra):
        return api.post(f"{AUTH}{path}", body, format="json", **extra)

    return send


@pytest.fixture
def me(api):
    def send(header=None):
        return api.get(f"{AUTH}me/", headers={} if header is None else {"authorization": header})

    return send


def error_of(response):
    """The error of an answer without what differs from request to request."""
    error = dict(response.json()["error"])
    assert error.pop("request_id")
    return error
