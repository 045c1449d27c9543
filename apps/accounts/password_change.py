"""A new password for a user who knows the old one, which ends every log-in."""

from __future__ import annotations

from django.contrib.auth.hashers import make_password, verify_password
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from apps.accounts.addresses import client_network
from apps.accounts.attempts import Attempt, name_key
from apps.accounts.families import families_revoke
from apps.accounts.tokens import invalid_token
from apps.llm.errors import InvalidRequest

__all__ = ["password_change"]


def password_change(*, request: HttpRequest, user_id: int, old: str, new: str) -> None:
    """Change the password and end all of the user's log-ins; API keys stay. Hashes: for a hashing thread.

    A wrong old password counts as a failed log-in.

    Raises:
        InvalidRequest: the old password is wrong (`param` old), or the new one is not acceptable (`param` new).
        RateLimited: too many failures for this name or from this address.
        AuthenticationFailed: the user is gone, or has changed the password meanwhile.

    """
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is None:
        raise invalid_token()
    attempt = Attempt(client_network(request), name_key(user.username))
    try:
        is_correct, _ = verify_password(old, user.password)
    except BaseException:
        attempt.forgive()
        raise
    if not is_correct:
        raise InvalidRequest("The old password is wrong.", param="old")
    attempt.forgive()
    try:
        validate_password(new, user=user)
    except ValidationError as error:
        raise InvalidRequest(" ".join(error.messages), param="new") from error
    # Of two changes at once, one finds the password that it knew.
    if not User.objects.filter(pk=user.pk, password=user.password).update(password=make_password(new)):
        raise invalid_token()
    families_revoke(user_id=user.pk)
