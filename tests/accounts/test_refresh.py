from __future__ import annotations

import threading
import time
import uuid
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import F
from django.utils import timezone

from apps.accounts.families import (
    REPLAY_WINDOW_S,
    expired_purge,
    families_alive,
    family_open,
    family_revoke,
    token_rotate,
)
from apps.accounts.models import RefreshFamily, RefreshToken
from apps.accounts.tokens import TokenPair
from apps.llm.errors import AuthenticationFailed
from tests.accounts.conftest import PASSWORD, error_of
from tests.accounts.forgery import claims_of, forge, good_claims


def refresh(post, token):
    response = post("token/refresh/", {"refresh": token})
    assert response.status_code == 200, response.json()
    assert set(response.json()) == {"access", "refresh"}
    return TokenPair(**response.json())


def refused(post, token, code="invalid_token"):
    response = post("token/refresh/", {"refresh": token})
    assert (response.status_code, error_of(response)["code"]) == (401, code)
    return True


def let_time_pass(seconds):
    """Move every rotation into the past, which is what the clock would do."""
    RefreshToken.objects.filter(rotated_at__isnull=False).update(
        rotated_at=F("rotated_at") - timedelta(seconds=seconds)
    )


def test_rotation_gives_a_living_pair(pair, post, me):
    successor = refresh(post, pair.refresh)
    assert successor.refresh != pair.refresh
    assert successor.access != pair.access
    assert me(f"Bearer {successor.access}").status_code == 200
    assert me(f"Bearer {pair.access}").status_code == 200, "an access token lives until it expires"
    assert refresh(post, successor.refresh).refresh not in {pair.refresh, successor.refresh}


def test_the_new_token_lives_anew(pair, post):
    RefreshToken.objects.update(issued_at=timezone.now() - timedelta(days=6))
    successor = claims_of(refresh(post, pair.refresh).refresh)
    assert successor["exp"] - successor["iat"] == 7 * 86_400
    assert successor["iat"] >= int(time.time()) - 5


def test_a_used_token_answers_with_the_same_successor_for_ten_seconds(pair, post):
    first = refresh(post, pair.refresh)
    assert refresh(post, pair.refresh) == first
    let_time_pass(REPLAY_WINDOW_S - 1)
    assert refresh(post, pair.refresh) == first
    assert RefreshToken.objects.count() == 2


def test_the_same_successor_even_after_it_was_used(pair, post):
    first = refresh(post, pair.refresh)
    second = refresh(post, first.refresh)
    assert refresh(post, pair.refresh) == first
    assert refresh(post, first.refresh) == second
    assert RefreshToken.objects.count() == 3


def test_a_token_used_later_kills_its_family(user, pair, post, me):
    other_family = family_open(user=user)
    successor = refresh(post, pair.refresh)
    let_time_pass(REPLAY_WINDOW_S + 1)
    assert refused(post, pair.refresh)
    assert refused(post, successor.refresh), "whoever holds it, the thief or the robbed, logs in again"
    assert refused(post, pair.refresh)
    assert me(f"Bearer {successor.access}").status_code == 401
    assert me(f"Bearer {pair.access}").status_code == 401
    assert refresh(post, other_family.refresh)


def test_theft_is_noted_in_the_log_without_tokens(pair, post, caplog):
    refresh(post, pair.refresh)
    let_time_pass(REPLAY_WINDOW_S + 1)
    refused(post, pair.refresh)
    (record,) = (record for record in caplog.records if record.name == "promptcraft.accounts")
    assert record.fields["user_id"] == User.objects.get().pk
    assert pair.refresh not in str(vars(record))


def test_no_table_holds_a_usable_token(pair, post):
    successor = refresh(post, pair.refresh)
    rows = str(list(RefreshToken.objects.values())) + str(list(RefreshFamily.objects.values()))
    for token in (pair.access, pair.refresh, successor.access, successor.refresh):
        assert token not in rows
        assert token.rsplit(".", 1)[1] not in rows


@pytest.mark.parametrize("rotated", [False, True])
def test_a_dead_user_gets_nothing(rotated, user, pair, post):
    if rotated:
        refresh(post, pair.refresh)
    User.objects.filter(pk=user.pk).update(is_active=False)
    assert refused(post, pair.refresh)
    User.objects.filter(pk=user.pk).update(is_active=True)
    assert refresh(post, pair.refresh), "the refusal did not use the token up"
    user.set_password("another password")
    user.save()
    assert refused(post, pair.refresh)
    user.delete()
    assert refused(post, pair.refresh)


