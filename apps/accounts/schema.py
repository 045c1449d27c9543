"""What `/api/v2/schema/` says of this app's operations. Bodies only: errors are the same everywhere."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse

from apps.accounts.access import Scope
from apps.accounts.api_keys import MOST_MODELS
from apps.accounts.features import Phase
from apps.accounts.hashing import MOST_PASSWORD_CHARACTERS
from apps.accounts.users import MOST_USERS_OF_PAGE

__all__ = [
    "KEY_CREATE",
    "KEY_LIST",
    "KEY_REVOKE",
    "LOGOUT",
    "ME",
    "PASSWORD",
    "REFRESH",
    "REGISTER",
    "TOKEN",
    "USER_LIST",
    "USER_STATE",
    "VERIFY",
    "BearerScheme",
    "user_json",
]


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # it registers itself
    """The access token, or the API key, as OpenAPI describes it."""

    target_class = "apps.accounts.identity.BearerAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        """Return the security scheme."""
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "An access token (JWT), or an API key: `pc-` and 43 characters.",
        }


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
            is_staff={"type": "boolean"},
            features=_object(sse_streaming=_ROLLOUT),
        )
    },
}


def user_json(user: User) -> dict[str, object]:
    """Return a user as staff see one."""
    return {
        "id": user.pk,
        "username": user.username,
        "email": user.email,
        "is_active": user.is_active,
        "is_staff": user.is_staff,
    }


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "type": [schema["type"], "null"]}


_INSTANT = {"type": "string", "format": "date-time"}
_SCOPES = {"type": "array", "items": {"type": "string", "enum": [scope.value for scope in Scope]}}
_MODELS = {"type": "array", "items": {"type": "string"}}
_KEY = _object(
    id={"type": "string", "format": "uuid"},
    name=_TEXT,
    start={"type": "string", "description": "Its first characters, to tell it by."},
    scopes=_SCOPES,
    models={**_MODELS, "description": "The models it may ask for; empty for all."},
    created_at=_INSTANT,
    expires_at=_or_null(_INSTANT),
    last_used_at={**_or_null(_INSTANT), "description": "To the minute."},
)
_NEW_KEY = {
    "type": "object",
    "properties": {
        "name": {
            "type": "string",
            "minLength": 1,
            "maxLength": 100,
            "description": "Printable characters, and one at least that is seen.",
        },
        "scopes": {**_or_null(_SCOPES), "minItems": 1, "default": [Scope.CHAT.value]},
        "models": {
            "type": ["array", "null"],
            "maxItems": MOST_MODELS,
            "items": {"type": "string", "minLength": 1, "maxLength": 200},
        },
        "expires_at": {**_or_null(_INSTANT), "description": "With its zone, and in the future."},
    },
    "required": ["name"],
}
_USER = _object(
    id={"type": "integer"},
    username=_TEXT,
    email=_TEXT,
    is_active={"type": "boolean"},
    is_staff={"type": "boolean"},
)


def _page(item: dict[str, Any]) -> dict[str, Any]:
    return _object(results={"type": "array", "items": item}, next=_or_null(_TEXT))


KEY_LIST: dict[str, Any] = {"operation_id": "key_list", "tags": ["auth"], "responses": {200: _page(_KEY)}}
KEY_CREATE: dict[str, Any] = {
    "operation_id": "key_create",
    "tags": ["auth"],
    "request": {"application/json": _NEW_KEY},
    "responses": {
        201: {
            **_KEY,
            "properties": {
                **_KEY["properties"],
                "key": {"type": "string", "description": "The key itself, shown this once."},
            },
            "required": [*_KEY["required"], "key"],
        }
    },
}
KEY_REVOKE: dict[str, Any] = {
    "operation_id": "key_revoke",
    "tags": ["auth"],
    "responses": {204: OpenApiResponse(description="Revoked. No body.")},
}
PASSWORD: dict[str, Any] = {
    "operation_id": "password_change",
    "tags": ["auth"],
    "request": _body(old=_PASSWORD, new={**_PASSWORD, "minLength": 8}),
    "responses": {204: OpenApiResponse(description="Changed, and every log-in ended. No body.")},
}
USER_LIST: dict[str, Any] = {
    "operation_id": "user_list",
    "tags": ["auth"],
    "parameters": [
        OpenApiParameter("limit", {"type": "integer", "minimum": 1, "maximum": MOST_USERS_OF_PAGE, "default": 20}),
        OpenApiParameter("after", {"type": "integer", "minimum": 0}, description="`next` of the page before."),
    ],
    "responses": {200: _page(_USER)},
}
USER_STATE: dict[str, Any] = {"tags": ["auth"], "request": None, "responses": {200: _USER}}
