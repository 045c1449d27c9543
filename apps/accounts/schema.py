"""What `/api/v2/schema/` says of this app's operations. Bodies only: errors are the same everywhere."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiResponse

from apps.accounts.features import Phase
from apps.accounts.hashing import MOST_PASSWORD_CHARACTERS

__all__ = ["LOGOUT", "ME", "REFRESH", "REGISTER", "TOKEN", "VERIFY", "BearerScheme"]


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # it registers itself
    """The access token as OpenAPI describes it."""

    target_class = "apps.accounts.identity.BearerAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        """Return the security scheme."""
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _body(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": _object(**properties)}


_TEXT = {"type": "string"}
_SENT = {"type": "string", "minLength": 1}
_NAME = {"type": "string", "minLength": 1, "maxLength": 1024}
_PASSWORD = {"type": "string", "format": "password", "minLength": 1, "maxLength": MOST_PASSWORD_CHARACTERS}
_EMAIL = {"type": "string", "format": "email", "maxLength": 254}
_NEW_NAME = {"type": "string", "minLength": 1, "maxLength": 150, "pattern": r"^[\w.@+-]+$"}
_PAIR = _object(access=_TEXT, refresh=_TEXT)
_ROLLOUT = _object(enabled={"type": "boolean"}, phase={"type": "string", "enum": [phase.value for phase in Phase]})

TOKEN: dict[str, Any] = {
    "operation_id": "token_create",
    "tags": ["auth"],
    "request": _body(username=_NAME, password=_PASSWORD),
    "responses": {200: _PAIR},
}
REFRESH: dict[str, Any] = {
    "operation_id": "token_refresh",
    "tags": ["auth"],
    "request": _body(refresh=_SENT),
    "responses": {200: _PAIR},
}
VERIFY: dict[str, Any] = {
    "operation_id": "token_verify",
    "tags": ["auth"],
    "request": _body(token=_SENT),
    "responses": {200: {"type": "object"}},
}
LOGOUT: dict[str, Any] = {
    "operation_id": "logout",
    "tags": ["auth"],
    "request": _body(refresh=_SENT),
    "responses": {205: OpenApiResponse(description="The log-in has ended. No body.")},
}
REGISTER: dict[str, Any] = {
    "operation_id": "register",
    "tags": ["auth"],
    "request": _body(username=_NEW_NAME, email=_EMAIL, password={**_PASSWORD, "minLength": 8}),
    "responses": {201: _object(id={"type": "integer"}, username=_TEXT, email=_TEXT)},
}
ME: dict[str, Any] = {
    "operation_id": "me",
    "tags": ["auth"],
    "responses": {
        200: _object(
            id={"type": "integer"},
            username=_TEXT,
            email=_TEXT,
            plan=_TEXT,
            limits=_object(chat_rate_limit=_TEXT, workbench_rate_limit=_TEXT, max_streams={"type": "integer"}),
            features=_object(sse_streaming=_ROLLOUT),
        )
    },
}