def test_which_families_are_alive(user, pair, django_assert_num_queries):
    revoked = family_open(user=user)
    family_revoke(refresh=revoked.refresh)
    disabled = family_open(user=User.objects.create_user("bob", password=PASSWORD, is_active=False))
    ids = [uuid.UUID(claims_of(one.refresh)["family"]) for one in (pair, revoked, disabled)]
    with django_assert_num_queries(1):
        assert families_alive(ids=[*ids, uuid.uuid4()]) == {ids[0]}


def test_unknown_and_foreign_tokens(user, pair, post, django_assert_num_queries):
    claims = claims_of(pair.refresh)
    other = family_open(user=User.objects.create_user("bob", password=PASSWORD))
    assert refused(post, forge({**claims, "jti": "0" * 32}))
    assert refused(post, forge({**claims, "family": claims_of(other.refresh)["family"]}))
    assert refused(post, forge({**claims, "user_id": claims_of(other.refresh)["user_id"]}))
    with django_assert_num_queries(0):
        assert refused(post, pair.access)
        assert refused(post, forge(claims, key=b"another key of a good length, 32+ bytes"))
        assert refused(post, forge({**claims, "aud": "someone"}))
        assert refused(post, "nonsense")
        assert refused(post, "a" * 100_000)
        assert refused(post, forge(good_claims(token_type="refresh", exp=1)), code="token_expired")
    assert refresh(post, pair.refresh), "none of them touched the real one"


def test_fields(post):
    for body, code in (({}, "missing_field"), ({"refresh": 7}, "invalid_value"), ({"refresh": ""}, "invalid_value")):
        response = post("token/refresh/", body)
        error = error_of(response)
        assert (response.status_code, error["code"], error["param"]) == (400, code, "refresh")


def in_threads(count, work):
    start = threading.Barrier(count)
    results = []

    def run(number):
        start.wait(10)
        try:
            results.append(work(number))
        except AuthenticationFailed as error:
            results.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(results) == count
    return results


@pytest.mark.django_db(transaction=True)
def test_parallel_refreshes_of_one_token_make_one_chain():
    token = family_open(user=User.objects.create_user("ada")).refresh
    for length in range(1, 6):
        answers = in_threads(8, lambda number, token=token: token_rotate(refresh=token))
        assert len(set(answers)) == 1
        assert RefreshToken.objects.count() == length + 1
        token = answers[0].refresh
    assert RefreshToken.objects.filter(rotated_at__isnull=True).count() == 1
    assert RefreshFamily.objects.get().revoked_at is None


@pytest.mark.django_db(transaction=True)
def test_parallel_thefts_and_refreshes_leave_a_dead_family():
    stolen = family_open(user=User.objects.create_user("ada")).refresh
    current = token_rotate(refresh=stolen).refresh
    let_time_pass(REPLAY_WINDOW_S + 1)
    answers = in_threads(8, lambda number: token_rotate(refresh=stolen if number % 2 else current))
    assert sum(isinstance(answer, AuthenticationFailed) for answer in answers) >= 4
    for token in (current, *(answer.refresh for answer in answers if isinstance(answer, TokenPair))):
        with pytest.raises(AuthenticationFailed):
            token_rotate(refresh=token)


def test_the_purge_takes_what_has_expired_and_nothing_else(user, pair, post):
    successor = refresh(post, pair.refresh)
    family_open(user=user)
    expired = RefreshFamily.objects.exclude(pk=RefreshToken.objects.get(rotated_at__isnull=False).family_id).get()
    RefreshToken.objects.filter(family=expired).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert expired_purge(now=timezone.now()) == (1, 1)
    assert RefreshToken.objects.count() == 2
    assert refresh(post, successor.refresh)
    RefreshToken.objects.filter(rotated_at__isnull=False).update(expires_at=timezone.now())
    assert expired_purge(now=timezone.now()) == (2, 0)
    assert RefreshFamily.objects.count() == 1


def test_the_purge_works_in_batches(user, monkeypatch):
    monkeypatch.setattr("apps.accounts.families._PURGE_BATCH", 2)
    for _ in range(5):
        family_open(user=user)
    assert expired_purge(now=timezone.now() + timedelta(days=8)) == (5, 5)
