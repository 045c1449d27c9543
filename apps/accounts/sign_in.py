"""Name and password against a token pair, in the same time and with the same answer whoever does not exist."""

from __future__ import annotations

from django.contrib.auth.hashers import make_password, verify_password
from django.contrib.auth.models import User
from django.db import IntegrityError
from django.http import HttpRequest

from apps.accounts.addresses import client_network
from apps.accounts.attempts import FAILURES_OF_ADDRESS, FAILURES_OF_NAME, attempt_count, attempts_check, name_key
from apps.accounts.families import family_open, password_rehash
from apps.accounts.hashing import hashing_slot
from apps.accounts.tokens import TokenPair
from apps.llm.errors import AuthenticationFailed, Code

__all__ = ["sign_in"]


def sign_in(*, request: HttpRequest, username: str, password: str) -> TokenPair:
    """Return a new pair for the user; `request` says where the attempt comes from.

    Raises:
        AuthenticationFailed: code `invalid_credentials`: no such user, a wrong password, a disabled user.
        RateLimited: too many failures for this name or from this address.
        ServiceUnavailable: too many log-ins are waiting.

    """
    username = User.normalize_username(username)
    counted = ((FAILURES_OF_ADDRESS, client_network(request)), (FAILURES_OF_NAME, name_key(username)))
    for limit, key in counted:
        attempts_check(limit, request, key)
    with hashing_slot(name_key(username)):
        # Again: of many who got past the first look at once, those let in before this one may have failed.
        for limit, key in counted:
            attempts_check(limit, request, key)
        user = _user_with(username, password)
        if user is None:
            for limit, key in counted:
                attempt_count(limit, request, key)
            raise _wrong()
    try:
        return family_open(user=user)
    except IntegrityError as error:
        # The user was deleted while the password was being checked.
        raise _wrong() from error


def _wrong() -> AuthenticationFailed:
    return AuthenticationFailed("The name or the password is wrong.", code=Code.INVALID_CREDENTIALS)


def _user_with(username: str, password: str) -> User | None:
    user = User.objects.filter(username=username).first()
    if user is None:
        # As long as checking a password takes, so that time does not tell which names exist.
        make_password(password)
        return None
    # Not `user.check_password`: where it hashes anew, the user's other log-ins would end.
    is_correct, must_update = verify_password(password, user.password)
    if not (is_correct and user.is_active):
        return None
    if must_update:
        password_rehash(user=user, encoded=make_password(password))
    return user
