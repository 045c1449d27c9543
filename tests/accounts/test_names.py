"""Whose name it is: decided by its form, wherever a user comes from."""

from __future__ import annotations

import importlib
import io
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction

from apps.accounts.models import NameForm
from apps.core.look_alikes import forms
from tests.accounts.conftest import PASSWORD, error_of
from tests.each import each
from tests.templates.visibility import undone

LIKE_ADA = ["\u0430da", "ADA", "\uff41da", "\u00c5d\u00e1", "a\u200bda"]
GOOD = {"username": "grace", "email": "grace@example.org", "password": "a sound passphrase"}


@each("name", LIKE_ADA, around=undone)
def test_no_user_is_made_beside_one(database, name):
    User.objects.create_user("ada")
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create_user(name)
    # Nor where the error is caught inside of the transaction.
    with pytest.raises(IntegrityError):
        User.objects.create_user("\u0430da")
    assert [user.username for user in User.objects.all()] == ["ada"]


@pytest.mark.django_db(transaction=True)
def test_nor_outside_of_a_transaction(user):
    with pytest.raises(IntegrityError):
        User.objects.create_user("\u0430da")
    assert User.objects.count() == 1
    assert NameForm.objects.count() == 1


@pytest.mark.parametrize("name", [*LIKE_ADA[:3], "\u00e5da"])
def test_registration_refuses_it(name, user, post, settings):
    settings.REGISTRATION_OPEN = True
    response = post("register/", {**GOOD, "username": name})
    error = error_of(response)
    assert (response.status_code, error["code"], error["param"]) == (400, "invalid_value", "username")
    assert post("register/", {**GOOD, "username": "adam"}).status_code == 201


def test_registration_refuses_a_name_that_shows_nothing(db, post, settings):
    settings.REGISTRATION_OPEN = True
    assert post("register/", {**GOOD, "username": "\u3164"}).status_code == 400
    assert not User.objects.exists()


@pytest.mark.parametrize("name", LIKE_ADA[:3])
def test_the_command_refuses_it_in_one_line(name, user, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("a sound passphrase\n"))
    with pytest.raises(CommandError) as caught:
        call_command("create_user", name, "--password-stdin")
    assert "\n" not in str(caught.value)
    assert User.objects.count() == 1


def test_the_development_user_is_not_made_beside_one(db, settings):
    settings.DEBUG = True
    User.objects.create_user("DEV")
    out = io.StringIO()
    call_command("ensure_dev_user", stdout=out)
    assert out.getvalue().count("\n") == 1
    assert User.objects.count() == 1


def test_a_new_name_takes_the_place_of_the_old_one(database):
    ada, bob = User.objects.create_user("ada"), User.objects.create_user("bob")
    ada.username = "BOB"
    with pytest.raises(IntegrityError), transaction.atomic():
        ada.save()
    ada.username = "adele"
    ada.save()
    bob.username = "\u0430da"
    bob.save(update_fields=["username"])
    assert {(one.user_id, one.form) for one in NameForm.objects.all()} == {
        *((ada.pk, form) for form in forms("adele")),
        *((bob.pk, form) for form in forms("ada")),
    }
    # Its own look-alikes are nobody else's.
    ada.username = "Adele"
    ada.save()


def test_a_deleted_users_name_is_free(user):
    user.delete()
    assert User.objects.create_user("ADA").pk


def test_what_does_not_touch_the_name_asks_nothing(user, django_assert_num_queries):
    with django_assert_num_queries(1):
        user.save(update_fields=["last_login"])


def test_a_name_logs_in_as_it_is_written_alone(user, post):
    for name in ("ADA", "\u0430da"):
        assert post("token/", {"username": name, "password": PASSWORD}).status_code == 401
    assert post("token/", {"username": "ada", "password": PASSWORD}).status_code == 200


def test_guesses_of_a_name_count_for_its_look_alikes(user, post):
    wrong = [{"username": name, "password": "wrong"} for name in ("ada", "ADA", "\u0430da", "\uff21da", "\u00e4da")]
    assert [post("token/", body).status_code for body in wrong] == [401] * 5
    assert post("token/", {"username": "ada", "password": PASSWORD}).status_code == 429


def test_users_from_before_keep_their_names(database):
    """Their rows were written when nothing looked at forms."""
    fill = importlib.import_module("apps.accounts.migrations.0003_name_forms").fill
    User.objects.bulk_create([User(username=name) for name in ("ada", "ADA", "bob", "\u3164")])
    fill(apps, SimpleNamespace(connection=connection))
    assert list(NameForm.objects.order_by("form").values_list("form", "user__username")) == [
        ("ada", "ada"),
        ("bob", "bob"),
    ]
    later = User.objects.get(username="ADA")
    later.email = "kept@example.org"
    later.save()
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create_user("Ada")
