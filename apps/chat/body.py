"""Request bodies: read up to their bound, never past it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["MAX_BODY_BYTES", "MAX_BODY_WITH_IMAGES_BYTES", "OVERFLOWED", "Body", "read_body"]

OVERFLOWED = "promptcraft.overflowed"
"""The scope's mark of a request, outside the chat paths, whose body was over its bound."""
MAX_BODY_BYTES = 1024 * 1024
MAX_BODY_WITH_IMAGES_BYTES = 20 * 1024 * 1024
_IMAGE_MARK = b'"image_url"'
_DISCARD_BYTES = 32 * 1024 * 1024
_DISCARD_S = 1.0
"""A body over its bound is read on for so long and no longer: closing on unread data would reset the
connection before most clients have read the 413. The bytes are more than a body just over its bound has."""

Receive = Callable[[], Awaitable[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A request's body. If it `overflowed` its bound, `data` is empty."""

    data: bytes
    overflowed: bool = False


async def read_body(scope: Mapping[str, Any], receive: Receive) -> Body | None:
    """Read the body; return None if the client left first.

    The bound is 1 MiB, or 20 MiB once an image part has shown itself within the first.
    """
    declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    if declared.isdigit() and int(declared[:20]) > MAX_BODY_WITH_IMAGES_BYTES:
        return await _overflow(receive)
    parts: list[bytes] = []
    size_bytes = 0
    bound = MAX_BODY_BYTES
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part: bytes = message.get("body", b"")
        if part:
            parts.append(part)
            size_bytes += len(part)
        more: bool = message.get("more_body", False)
        if size_bytes > bound:
            if bound == MAX_BODY_BYTES and _IMAGE_MARK in b"".join(parts):
                bound = MAX_BODY_WITH_IMAGES_BYTES
            if size_bytes > bound:
                parts.clear()
                return await _overflow(receive) if more else Body(data=b"", overflowed=True)
        if not more:
            return Body(data=parts[0] if len(parts) == 1 else b"".join(parts))


async def _overflow(receive: Receive) -> Body | None:
    discarded = 0
    try:
        async with asyncio.timeout(_DISCARD_S):
            while discarded < _DISCARD_BYTES:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                discarded += len(message.get("body", b""))
                if not message.get("more_body", False):
                    break
    except TimeoutError:
        pass
    return Body(data=b"", overflowed=True)
