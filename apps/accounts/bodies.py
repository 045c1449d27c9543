"""JSON bodies of requests: read within a bound, checked field by field."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from django.conf import settings
from django.http import HttpRequest

from apps.llm.errors import BodyTooLarge, Code, InvalidRequest, UnsupportedMediaType
from apps.llm.wire.keys import keys_repeat

__all__ = ["json_object", "text_ahead", "text_field"]

_MOST_BYTES_AHEAD = 64 * 1024
"""A body with fields within their bounds is shorter."""


def json_object(request: HttpRequest) -> Mapping[str, object]:
    """Return the body, which must be one JSON object in UTF-8 of at most DATA_UPLOAD_MAX_MEMORY_SIZE bytes.

    Raises:
        BodyTooLarge: it is longer, whether it says so in advance or not.
        InvalidRequest: it is not JSON or names a key twice (`invalid_json`), or JSON but no object (`invalid_value`).
        UnsupportedMediaType: it is declared to be something else.

    """
    if request.content_type not in {"", "application/json"}:
        raise UnsupportedMediaType("Send the body as `Content-Type: application/json`.")
    most_bytes: int = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    # Not `request.body`: it trusts Content-Length, which a chunked body does not have.
    raw = request.read(most_bytes + 1)
    if len(raw) > most_bytes:
        raise BodyTooLarge(f"The body is over its bound of {most_bytes} bytes.")
    try:
        # Strict about UTF-8, lone surrogates and depth, which Python's own is not.
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest("The body is not valid JSON.", code=Code.INVALID_JSON) from error
    if not isinstance(value, dict):
        raise InvalidRequest("The body must be a JSON object.")
    if keys_repeat(raw, value):
        raise InvalidRequest("The body names a key twice. Name each key once.", code=Code.INVALID_JSON)
    return value


def text_ahead(request: HttpRequest, name: str, *, most_characters: int) -> str:
    """Look at a string of the JSON body before it is read and checked; empty if there is none to be seen."""
    data = request.body
    if len(data) > _MOST_BYTES_AHEAD:
        return ""
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError:
        return ""
    value = body.get(name) if isinstance(body, dict) else None
    return value if isinstance(value, str) and len(value) <= most_characters else ""


def text_field(body: Mapping[str, object], name: str, *, most_characters: int) -> str:
    """Return a required, non-empty string.

    Raises:
        InvalidRequest: it is missing (`missing_field`) or not such a string (`invalid_value`); `param` is its name.

    """
    if name not in body:
        raise InvalidRequest(f"`{name}` is required.", code=Code.MISSING_FIELD, param=name)
    value = body[name]
    if not isinstance(value, str):
        raise InvalidRequest(f"`{name}` must be a string.", param=name)
    if not value:
        raise InvalidRequest(f"`{name}` must not be empty.", param=name)
    if len(value) > most_characters:
        raise InvalidRequest(f"`{name}` must have at most {most_characters} characters.", param=name)
    if "\0" in value:
        # No database and no hasher of ours takes it.
        raise InvalidRequest(f"`{name}` must not contain the NUL character.", param=name)
    return value
