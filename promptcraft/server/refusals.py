"""Answers to what never becomes an application's request: the envelope, and the headers that it needs."""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from apps.chat.envelope import envelope
from apps.llm.errors import PromptCraftError
from apps.llm.wire import json

__all__ = ["refusal", "written_refusal"]


def refusal(error: PromptCraftError) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Return the headers and the body of an answer that ends its connection."""
    request_id = f"req_{secrets.token_hex(12)}"
    body = json.dumps(envelope(error, request_id))
    headers = [
        *((name.lower().encode(), value.encode()) for name, value in error.headers.items()),
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        (b"x-request-id", request_id.encode()),
    ]
    return headers, body


def written_refusal(error: PromptCraftError, more: Iterable[tuple[bytes, bytes]] = ()) -> bytes:
    """Return the whole answer as it is sent, `more` being headers of the server's own."""
    headers, body = refusal(error)
    lines = b"".join(b"%b: %b\r\n" % header for header in (*more, *headers))
    return b"%b%b\r\n%b" % (STATUS_LINE[error.http_status], lines, body)
