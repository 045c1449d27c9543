"""The three ways to use a transport that the same cases are run over: ours pushed, ours pulled, httpx's own."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from apps.llm.providers.push_stream import PushStream
from apps.llm.providers.push_transport import PushTransport
from tests.waiting import HANG_S

__all__ = ["FACES", "OURS", "PUSHED", "Face", "Got", "opened", "over_faces", "whole"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Got:
    """A whole answer."""

    status: int
    headers: httpx.Headers
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Face:
    """A transport and a way to take bodies from it."""

    name: str

    @asynccontextmanager
    async def transport(
        self, tls: ssl.SSLContext | None = None, *, max_connections: int | None = None, **options: Any
    ) -> AsyncIterator[httpx.AsyncBaseTransport]:
        """Open a transport and close it; options are those of ours."""
        context = tls or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        transport: httpx.AsyncBaseTransport
        if self.name == "httpx":
            transport = httpx.AsyncHTTPTransport(
                verify=context,
                trust_env=False,
                limits=httpx.Limits(max_connections=max_connections, max_keepalive_connections=16),
            )
        else:
            # No connection closes of its age: a test that waits for one to close would pass for that alone.
            transport = PushTransport(
                tls=context, max_connections=max_connections, **({"kept_s": 10 * HANG_S} | options)
            )
        try:
            yield transport
        finally:
            await transport.aclose()

    async def body(self, response: httpx.Response) -> bytes:
        """Take the whole body."""
        taken: list[bytes] = []
        if self.name == "push":
            assert isinstance(response.stream, PushStream)
            await response.stream.push(taken.append)
        else:
            assert isinstance(response.stream, httpx.AsyncByteStream)
            async for data in response.stream:
                taken.append(data)
        assert b"" not in taken
        return b"".join(taken)


PUSHED = Face(name="push")
OURS = (PUSHED, Face(name="pull"))
FACES = (*OURS, Face(name="httpx"))


def over_faces(cases: Mapping[str, Any], *, ours_alone: Collection[str] = ()) -> list[Any]:
    """Return parameters `face, case`: every case over every face, but those in which httpx is known to differ."""
    assert set(ours_alone) <= set(cases)
    return [
        pytest.param(face, case, id=f"{face.name}-{name}")
        for name, case in cases.items()
        for face in (OURS if name in ours_alone else FACES)
    ]


@asynccontextmanager
async def opened(
    transport: httpx.AsyncBaseTransport,
    url: str,
    content: bytes = b"",
    *,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
    timeouts: Mapping[str, float | None] | None = None,
) -> AsyncIterator[httpx.Response]:
    """Send a request, yield the response and close it."""
    limits = {"connect": HANG_S, "read": None, "write": HANG_S, "pool": None} | dict(timeouts or {})
    request = httpx.Request(method, url, headers=headers, content=content, extensions={"timeout": limits})
    response = await transport.handle_async_request(request)
    try:
        yield response
    finally:
        await response.aclose()


async def whole(face: Face, transport: httpx.AsyncBaseTransport, url: str, content: bytes = b"", **options: Any) -> Got:
    """Send a request and return the whole answer."""
    async with opened(transport, url, content, **options) as response:
        return Got(status=response.status_code, headers=response.headers, body=await face.body(response))
