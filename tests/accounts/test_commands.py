from __future__ import annotations

import io
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.utils import timezone

from apps.accounts.models import RefreshFamily, RefreshToken


def run(*arguments):
    out = io.StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_the_development_user(db, settings, post):
    settings.DEBUG = True
    assert run("ensure_dev_user") == "user dev made\n"
    assert post("token/", {"username": "dev", "password": "dev-password"}).status_code == 200
    # It may enter the admin.
    assert User.objects.filter(is_staff=True, is_superuser=True).exists()
    User.objects.update(email="kept@example.org")
    assert run("ensure_dev_user") == "user dev exists\n"
    assert User.objects.get().email == "kept@example.org"


def test_no_development_user_outside_development(db, settings):
    settings.DEBUG = False
    with pytest.raises(CommandError) as caught:
        run("ensure_dev_user")
    assert "\n" not in str(caught.value)
    assert not User.objects.exists()


def test_create_user(db, monkeypatch, post):
    monkeypatch.setattr("sys.stdin", io.StringIO("a sound passphrase \nnot this\n"))
    assert run("create_user", "grace", "--password-stdin", "--email", "g@EXAMPLE.org", "--staff") == "user grace made\n"
    user = User.objects.get()
    assert (user.email, user.is_staff, user.is_superuser) == ("g@example.org", True, False)
    assert user.check_password("a sound passphrase ")


SOUND = "a sound passphrase"


@pytest.mark.parametrize(
    ("name", "password"),
    [
        *((name, SOUND) for name in ("ada", "two words", "")),
        *(("grace", password) for password in ("", "weak", "password", "8273649105", "grace@example.org")),
    ],
)
def test_create_user_refuses(name, password, user, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))
    with pytest.raises(CommandError) as caught:
        run("create_user", name, "--password-stdin", "--email", "grace@example.org", "--staff")
    assert "\n" not in str(caught.value)
    assert User.objects.count() == 1


def test_create_user_says_where_a_password_comes_from_without_a_terminal(db, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{SOUND}\n"))
    with pytest.raises(CommandError, match="--password-stdin"):
        run("create_user", "grace")
    assert not User.objects.exists()


def test_flush_refresh_tokens(user, pair):
    assert run("flush_refresh_tokens") == "0 refresh tokens and 0 families deleted\n"
    RefreshToken.objects.update(expires_at=timezone.now() - timedelta(days=1))
    assert run("flush_refresh_tokens") == "1 refresh tokens and 1 families deleted\n"
    assert not RefreshFamily.objects.exists()
