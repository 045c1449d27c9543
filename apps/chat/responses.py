"""The response of a stream: headers, and a reader that the handler drives."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.http.response import HttpResponseBase

from apps.chat.engine.reader import Reader
from apps.llm.wire import json
from promptcraft.headers import Headers, add_headers, checked_headers, set_headers

__all__ = ["StreamResponse", "json_response"]


class StreamResponse(HttpResponseBase):
    """A log as Server-Sent Events, sent by `promptcraft.handler`: its `reader` is driven, there is no content.

    `headers` are of our own making: ids, names and numbers in printable ASCII.
    """

    streaming = True

    def __init__(self, reader: Reader, headers: Mapping[str, str]) -> None:
        super().__init__(content_type="text/event-stream; charset=utf-8")
        add_headers(self, _stream_headers())
        set_headers(self, headers)
        self.reader = reader

    def close(self) -> None:
        """Leave the log, whether the stream was sent or not."""
        self.reader.close()
        super().close()


@functools.cache
def _stream_headers() -> Headers:
    return checked_headers(
        {
            "Cache-Control": "no-cache, no-transform",
            "X-Accel-Buffering": "no",
            "Access-Control-Expose-Headers": ", ".join(settings.CORS_EXPOSE_HEADERS),
        }
    )


def json_response(body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """Return a JSON answer."""
    return HttpResponse(json.dumps(body), status=status, content_type="application/json", headers=dict(headers or {}))
