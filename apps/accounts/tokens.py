"""Sign and verify JSON Web Tokens: the only module that knows simplejwt. Pure CPU, no database.

Every token names its user (`user_id`), its refresh family (`family`) and a fingerprint of the password hash
(`credential`), so that one look at the database tells whether a log-out, a changed password or a disabled user has
ended it.
"""

from __future__ import annotations

import functools
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.crypto import salted_hmac
from rest_framework_simplejwt import settings as simplejwt
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.exceptions import TokenBackendError, TokenBackendExpiredToken

from apps.llm.errors import AuthenticationFailed, Code

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from apps.accounts.models import RefreshToken

__all__ = [
    "MOST_TOKEN_BYTES",
    "AccessClaims",
    "RefreshClaims",
    "TokenPair",
    "invalid_token",
    "issue_pair",
    "password_fingerprint",
    "refresh_lifetime",
    "verify_access",
    "verify_any",
    "verify_refresh",
]

MOST_TOKEN_BYTES = 8 * 1024
"""A token of ours has about 400 bytes; one over this bound is refused unread."""

_COMPACT_FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_HEX_UUID = re.compile(r"[0-9a-f]{32}")
# At most 18 digits: within the range of every database's 64-bit keys.
_USER_ID = re.compile(r"[1-9][0-9]{0,17}")
_FINGERPRINT_CHARACTERS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPair:
    """What a log-in or a refresh answers. Both are secrets: never logged, never stored."""

    access: str
    refresh: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claims:
    jti: uuid.UUID
    user_id: int
    family_id: uuid.UUID
    password_fingerprint: str
    issued_at_s: int
    """Unix seconds."""
    expires_at_s: int
    """Unix seconds; the token is dead from this second on."""


class AccessClaims(_Claims):
    """What an access token says, its signature and dates being right."""

    __slots__ = ()


class RefreshClaims(_Claims):
    """What a refresh token says, its signature and dates being right."""

    __slots__ = ()


def issue_pair(user: User, record: RefreshToken) -> TokenPair:
    """Sign the pair that belongs to a refresh token's row: the same row and password give the same bytes."""
    shared = {
        simplejwt.api_settings.USER_ID_CLAIM: str(user.pk),
        "family": record.family_id.hex,
        "credential": password_fingerprint(user.password),
        "iat": int(record.issued_at.timestamp()),
    }
    access_lifetime: timedelta = simplejwt.api_settings.ACCESS_TOKEN_LIFETIME
    return TokenPair(
        access=_sign(
            token_type="access",
            # Derived, so that a repeated answer carries the same one.
            jti=uuid.uuid5(record.jti, "access"),
            expires_at_s=int((record.issued_at + access_lifetime).timestamp()),
            claims=shared,
        ),
        refresh=_sign(
            token_type="refresh",
            jti=record.jti,
            expires_at_s=int(record.expires_at.timestamp()),
            claims=shared,
        ),
    )


def verify_access(token: str) -> AccessClaims:
    """Check an access token's signature (HS256 alone), issuer, audience, dates and type.

    Raises:
        AuthenticationFailed: with the code `missing_token`, `token_expired` or `invalid_token`.

    """
    claims = verify_any(token)
    if not isinstance(claims, AccessClaims):
        raise invalid_token("This is a refresh token. Send the access token that came with it.")
    return claims


def verify_refresh(token: str) -> RefreshClaims:
    """Check a refresh token as `verify_access` checks an access token."""
    claims = verify_any(token)
    if not isinstance(claims, RefreshClaims):
        raise invalid_token("This is an access token. Send the refresh token that came with it.")
    return claims


def verify_any(token: str) -> AccessClaims | RefreshClaims:
    """Check a token of either type as `verify_access` does; the class of the answer tells the type."""
    if not token:
        raise AuthenticationFailed("No token was sent.", code=Code.MISSING_TOKEN)
    # Stricter than the library, which forgives base64 padding: one token has one spelling.
    if len(token) > MOST_TOKEN_BYTES or _COMPACT_FORM.fullmatch(token) is None:
        raise invalid_token()
    try:
        payload = _backend().decode(token)  # type: ignore[arg-type]  # it takes the encoded text, whatever it says
    except TokenBackendExpiredToken as error:
        raise AuthenticationFailed(
            "The token has expired. Get a new one from /api/v2/auth/token/refresh/.", code=Code.TOKEN_EXPIRED
        ) from error
    except TokenBackendError as error:
        raise invalid_token() from error
    return _claims_of(payload)


def password_fingerprint(password_hash: str) -> str:
    """Return the short keyed digest of a stored password hash that tokens carry: a new password, another digest."""
    key = simplejwt.api_settings.SIGNING_KEY
    digest = salted_hmac("apps.accounts.tokens.credential", password_hash, secret=key, algorithm="sha256")
    return digest.hexdigest()[:_FINGERPRINT_CHARACTERS]


def refresh_lifetime() -> timedelta:
    """Return how long a refresh token lives."""
    lifetime: timedelta = simplejwt.api_settings.REFRESH_TOKEN_LIFETIME
    return lifetime


def invalid_token(
    message: str = "The token is not valid. Get a new one from /api/v2/auth/token/.",
) -> AuthenticationFailed:
    """Return the error for every token that does not do; why it does not is nobody's business but its owner's."""
    return AuthenticationFailed(message, code=Code.INVALID_TOKEN)


def _sign(*, token_type: str, jti: uuid.UUID, expires_at_s: int, claims: Mapping[str, Any]) -> str:
    return _backend().encode({"token_type": token_type, "jti": jti.hex, "exp": expires_at_s, **claims})


def _claims_of(payload: Mapping[str, Any]) -> AccessClaims | RefreshClaims:
    jti, family = payload.get("jti"), payload.get("family")
    user_id = payload.get(simplejwt.api_settings.USER_ID_CLAIM)
    credential, issued_at, expires_at = payload.get("credential"), payload.get("iat"), payload.get("exp")
    kinds: dict[object, type[AccessClaims | RefreshClaims]] = {"access": AccessClaims, "refresh": RefreshClaims}
    kind = kinds.get(str(payload.get("token_type")))
    if not (
        kind is not None
        and isinstance(jti, str)
        and _HEX_UUID.fullmatch(jti)
        and isinstance(family, str)
        and _HEX_UUID.fullmatch(family)
        and isinstance(user_id, str)
        and _USER_ID.fullmatch(user_id)
        and isinstance(credential, str)
        # Not isinstance: True is an int, and JSON's numbers with a fraction are no dates of ours.
        and type(issued_at) is int
        and type(expires_at) is int
    ):
        raise invalid_token()
    return kind(
        jti=uuid.UUID(jti),
        user_id=int(user_id),
        family_id=uuid.UUID(family),
        password_fingerprint=credential,
        issued_at_s=issued_at,
        expires_at_s=expires_at,
    )


@functools.cache
def _backend() -> TokenBackend:
    settings = simplejwt.api_settings
    if settings.ALGORITHM != "HS256" or not settings.ISSUER or not settings.AUDIENCE or not settings.SIGNING_KEY:
        raise ImproperlyConfigured("SIMPLE_JWT needs ALGORITHM HS256, a SIGNING_KEY, an ISSUER and an AUDIENCE.")
    return TokenBackend(
        algorithm="HS256",
        signing_key=settings.SIGNING_KEY,
        issuer=settings.ISSUER,
        audience=settings.AUDIENCE,
        leeway=settings.LEEWAY,
    )


def _forget_backend(*, setting: str, **_: object) -> None:
    if setting == "SIMPLE_JWT":
        _backend.cache_clear()


setting_changed.connect(_forget_backend)
