"""The response of a stream: headers, and a reader that the handler drives."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from django.conf import settings
from django.http import HttpResponse, StreamingHttpResponse

from apps.chat.engine.reader import Reader
from apps.llm.wire import json

__all__ = ["StreamResponse", "json_response"]


class StreamResponse(StreamingHttpResponse):
    """A log as Server-Sent Events. `reader` is driven by `promptcraft.handler`, or iterated by other servers."""

    def __init__(self, reader: Reader, headers: Mapping[str, str]) -> None:
        super().__init__(
            (),
            content_type="text/event-stream; charset=utf-8",
            headers={
                "Cache-Control": "no-cache, no-transform",
                "X-Accel-Buffering": "no",
                "Access-Control-Expose-Headers": ", ".join(settings.CORS_EXPOSE_HEADERS),
                **headers,
            },
        )
        self.reader = reader
        self.is_async = True

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Iterate over what the reader sends."""
        return self.reader.__aiter__()

    def close(self) -> None:
        """Leave the log, whether the stream was sent or not."""
        self.reader.close()
        super().close()


def json_response(body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """Return a JSON answer."""
    return HttpResponse(json.dumps(body), status=status, content_type="application/json", headers=dict(headers or {}))
