from __future__ import annotations

import ipaddress

import pytest
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.db.models import QuerySet
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext

from apps.accounts.families import family_open, password_rehash
from apps.accounts.sign_in import sign_in
from apps.limits import opening
from apps.limits.process import ProcessWindows
from apps.llm.errors import AuthenticationFailed, Code, RateLimited
from tests.accounts import hashers
from tests.accounts.conftest import PASSWORD, error_of
from tests.accounts.test_refresh import in_threads
from tests.each import each


def attempt(post, username="ada", password="wrong", **extra):
    return post("token/", {"username": username, "password": password}, **extra)


def test_a_log_in_gives_a_living_pair(user, post, me):
    response = attempt(post, password=PASSWORD)
    assert response.status_code == 200
    assert set(response.json()) == {"access", "refresh"}
    assert response.headers["Content-Type"] == "application/json"
    assert me(f"Bearer {response.json()['access']}").json()["username"] == "ada"


def test_names_are_normalised_as_they_were_when_stored(db, post):
    User.objects.create_user("\ufb01nn", password=PASSWORD)
    assert attempt(post, "\ufb01nn", PASSWORD).status_code == 200
    assert attempt(post, "finn", PASSWORD).status_code == 200


@pytest.fixture
def _people(user):
    User.objects.create_user("idle", password=PASSWORD, is_active=False)
    User.objects.create_user("ghost")


@pytest.mark.usefixtures("_people")
def test_nothing_tells_who_exists(settings, post):
    settings.PASSWORD_HASHERS = ["tests.accounts.hashers.WatchedHasher"]
    User.objects.exclude(username="ghost").update(password=User(username="x").password)
    for user in User.objects.exclude(username="ghost"):
        user.set_password(PASSWORD)
        user.save()
    seen = []
    for name, password in (
        ("ada", "wrong"),
        ("nobody", "wrong"),
        ("idle", "wrong"),
        ("idle", PASSWORD),
        ("ghost", "wrong"),
        ("ADA", PASSWORD),
        ("n" * 1_000, "wrong"),
    ):
        hashers.reset()
        with CaptureQueriesContext(connection) as queries:
            response = attempt(post, name, password)
        headers = {key: value for key, value in response.headers.items() if key not in {"X-Request-Id", "traceparent"}}
        seen.append((response.status_code, error_of(response), headers, len(queries), hashers.runs))
    assert seen[0][0] == 401
    assert seen[0][1]["code"] == "invalid_credentials"
    assert seen[0][3:] == (1, 1)
    assert seen[1:] == seen[:1] * (len(seen) - 1)


def test_a_stronger_hash_ends_no_log_in(user, pair, post, me, settings):
    """As after an upgrade of Django, whose hasher takes more rounds from one version to the next."""
    settings.PASSWORD_HASHERS = ["tests.accounts.hashers.WatchedHasher", *settings.PASSWORD_HASHERS]
    older = family_open(user=user)
    second = attempt(post, password=PASSWORD).json()
    user.refresh_from_db()
    assert user.password.startswith("watched$")
    for token in (pair.access, older.access, second["access"]):
        assert me(f"Bearer {token}").status_code == 200
    for token in (pair.refresh, older.refresh, second["refresh"]):
        renewed = post("token/refresh/", {"refresh": token})
        assert renewed.status_code == 200
        assert post("token/refresh/", {"refresh": renewed.json()["refresh"]}).status_code == 200


def test_a_new_password_ends_every_log_in_all_the_same(user, pair, post, settings):
    settings.PASSWORD_HASHERS = ["tests.accounts.hashers.WatchedHasher", *settings.PASSWORD_HASHERS]
    second = attempt(post, password=PASSWORD).json()
    user.refresh_from_db()
    user.set_password("another password")
    user.save()
    for token in (pair.refresh, second["refresh"]):
        assert post("token/refresh/", {"refresh": token}).status_code == 401
    # A rehash of the new one revives nobody.
    settings.PASSWORD_HASHERS = settings.PASSWORD_HASHERS[::-1]
    assert attempt(post, password="another password").status_code == 200
    for token in (pair.refresh, second["refresh"]):
        assert post("token/refresh/", {"refresh": token}).status_code == 401


