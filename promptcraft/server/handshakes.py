"""Which requests open a WebSocket. Every other offer of another protocol is ignored, and its request answered."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from urllib.parse import unquote_to_bytes

from promptcraft.scope import safe_path

__all__ = ["head_without_offer", "is_handshake"]


def is_handshake(
    method: bytes, version: bytes, path: bytes, headers: Iterable[tuple[bytes, bytes]], paths: Collection[str]
) -> bool:
    """Tell whether a head is that of a WebSocket's handshake (RFC 6455, 4.1), at one of these paths.

    Header names are in lower case; `path` is as it was sent, without its query.
    """
    if not paths or method != b"GET" or version != b"1.1":
        return False
    if safe_path(unquote_to_bytes(path).decode("utf-8", "replace")) not in paths:
        return False
    offers: list[bytes] = []
    options: set[bytes] = set()
    for name, value in headers:
        if name == b"upgrade":
            offers.append(value.strip().lower())
        elif name == b"connection":
            options.update(option.strip().lower() for option in value.split(b","))
        elif name == b"transfer-encoding" or (name == b"content-length" and value.strip(b" \t0")):
            # Where a body would end and frames begin, others may see elsewhere.
            return False
    return offers == [b"websocket"] and b"upgrade" in options


def head_without_offer(method: bytes, target: bytes, version: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Write a head again without its offer of another protocol. Header names are in lower case."""
    lines = [b"%b: %b\r\n" % header for header in headers if header[0] != b"upgrade"]
    return b"".join([b"%b %b HTTP/%b\r\n" % (method, target, version), *lines, b"\r\n"])
