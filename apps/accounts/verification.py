"""Is a token alive? Asked of the database, for access and refresh tokens alike."""

from __future__ import annotations

from apps.accounts.families import token_owner
from apps.accounts.tokens import invalid_token, verify_any

__all__ = ["token_check"]


def token_check(token: str) -> None:
    """Return if the token would be accepted now, and change nothing.

    Raises:
        AuthenticationFailed: it would not.

    """
    if token_owner(verify_any(token)) is None:
        raise invalid_token()
