"""Name and password against a token pair, in the same time and with the same answer whoever does not exist."""

from __future__ import annotations

from django.contrib.auth.hashers import make_password, verify_password
from django.contrib.auth.models import User
from django.db import IntegrityError
from django.http import HttpRequest

from apps.accounts.addresses import client_network
from apps.accounts.attempts import Attempt, name_key
from apps.accounts.families import family_open, password_rehash
from apps.accounts.tokens import TokenPair
from apps.llm.errors import AuthenticationFailed, Code

__all__ = ["sign_in"]


def sign_in(*, request: HttpRequest, username: str, password: str) -> TokenPair:
    """Return a new pair for the user; `request` says where the attempt comes from. Hashes: for a hashing thread.

    Raises:
        AuthenticationFailed: code `invalid_credentials`: no such user, a wrong password, a disabled user.
        RateLimited: too many failures for this name or from this address.

    """
    username = User.normalize_username(username)
    attempt = Attempt(client_network(request), name_key(username))
    try:
        user = _user_with(username, password)
    except BaseException:
        attempt.forgive()
        raise
    if user is None:
        raise _wrong()
    attempt.forgive()
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
