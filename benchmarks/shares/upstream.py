"""An upstream that answers every completion at once with two words."""

from __future__ import annotations

import asyncio
import json

__all__ = ["QuickUpstream"]

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def _chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    event = {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
    data = b"data: %b\n\n" % json.dumps(event).encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


_ANSWER = (
    b"".join((_HEAD, _chunk({"content": "two "}), _chunk({"content": "words"}), _chunk({}, "stop")))
    + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
)


class QuickUpstream:
    """Serves on 127.0.0.1 inside the running loop; use it in `async with`."""

    port = 0

    async def __aenter__(self) -> QuickUpstream:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(int(head.partition(b"content-length:")[2].partition(b"\r\n")[0]))
                writer.write(_ANSWER)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # It has left.
        finally:
            writer.transport.abort()
