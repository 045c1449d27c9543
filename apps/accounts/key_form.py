"""The form of an API key: `pc-` and 43 characters, which say whose it is and that it is ours. Pure CPU, no database.

    base64url of   16 random bytes | 8 bytes of the user's id | 8 bytes of an HMAC over both

The HMAC lets a made-up key be refused without a look at the database, as the signature of a token does. It is keyed
with the signing key of tokens: a new one ends every token and every key.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import uuid
from dataclasses import dataclass

from django.conf import settings

from apps.accounts.tokens import invalid_token
from apps.llm.errors import AuthenticationFailed

__all__ = [
    "PREFIX",
    "SHOWN_CHARACTERS",
    "KeyClaims",
    "development_key",
    "invalid_key",
    "key_digest",
    "new_key",
    "read_key",
]

PREFIX = "pc-"
SHOWN_CHARACTERS = 8
"""How many of the first characters are kept, to tell a key by."""

_FORM = re.compile(r"pc-[A-Za-z0-9_-]{43}")
_RANDOM_BYTES = 16
_USER_BYTES = 8
_MOST_USER_ID = 10**18


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyClaims:
    """What a key says, its HMAC being right. Whether it was revoked, the database alone knows."""

    user_id: int
    digest: str
    """SHA-256 in hexadecimal, by which the key's row is found."""

    @property
    def family_id(self) -> uuid.UUID:
        """Return what the key is remembered under, as the tokens of a log-in are under their family."""
        return uuid.UUID(self.digest[:32])


def new_key(user_id: int) -> str:
    """Make a key of a user's. A secret: shown once, never logged, never stored."""
    return _signed(secrets.token_bytes(_RANDOM_BYTES), user_id)


def development_key(user_id: int) -> str:
    """Return the one key that a development user has for as long as the signing key stays the same."""
    return _signed(_mac(b"development key", user_id.to_bytes(_USER_BYTES))[:_RANDOM_BYTES], user_id)


def read_key(key: str) -> KeyClaims:
    """Check a key's form and HMAC. Raises AuthenticationFailed, code `invalid_token`."""
    if _FORM.fullmatch(key) is None:
        raise invalid_key()
    data = base64.urlsafe_b64decode(key.removeprefix(PREFIX) + "=")
    random, user, _ = data[:_RANDOM_BYTES], data[_RANDOM_BYTES : _RANDOM_BYTES + _USER_BYTES], data[-_USER_BYTES:]
    user_id = int.from_bytes(user)
    # Made again as a whole: one key has one spelling.
    if user_id >= _MOST_USER_ID or not hmac.compare_digest(_signed(random, user_id), key):
        raise invalid_key()
    return KeyClaims(user_id=user_id, digest=key_digest(key))


def invalid_key() -> AuthenticationFailed:
    """Return the error for every key that does not do, whyever."""
    return invalid_token("The API key is not valid, or has ended. Make a new one with /api/v2/auth/keys/.")


def key_digest(key: str) -> str:
    """Return what is stored of a key: it has 128 random bits, which no slow hash has to protect."""
    return hashlib.sha256(key.encode()).hexdigest()


def _signed(random: bytes, user_id: int) -> str:
    user = user_id.to_bytes(_USER_BYTES)
    data = random + user + _mac(random, user)[:_USER_BYTES]
    return PREFIX + base64.urlsafe_b64encode(data).decode().rstrip("=")


def _mac(*parts: bytes) -> bytes:
    key = hashlib.sha256(b"promptcraft api keys " + settings.JWT_SIGNING_KEY.encode()).digest()
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()
