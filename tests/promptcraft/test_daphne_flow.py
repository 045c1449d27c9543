"""Back-pressure under daphne: what Twisted says of a connection's buffer holds back what is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
from daphne.http_protocol import WebRequest  # type: ignore[import-untyped,unused-ignore]

from apps.chat.begun import Rest, begin
from promptcraft.server import daphne_flow
from promptcraft.server.daphne_flow import paced
from promptcraft.server.daphne_requests import GuardedRequest

PIECE = {"type": "http.response.body", "body": b"piece", "more_body": True}
END = {"type": "http.response.body", "body": b""}


class Channel:
    """Twisted's connection, with a buffer that is full when a test says so."""

    def __init__(self) -> None:
        self.producer: Any = None
        self.aborted = False

    def forceAbortClient(self) -> None:
        self.aborted = True


class Request:
    """Twisted's request, of which a response is a producer."""

    def __init__(self, channel: Channel) -> None:
        self.channel: Channel | None = channel

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert self.channel is not None
        self.channel.producer = producer

    def unregisterProducer(self) -> None:
        # As Twisted does, which raises where there is no connection any more.
        self.channel.producer = None  # type: ignore[union-attr]


class Sending:
    """What an application sends with, and what came of it."""

    def __init__(self) -> None:
        self.channel = Channel()
        self.request = Request(self.channel)
        self.sent: list[Mapping[str, Any]] = []
        self.send = paced(partial(self._take, self.request))

    async def _take(self, request: Request, message: Mapping[str, Any]) -> None:
        self.sent.append(message)

    def begin_outside_a_task(self, message: Mapping[str, Any]) -> asyncio.Future[Rest[None] | None]:
        """Begin to send where the event loop calls back, as when a provider's bytes arrive."""
        begun: asyncio.Future[Rest[None] | None] = asyncio.get_running_loop().create_future()

        def call_back() -> None:
            try:
                begun.set_result(begin(self.send(message)))
            except Exception as error:
                begun.set_exception(error)

        asyncio.get_running_loop().call_soon(call_back)
        return begun


@pytest.fixture
async def full() -> Sending:
    sending = Sending()
    await sending.send(PIECE)
    sending.channel.producer.pauseProducing()
    return sending


async def test_what_is_begun_outside_a_task_waits_as_well(full: Sending):
    rest = await full.begin_outside_a_task(PIECE)
    assert rest is not None
    assert full.sent == [PIECE]
    full.channel.producer.resumeProducing()
    await rest
    assert full.sent == [PIECE, PIECE]


async def test_one_who_takes_nothing_is_cut(full: Sending, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(daphne_flow, "_STUCK_S", 0.0)
    await full.send(PIECE)
    assert full.channel.aborted


async def test_a_connection_that_ends_lets_go(full: Sending):
    waiting = asyncio.ensure_future(full.send(PIECE))
    await asyncio.sleep(0)
    full.channel.producer.stopProducing()
    await waiting


async def test_the_end_comes_after_the_connection_was_lost(full: Sending):
    full.channel.producer.stopProducing()
    full.request.channel = None
    await full.send(END)
    assert full.sent == [PIECE, END]


async def test_the_end_leaves_no_producer_behind():
    sending = Sending()
    await sending.send(PIECE)
    await sending.send(END)
    assert sending.channel.producer is None


def test_under_another_server_nothing_changes():
    async def send(message: Mapping[str, Any]) -> None: ...

    assert paced(send) is send


class TestBrokenOff:
    """What daphne does when an application raises."""

    def request(self, started: bool) -> GuardedRequest:
        request = GuardedRequest.__new__(GuardedRequest)
        request.channel = Channel()
        request.finished = 0
        request._response_started = started
        return request

    def test_an_answer_that_began_is_cut(self):
        request = self.request(started=True)
        request.handle_exception(RuntimeError())
        assert request.channel.aborted

    def test_one_that_did_not_is_an_error(self, monkeypatch: pytest.MonkeyPatch):
        errors: list[RuntimeError] = []
        monkeypatch.setattr(WebRequest, "handle_exception", lambda self, error: errors.append(error))
        request = self.request(started=False)
        error = RuntimeError()
        request.handle_exception(error)
        assert errors == [error]
        assert not request.channel.aborted