def test_a_password_changed_meanwhile_is_not_hashed_back(user, settings):
    stale = User.objects.get(pk=user.pk)
    user.set_password("another password")
    user.save()
    password_rehash(user=stale, encoded=make_password(PASSWORD))
    user.refresh_from_db()
    assert user.check_password("another password")


def test_a_wrong_password_opens_nothing(user, post):
    attempt(post)
    assert not user.refresh_families.exists()


def test_after_five_failures_the_name_waits(user, post):
    assert [attempt(post).status_code for _ in range(7)] == [401] * 5 + [429] * 2
    response = attempt(post, password=PASSWORD)
    assert response.status_code == 429, "the right password too: an answer would be a guess that counts"
    error = error_of(response)
    assert (error["type"], error["code"], error["retryable"]) == ("rate_limit_error", "rate_limited", True)
    assert 1 <= int(response.headers["Retry-After"]) <= 60
    assert error["retry_after"] == int(response.headers["Retry-After"])
    assert attempt(post, "bob").status_code == 401, "another name does not wait"


def test_unknown_names_wait_like_known_ones(db, post):
    assert [attempt(post, "nobody").status_code for _ in range(6)] == [401] * 5 + [429]


def test_a_names_spellings_count_together(user, post):
    spellings = ["ada", "ADA", "Ada", "\uff41da", "aDa", "adA"]
    assert [attempt(post, name).status_code for name in spellings] == [401] * 5 + [429]


def test_the_limit_holds_from_any_address(user, post):
    codes = [attempt(post, REMOTE_ADDR=f"192.0.2.{number}").status_code for number in range(7)]
    assert codes == [401] * 5 + [429] * 2


def test_after_twenty_failures_the_address_waits(user, post):
    codes = [attempt(post, f"name{number}").status_code for number in range(22)]
    assert codes == [401] * 20 + [429] * 2
    assert attempt(post, password=PASSWORD).status_code == 429
    assert attempt(post, password=PASSWORD, REMOTE_ADDR="192.0.2.1").status_code == 200


def test_the_client_cannot_choose_its_address(user, post):
    codes = [attempt(post, f"n{number}", HTTP_X_FORWARDED_FOR=f"192.0.2.{number}").status_code for number in range(21)]
    assert codes[-1] == 429


def test_behind_a_trusted_proxy_clients_count_apart(user, post, settings):
    settings.TRUSTED_PROXIES = (ipaddress.ip_network("127.0.0.0/8"),)
    for number in range(21):
        attempt(post, f"n{number}", HTTP_X_FORWARDED_FOR=f"203.0.113.{number}, 192.0.2.1")
    assert attempt(post, "bob", HTTP_X_FORWARDED_FOR="203.0.113.99, 192.0.2.1").status_code == 429
    assert attempt(post, "bob", HTTP_X_FORWARDED_FOR="192.0.2.1, 192.0.2.2").status_code == 401


def test_successes_do_not_count(user, post):
    assert [attempt(post, password=PASSWORD).status_code for _ in range(25)] == [200] * 25


def test_bad_bodies_do_not_count(user, post):
    for _ in range(25):
        assert attempt(post, password="").status_code == 400
    assert attempt(post, password=PASSWORD).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_a_user_who_goes_while_the_password_is_checked(user, settings, rf, monkeypatch):
    settings.PASSWORD_HASHERS = ["tests.accounts.hashers.LeavingHasher"]
    user.set_password(PASSWORD)
    user.save()
    monkeypatch.setattr(hashers, "leaving", user.pk)
    with pytest.raises(AuthenticationFailed) as caught:
        sign_in(request=rf.post("/"), username="ada", password=PASSWORD)
    assert caught.value.code is Code.INVALID_CREDENTIALS


