"""How answers are written: the head of a stream in one step, the body as the request's version of HTTP reads it."""

from __future__ import annotations

from collections.abc import Coroutine
from itertools import chain
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from promptcraft.headers import BODY_AT_ONCE, LINES, STARTS

__all__ = ["PlainCycle", "SwiftCycle"]


class SwiftCycle(RequestResponseCycle):
    """uvicorn's, but for the head of a stream: two dozen headers, of which half are constants and all names are known.

    uvicorn looks for forbidden characters in each name and each value, and writes the head by itself. Here it goes out
    with the first events: one packet, and one system call.
    """

    _head = b""
    """Until the body that follows at once."""

    def send(self, message: Any) -> Coroutine[Any, Any, None]:
        """Send a message of ASGI's."""
        if self._head:
            return self._go_on(message)
        if BODY_AT_ONCE in message and not (
            self.response_started or self.disconnected or self.access_log or self.flow.write_paused
        ):
            return self._begin(message)
        return super().send(message)

    async def _begin(self, message: Any) -> None:
        head = self._head_of_stream(message)
        if not head:
            await super().send(message)
            return
        self.response_started = self.chunked_encoding = True
        self.waiting_for_100_continue = False
        self._head = head

    async def _go_on(self, message: Any) -> None:
        head, self._head = self._head, b""
        if self.disconnected:
            return
        body = message.get("body", b"")
        if body and message.get("more_body", False):
            self.transport.write(b"%b%x\r\n%b\r\n" % (head, len(body), body))
        else:
            self.transport.write(head)
            await super().send(message)

    def _head_of_stream(self, message: Any) -> bytes:
        """Return a head whose body is sent in chunks; nothing if it is any other, which uvicorn sees to."""
        if message["type"] != "http.response.start" or message["status"] != 200 or self.scope["method"] == "HEAD":
            return b""
        parts = [STATUS_LINE[200]]
        values = []
        for header in chain(self.default_headers, message["headers"]):
            line = LINES.get(header)
            if line is not None:
                parts.append(line)
                continue
            name, value = header
            start = STARTS.get(name)
            if start is None:
                return b""
            values.append(value)
            parts += (start, value, b"\r\n")
        written = b"".join(values)
        if len(written.translate(None, _FORBIDDEN)) != len(written):
            return b""
        parts.append(b"transfer-encoding: chunked\r\n\r\n" if self.keep_alive else _LAST)
        return b"".join(parts)


# uvicorn's own.
STARTS.update({b"date": b"date: ", b"server": b"server: "})
_FORBIDDEN = bytes({*range(0x20), 0x7F} - {0x09})
_LAST = b"connection: close\r\ntransfer-encoding: chunked\r\n\r\n"


class PlainCycle(RequestResponseCycle):
    """For HTTP/1.0: a body whose length the head does not give ends with the connection, not in chunks."""

    _until_close = False

    async def send(self, message: Any) -> None:
        """Send a message of ASGI's."""
        if message["type"] == "http.response.start":
            self._until_close = all(name.lower() != b"content-length" for name, _ in message.get("headers", ()))
            if self._until_close:
                self.chunked_encoding = False
        elif self._until_close:
            # uvicorn counts what is left of a length.
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)
