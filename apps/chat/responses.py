"""The response of a stream: headers, and a reader that the handler drives."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from django.conf import settings
from django.http import HttpResponse
from django.http.response import HttpResponseBase

from apps.llm.wire import json
from promptcraft.headers import Headers, add_headers, checked_headers, set_headers

__all__ = ["StreamReader", "StreamResponse", "json_response", "large_json_response"]

_STEP_BYTES = 32 * 1024
_EVENT_STREAM = "text/event-stream; charset=utf-8"


class StreamReader(Protocol):
    """What sends a stream: a completion's reader, or one of several steps."""

    detached: bool
    """Whether its peer took nothing for so long that it was let go of."""

    async def drive(self, send: Callable[[Mapping[str, Any]], Awaitable[None]]) -> None:
        """Send ASGI body messages to the end, the last one included; the first at once, empty if there is none yet."""

    def close(self) -> None:
        """Let go of what is followed. Safe to call again."""


class StreamResponse(HttpResponseBase):
    """Server-Sent Events, sent by `promptcraft.handler`: its `reader` is driven, there is no content.

    `headers` are of our own making: ids, names and numbers in printable ASCII.
    """

    streaming = True

    def __init__(self, reader: StreamReader, headers: Mapping[str, str]) -> None:
        super().__init__(content_type=_EVENT_STREAM)
        add_headers(self, _stream_headers())
        set_headers(self, headers)
        self.reader = reader

    def close(self) -> None:
        """Let go of the stream, whether it was sent or not."""
        self.reader.close()
        super().close()


@functools.cache
def _stream_headers() -> Headers:
    return checked_headers(
        {
            "Content-Type": _EVENT_STREAM,
            "Cache-Control": "no-cache, no-transform",
            "X-Accel-Buffering": "no",
            "Access-Control-Expose-Headers": ", ".join(settings.CORS_EXPOSE_HEADERS),
        }
    )


def json_response(body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """Return a JSON answer."""
    return HttpResponse(json.dumps(body), status=status, content_type="application/json", headers=dict(headers or {}))


async def large_json_response(body: Any, *, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """Return a JSON answer that may hold megabytes of text: written in steps, between which others have their turn."""
    parts: list[bytes] = []
    done_bytes = 0
    for part in json.dumps_in_pieces(body):
        parts.append(part)
        done_bytes += len(part)
        if done_bytes >= _STEP_BYTES:
            done_bytes = 0
            await asyncio.sleep(0)
    return HttpResponse(b"".join(parts), content_type="application/json", headers=dict(headers or {}))
