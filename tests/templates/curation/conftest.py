from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.accounts import hashers
from tests.templates.curation.pages import PASSWORD, log_in


@pytest.fixture(autouse=True)
def _fresh_state(fresh_state):
    """Of every test here."""


@pytest.fixture(autouse=True)
def _quick_hasher(settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    hashers.reset()


@pytest.fixture
def staff(db):
    return User.objects.create_user("curator", password=PASSWORD, is_staff=True)


@pytest.fixture
def visitor(db):
    return Client(enforce_csrf_checks=True)


@pytest.fixture
def curator(visitor, staff):
    assert log_in(visitor).status_code == 302
    return visitor
