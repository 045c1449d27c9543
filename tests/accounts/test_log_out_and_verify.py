from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from apps.accounts.families import family_open, token_rotate
from tests.accounts.conftest import error_of
from tests.accounts.forgery import claims_of, forge, good_claims
from tests.accounts.test_refresh import let_time_pass


def test_log_out_ends_the_family(pair, post, me):
    response = post("logout/", {"refresh": pair.refresh})
    assert response.status_code == 205
    assert response.content == b""
    assert response.headers["Content-Length"] == "0"
    assert "Content-Type" not in response.headers
    assert me(f"Bearer {pair.access}").status_code == 401
    assert post("token/refresh/", {"refresh": pair.refresh}).status_code == 401
    assert post("token/verify/", {"token": pair.refresh}).status_code == 401


def test_log_out_twice_is_fine(pair, post):
    assert [post("logout/", {"refresh": pair.refresh}).status_code for _ in range(2)] == [205, 205]


def test_any_token_of_the_family_ends_all(pair, post, me):
    successor = token_rotate(refresh=pair.refresh)
    assert post("logout/", {"refresh": pair.refresh}).status_code == 205
    assert me(f"Bearer {successor.access}").status_code == 401
    assert post("token/refresh/", {"refresh": successor.refresh}).status_code == 401


def test_log_out_takes_no_other_token(user, pair, post, me):
    for token, code in (
        (pair.access, "invalid_token"),
        (forge(claims_of(pair.refresh), key=b"another key of a good length, 32+ bytes"), "invalid_token"),
        (forge(good_claims(token_type="refresh", exp=1)), "token_expired"),
        ("nonsense", "invalid_token"),
    ):
        response = post("logout/", {"refresh": token})
        assert (response.status_code, error_of(response)["code"]) == (401, code)
    assert post("logout/", {}).status_code == 400
    assert me(f"Bearer {pair.access}").status_code == 200


def test_living_tokens_verify(pair, post, django_assert_num_queries):
    for token in (pair.access, pair.refresh):
        with django_assert_num_queries(1):
            response = post("token/verify/", {"token": token})
        assert (response.status_code, response.json()) == (200, {})


def test_verifying_does_not_use_up(pair, post):
    for _ in range(3):
        assert post("token/verify/", {"token": pair.refresh}).status_code == 200
    assert post("token/refresh/", {"refresh": pair.refresh}).status_code == 200


def test_a_used_refresh_token_verifies_as_long_as_it_is_answered(pair, post):
    successor = token_rotate(refresh=pair.refresh)
    assert post("token/verify/", {"token": pair.refresh}).status_code == 200
    let_time_pass(11)
    assert post("token/verify/", {"token": pair.refresh}).status_code == 401
    assert post("token/verify/", {"token": successor.refresh}).status_code == 200, "to look is not to use"


@pytest.mark.parametrize("change", [{"is_active": False}, {"password": "!"}])
@pytest.mark.parametrize("which", ["access", "refresh"])
def test_tokens_of_dead_users_do_not_verify(which, change, user, pair, post):
    User.objects.filter(pk=user.pk).update(**change)
    assert post("token/verify/", {"token": getattr(pair, which)}).status_code == 401


def test_bad_tokens_do_not_verify(pair, post, django_assert_num_queries):
    for token, code in (
        ("nonsense", "invalid_token"),
        ("a" * 100_000, "invalid_token"),
        (forge(good_claims(exp=1)), "token_expired"),
        (forge(good_claims(token_type="sliding")), "invalid_token"),
        (forge(claims_of(pair.access), header={"alg": "none"}), "invalid_token"),
    ):
        with django_assert_num_queries(0):
            response = post("token/verify/", {"token": token})
        assert (response.status_code, error_of(response)["code"]) == (401, code)


def test_a_family_of_its_own_for_each_log_in(user, pair):
    assert claims_of(family_open(user=user).refresh)["family"] != claims_of(pair.refresh)["family"]
