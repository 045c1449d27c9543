"""Make a user of a visitor, where registration is open."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.http import HttpRequest

from apps.accounts.addresses import client_network
from apps.accounts.attempts import REGISTRATIONS_OF_ADDRESS, attempt_take
from apps.accounts.names import NAME_TAKEN, name_is_taken
from apps.llm.errors import InvalidRequest

__all__ = ["user_register"]


def user_register(*, request: HttpRequest, username: str, email: str, password: str) -> User:
    """Create and return the user; every attempt counts for the address it comes from. Hashes: for a hashing thread.

    Raises:
        InvalidRequest: a field is not acceptable, or the name is taken or looks like one that is.
        RateLimited: too many attempts from this address.

    """
    attempt_take(REGISTRATIONS_OF_ADDRESS, client_network(request))
    user = User(username=User.normalize_username(username), email=User.objects.normalize_email(email))
    _validate(user, password)
    user.set_password(password)
    try:
        with transaction.atomic():
            user.save(force_insert=True)
    except IntegrityError as error:
        raise _name_taken() from error
    return user


def _validate(user: User, password: str) -> None:
    try:
        # The unusable password stands in for the one that is not hashed yet.
        user.clean_fields(exclude={"password"})
    except ValidationError as error:
        field, messages = next(iter(error.message_dict.items()))
        raise InvalidRequest(" ".join(messages), param=field) from error
    try:
        validate_password(password, user=user)
    except ValidationError as error:
        raise InvalidRequest(" ".join(error.messages), param="password") from error
    if name_is_taken(user.username):
        raise _name_taken()


def _name_taken() -> InvalidRequest:
    return InvalidRequest(NAME_TAKEN, param="username")
