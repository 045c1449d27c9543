"""HTTP/1.1 bytes: heads, chunked bodies, whole answers."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["LAST_CHUNK", "chunk", "head", "reason", "response"]

LAST_CHUNK = b"0\r\n\r\n"

_REASONS = {
    100: "Continue",
    103: "Early Hints",
    200: "OK",
    302: "Found",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    413: "Payload Too Large",
    422: "Unprocessable Entity",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}

Headers = Iterable[tuple[str, str]]


def reason(status: int) -> str:
    """Return the phrase of a status; vendors' own statuses have none of their own."""
    return _REASONS.get(status, "Unknown")


def head(status: int, headers: Headers = ()) -> bytes:
    """Return a status line and headers, as given, with the blank line."""
    lines = [f"HTTP/1.1 {status} {reason(status)}", *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def chunk(data: bytes) -> bytes:
    """Return one HTTP chunk; nothing for no bytes, since an empty chunk would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def response(status: int, body: bytes, headers: Headers = ()) -> bytes:
    """Return a whole answer with its true Content-Length."""
    return head(status, (*headers, ("content-length", str(len(body))))) + body
