"""Tokens made by hand, since libraries refuse to make bad ones."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import uuid
from typing import Any

from django.conf import settings


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = json.loads(decode(token.split(".")[1]))
    return claims


def header_of(token: str) -> dict[str, Any]:
    header: dict[str, Any] = json.loads(decode(token.split(".")[0]))
    return header


def good_claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    claims = {
        "token_type": "access",
        "jti": uuid.uuid4().hex,
        "iat": now - 1,
        "exp": now + 600,
        "iss": "promptcraft",
        "aud": "promptcraft",
        "user_id": "1",
        "family": uuid.uuid4().hex,
        "credential": "0" * 16,
        **changes,
    }
    return {name: value for name, value in claims.items() if value is not ...}


def forge(
    claims: dict[str, Any] | bytes,
    *,
    header: dict[str, Any] | bytes | None = None,
    key: bytes | None = None,
    digest: Any = hashlib.sha256,
) -> str:
    """Sign with our own key unless told otherwise; `...` as a claim leaves it out."""
    if header is None:
        header = {"alg": "HS256", "typ": "JWT"}
    key = str(settings.SIMPLE_JWT["SIGNING_KEY"]).encode() if key is None else key
    first, second = (
        encode(part if isinstance(part, bytes) else json.dumps(part).encode()) for part in (header, claims)
    )
    signature = hmac.new(key, f"{first}.{second}".encode(), digest).digest()
    return f"{first}.{second}.{encode(signature)}"
