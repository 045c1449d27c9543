"""Requests as bytes and answers read off a connection: as little of the client's own time as may be."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

__all__ = ["Connection", "request_bytes"]

_ANSWER_S = 30.0
"""An answer that takes longer counts as having taken so long."""


def request_bytes(method: str, path: str, body: Any = None, *, token: str | None = None) -> bytes:
    """Return a request, its body JSON."""
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(content)}"]
    if content:
        lines.append("Content-Type: application/json")
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + content


class Connection:
    """A keep-alive connection from an address of this machine's. `close` it."""

    def __init__(self, port: int, source: str) -> None:
        self._port = port
        self._source = source
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, request: bytes, *, first_event_only: bool = False) -> tuple[int, Mapping[str, str], bytes]:
        """Send a request and return status, headers and body; of a stream up to its first event, if that is all."""
        async with asyncio.timeout(_ANSWER_S):
            if self._writer is None:
                self._reader, self._writer = await asyncio.open_connection(
                    "127.0.0.1", self._port, local_addr=(self._source, 0), limit=2**20
                )
            assert self._reader is not None
            self._writer.write(request)
            try:
                head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                self.close()
                return 0, {}, b""
            status = int(head[0].split(" ")[1])
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
            body = b""
            if headers.get("transfer-encoding") == "chunked":
                while size := int(await self._reader.readline(), 16):
                    body += (await self._reader.readexactly(size + 2))[:-2]
                    if first_event_only and b"data:" in body:
                        self.close()
                        return status, headers, body
                await self._reader.readline()
            elif status not in (204, 205, 304):
                body = await self._reader.readexactly(int(headers.get("content-length", 0)))
            if headers.get("connection") == "close":
                self.close()
            return status, headers, body

    def close(self) -> None:
        """Hang up; the next request connects anew."""
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None
