"""The handler of the chat paths: Django's resolver and middleware on the event loop, no thread for each request.

Django's own `ASGIHandler` enters a thread-sensitive context and runs signal receivers in a thread of its own for
each request. The views behind this handler are plain async ones that keep the ORM off the loop by themselves
(`promptcraft.database`), so they need neither; `request_started` and `request_finished` are not sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from io import BytesIO
from typing import Any

from django.core.handlers.asgi import ASGIHandler, ASGIRequest, get_script_prefix
from django.http import HttpResponseBase
from django.urls import set_script_prefix

from apps.chat.body import read_body
from apps.chat.responses import StreamResponse

__all__ = ["StreamHandler"]

logger = logging.getLogger("promptcraft.handler")

_MAY_HOLD_IMAGES = "/chat/completions/"

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]


class StreamHandler(ASGIHandler):
    """Serves one request on the loop; the view and the send are cancelled when the client goes, or takes nothing."""

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Read the bounded body, run the view, send its response."""
        body = await read_body(scope, receive, images=scope["path"].endswith(_MAY_HOLD_IMAGES))
        if body is None:
            return
        set_script_prefix(get_script_prefix(scope))
        request = ASGIRequest(scope, BytesIO(body.data))
        # Django would read the stream again, against its own bound; the body is here, bounded by ours.
        request._body = body.data
        request.META["promptcraft.body"] = body
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("an ASGI application is called inside a task")
        gone = False

        async def watch() -> None:
            nonlocal gone
            while (await receive())["type"] != "http.disconnect":
                continue
            gone = True
            task.cancel()

        watcher = asyncio.ensure_future(watch())
        response: HttpResponseBase | None = None
        try:
            response = await self.get_response_async(request)
            if body.refusal is not None:
                response.headers["Connection"] = "close"
            await self._respond(response, send, head=request.method == "HEAD")
        except asyncio.CancelledError:
            detached = isinstance(response, StreamResponse) and response.reader.detached
            if not gone and not detached:
                raise
        finally:
            watcher.cancel()
            if response is not None:
                response.close()

    async def _respond(self, response: HttpResponseBase, send: Send, *, head: bool) -> None:
        headers = [(name.encode("ascii"), value.encode("latin-1")) for name, value in response.items()]
        if isinstance(response, StreamResponse):
            await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
            if head:
                await send({"type": "http.response.body", "body": b""})
            else:
                await response.reader.drive(send)
            return
        content: bytes = getattr(response, "content", b"")
        await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if head else content})
