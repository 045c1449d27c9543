"""How answers are written: the head of a stream in one step, a large body in pieces, an old peer's without chunks."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from itertools import chain
from typing import Any

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from apps.accounts.addresses import network_of_headers
from promptcraft.headers import BODY_AT_ONCE, LINES, STARTS
from promptcraft.server.writing import UNTAKEN

__all__ = ["PlainCycle", "SwiftCycle"]


def _is_large(message: Any) -> bool:
    return len(message.get("body", b"")) > HIGH_WATER_LIMIT


async def _send_in_pieces(cycle: RequestResponseCycle, message: Any) -> None:
    """Send a large part of a body as its peer takes it, and count all of it meanwhile.

    A transport keeps what it is given until all of that is taken, but says of it only what is left.
    """
    body = message["body"]
    client = cycle.scope["client"]
    network = network_of_headers(client[0] if client else "", cycle.scope["headers"])
    held = UNTAKEN.open(network, cycle.transport.abort)
    try:
        held.hold(len(body))
        for start in range(0, len(body), HIGH_WATER_LIMIT):
            if held.given_up:
                # The connection is told of its end in the loop's next turn.
                await asyncio.sleep(0)
            end = start + HIGH_WATER_LIMIT
            more = end < len(body) or message.get("more_body", False)
            await cycle.send({"type": "http.response.body", "body": body[start:end], "more_body": more})
    finally:
        held.close()


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
        return _send_in_pieces(self, message) if _is_large(message) else super().send(message)

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
        if body and message.get("more_body", False) and not _is_large(message):
            self.transport.write(b"%b%x\r\n%b\r\n" % (head, len(body), body))
        else:
            self.transport.write(head)
            await self.send(message)

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
        if _is_large(message):
            await _send_in_pieces(self, message)
            return
        if message["type"] == "http.response.start":
            self._until_close = all(name.lower() != b"content-length" for name, _ in message.get("headers", ()))
            if self._until_close:
                self.chunked_encoding = False
        elif self._until_close:
            # uvicorn counts what is left of a length.
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)