def test_long_passwords_are_refused_before_they_are_hashed(user, settings, post):
    settings.PASSWORD_HASHERS = ["tests.accounts.hashers.WatchedHasher"]
    hashers.reset()
    response = attempt(post, password="p" * 4097)
    assert (response.status_code, error_of(response)["param"], hashers.runs) == (400, "password", 0)
    assert attempt(post, password="p" * 4096).status_code == 401


def test_retry_after_is_true(user, post, windows_clock):
    """Refused until the last moment of it, let through at its end."""
    for _ in range(5):
        attempt(post)
        windows_clock.now += 3.3
    wait_s = int(attempt(post).headers["Retry-After"])
    assert wait_s == 60 - 16
    windows_clock.now += wait_s - 0.6
    assert attempt(post).status_code == 429
    windows_clock.now += 0.6
    assert attempt(post).status_code == 401, "the oldest of five no longer counts"
    assert attempt(post).status_code == 429


def counted(rf, username, address="127.0.0.1"):
    """Guess wrong, and return the status that the door answers with."""
    try:
        sign_in(request=rf.post("/", REMOTE_ADDR=address), username=username, password="wrong")
    except (AuthenticationFailed, RateLimited) as error:
        return error.http_status
    raise AssertionError("it was let in")


@each("start_s", [1_000.0, 1_019.5, 1_020.0, 1_079.99])
@each("gap_s", [0.02, 1.0, 30.0])
def test_no_minute_has_more_than_twenty_failures_of_an_address(db, rf, windows_clock, monkeypatch, start_s, gap_s):
    """Across the turn of a minute as anywhere: forty guesses, twenty on each side of it."""
    monkeypatch.setattr(opening, "_windows", ProcessWindows(windows_clock))
    windows_clock.now = start_s
    told = []
    for number in range(40):
        if number == 20:
            windows_clock.now += gap_s
        told.append(counted(rf, f"name{number}"))
    assert told == [401] * 20 + [429] * 20
    windows_clock.now = start_s + 60
    assert counted(rf, "nobody") == 401


def test_no_minute_has_more_than_five_failures_of_a_name(db, rf, windows_clock):
    """From ever other addresses, in no minute that there is."""
    failed_at = []
    for number in range(200):
        windows_clock.now += (7.7, 0.1, 31.0)[number % 3]
        if counted(rf, "ada", f"192.0.2.{number}") == 401:
            failed_at.append(windows_clock.now)
    assert len(failed_at) > 60
    assert all(later - first >= 60 for first, later in zip(failed_at, failed_at[5:], strict=False))


def test_a_fault_of_ours_counts_as_no_failure(user, post, monkeypatch):
    api_errors = []

    def away(self, *args, **kwargs):
        raise OperationalError("the database is away")

    with monkeypatch.context() as broken:
        broken.setattr(QuerySet, "first", away)
        for _ in range(25):
            api_errors.append(attempt(post).status_code)
    assert set(api_errors) <= {500, 503}
    assert attempt(post).status_code == 401


@pytest.mark.django_db(transaction=True)
def test_parallel_guesses_get_five_tries(settings):
    settings.PASSWORD_HASHERS = ["tests.accounts.hashers.WatchedHasher"]
    User.objects.create_user("ada", password=PASSWORD)
    hashers.reset(meeting_of=2, timeout_s=0.2)
    requests = [RequestFactory(REMOTE_ADDR=f"192.0.2.{number}").post("/") for number in range(16)]

    def guess(number):
        try:
            return sign_in(request=requests[number], username=("ada", "ADA")[number % 2], password="wrong")
        except RateLimited as error:
            return error

    answers = in_threads(16, guess)
    assert sum(isinstance(answer, AuthenticationFailed) for answer in answers) == 5
    assert sum(isinstance(answer, RateLimited) for answer in answers) == 11
    assert hashers.runs == 5
