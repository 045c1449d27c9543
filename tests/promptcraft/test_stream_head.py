"""The head of a stream is to the byte what uvicorn would have written."""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import Any

import pytest
from django.http import HttpResponse
from uvicorn import Config, Server
from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from promptcraft import asgi
from promptcraft.headers import BODY_AT_ONCE, checked_headers, encoded_headers, set_headers
from promptcraft.server.connection import GuardedProtocol
from promptcraft.server.cycle import SwiftCycle
from promptcraft.server.uvicorn_program import guard_uvicorn
from tests.each import each

CONSTANT = checked_headers({"X-Frame-Options": "DENY", "Vary": "origin"})
DATE = (b"date", b"Mon, 23 Nov 2026 08:10:56 GMT")


class Recorder(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []

    def write(self, data: Any) -> None:
        self.writes.append(data)

    @property
    def written(self) -> bytes:
        return b"".join(self.writes)


def cycle_of(kind: type[RequestResponseCycle], method: str = "POST", keep_alive: bool = True) -> RequestResponseCycle:
    transport: Any = Recorder()
    scope: Any = {"type": "http", "method": method}
    logger = logging.getLogger("tests.head")
    return kind(
        scope=scope,
        transport=transport,
        flow=FlowControl(transport),
        logger=logger,
        access_logger=logger,
        access_log=False,
        default_headers=[DATE, (b"server", b"uvicorn")],
        message_event=asyncio.Event(),
        expect_100_continue=False,
        keep_alive=keep_alive,
        on_response=lambda: None,
    )


def headers_of(**extra: str) -> list[tuple[bytes, bytes]]:
    response = HttpResponse(content_type="text/event-stream; charset=utf-8")
    set_headers(response, {"X-Request-Id": "req_1", **{name.replace("_", "-"): value for name, value in extra.items()}})
    for key, item in CONSTANT.items():
        response.headers._store[key] = item
    return encoded_headers(response)


async def answer(cycle: RequestResponseCycle, headers: list[tuple[bytes, bytes]], status: int = 200) -> bytes:
    """Begin a response, go on without anything to say yet, and return what was written."""
    start: Any = {"type": "http.response.start", "status": status, "headers": headers, BODY_AT_ONCE: True}
    await cycle.send(start)
    body: Any = {"type": "http.response.body", "body": b"", "more_body": True}
    await cycle.send(body)
    return cycle.transport.written  # type: ignore[attr-defined, no-any-return]


def test_the_server_that_runs_makes_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httptools_impl, "RequestResponseCycle", RequestResponseCycle)
    config = Config(asgi.application, http="httptools")
    config.load()
    before = signal.signal(signal.SIGTERM, Server(config).handle_exit)
    try:
        guard_uvicorn(())
    finally:
        signal.signal(signal.SIGTERM, before)
    assert config.http_protocol_class is GuardedProtocol
    assert httptools_impl.RequestResponseCycle is SwiftCycle


@each("keep_alive", [True, False])
@each(
    ("status", "method", "extra"),
    [
        (200, "POST", {}),
        (200, "GET", {}),
        (200, "POST", {"X-Latin": "caf\u00e9", "X-Tab": "a\tb", "X-Empty": ""}),
        (200, "POST", {"Content-Length": "7"}),
        (200, "POST", {"CONNECTION": "close"}),
        (200, "POST", {"Transfer-Encoding": "chunked"}),
        (200, "HEAD", {}),
        (204, "POST", {}),
        (404, "POST", {}),
    ],
)
async def test_it_is_uvicorns(status: int, method: str, extra: dict[str, str], keep_alive: bool) -> None:
    headers = headers_of(**extra)
    theirs, swift = (cycle_of(kind, method, keep_alive) for kind in (RequestResponseCycle, SwiftCycle))
    expected, written = await answer(theirs, headers, status), await answer(swift, headers, status)
    # uvicorn ends it with these two the other way round where it adds both.
    assert sorted(written.split(b"\r\n")) == sorted(expected.split(b"\r\n"))
    assert written.startswith(b"HTTP/1.1 %d " % status)
    assert written.endswith(b"\r\n\r\n")
    told = ("keep_alive", "chunked_encoding", "expected_content_length", "response_started", "response_complete")
    assert [getattr(swift, name) for name in told] == [getattr(theirs, name) for name in told]


@each("bodies", [[b"id: 1\n\n", b"id: 2\n\n", b""], [b"", b"id: 1\n\n", b""], [b"id: 1\n\n"], [b""]])
async def test_a_stream_goes_on_in_chunks_and_ends(bodies: list[bytes]) -> None:
    headers = headers_of()
    said: list[bytes] = []
    for kind in (RequestResponseCycle, SwiftCycle):
        cycle = cycle_of(kind)
        start: Any = {"type": "http.response.start", "status": 200, "headers": headers, BODY_AT_ONCE: True}
        await cycle.send(start)
        for number, body in enumerate(bodies, 1):
            message: Any = {"type": "http.response.body", "body": body, "more_body": number < len(bodies)}
            await cycle.send(message)
        assert cycle.response_complete
        said.append(cycle.transport.written)  # type: ignore[attr-defined]
    assert said[0] == said[1]


async def test_a_head_goes_out_with_the_first_events() -> None:
    cycle = cycle_of(SwiftCycle)
    messages: list[Any] = [
        {"type": "http.response.start", "status": 200, "headers": headers_of(), BODY_AT_ONCE: True},
        {"type": "http.response.body", "body": b"id: 1\n\n", "more_body": True},
        {"type": "http.response.body", "body": b"id: 2\n\n", "more_body": True},
    ]
    for message in messages:
        await cycle.send(message)
    first, second = cycle.transport.writes  # type: ignore[attr-defined]
    assert first.endswith(b"\r\n\r\n7\r\nid: 1\n\n\r\n")
    assert second == b"7\r\nid: 2\n\n\r\n"


async def test_a_client_that_leaves_before_the_first_events_gets_nothing() -> None:
    cycle = cycle_of(SwiftCycle)
    start: Any = {"type": "http.response.start", "status": 200, "headers": headers_of(), BODY_AT_ONCE: True}
    body: Any = {"type": "http.response.body", "body": b"id: 1\n\n", "more_body": True}
    await cycle.send(start)
    cycle.disconnected = True
    await cycle.send(body)
    assert cycle.transport.written == b""  # type: ignore[attr-defined]


@each("value", [b"a\r\nx-injected: 1", b"a\nb", b"a\x00b", b"\x7f"])
@each("name", [b"X-Request-Id", b"x-never-heard-of"])
async def test_what_would_begin_another_line_is_refused(name: bytes, value: bytes) -> None:
    cycle = cycle_of(SwiftCycle)
    with pytest.raises(RuntimeError, match="header value"):
        await answer(cycle, [*headers_of(), (name, value)])
    assert cycle.transport.written == b""  # type: ignore[attr-defined]


async def test_a_name_that_is_none_is_refused() -> None:
    cycle = cycle_of(SwiftCycle)
    with pytest.raises(RuntimeError, match="header name"):
        await answer(cycle, [*headers_of(), (b"x: y", b"1")])


async def test_a_client_that_left_gets_nothing() -> None:
    cycle = cycle_of(SwiftCycle)
    cycle.disconnected = True
    assert await answer(cycle, headers_of()) == b""


async def test_an_application_that_begins_with_a_body_is_told() -> None:
    message: Any = {"type": "http.response.body", "body": b"x"}
    with pytest.raises(RuntimeError, match=r"http\.response\.start"):
        await cycle_of(SwiftCycle).send(message)
