"""API keys in the admin: made once, seen, revoked."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User

from apps.accounts.api_keys import key_create
from apps.accounts.key_form import key_digest
from apps.accounts.models import ApiKey
from tests.each import each
from tests.templates.curation.pages import ADMIN, send

KEYS = f"{ADMIN}accounts/apikey/"
FORM = {"name": "CI", "scopes": "chat&scopes=usage", "expires_at_0": "", "expires_at_1": ""}


def test_a_key_is_shown_on_the_next_page_alone(curator, staff):
    assert send(curator, f"{KEYS}add/", FORM).status_code == 302
    (key,) = re.findall(r"pc-[A-Za-z0-9_-]{43}", curator.get(KEYS).content.decode())
    row = ApiKey.objects.get()
    assert (row.user, row.scopes, row.digest) == (staff, ["chat", "usage"], key_digest(key))
    again = curator.get(KEYS).content.decode()
    assert key[:8] in again
    assert key not in again


@each(
    ("field", "value"),
    [("name", ""), ("scopes", ""), ("scopes", "all"), ("expires_at_0", "2020-01-01"), ("name", "x" * 101)],
)
def test_what_is_wrong_is_shown_in_the_form(curator, field, value):
    form = {**FORM, field: value} | ({"expires_at_1": "00:00"} if field == "expires_at_0" else {})
    answer = send(curator, f"{KEYS}add/", form)
    assert answer.status_code == 200
    assert "errorlist" in answer.content.decode()
    assert not ApiKey.objects.exists()


@pytest.fixture
def others(db):
    return [key_create(user_id=User.objects.create_user(name).pk, name=name)[0] for name in ("bea", "eve")]


def test_staff_see_and_revoke_those_of_others(curator, others):
    page = curator.get(KEYS).content.decode()
    assert all(row.start in page for row in others)
    for row in others:
        assert send(curator, f"{KEYS}{row.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not ApiKey.objects.exists()


def test_a_key_stays_as_it_was_made(curator, others):
    assert send(curator, f"{KEYS}{others[0].pk}/change/", FORM).status_code == 403
    assert ApiKey.objects.get(pk=others[0].pk).name == "bea"
