"""A slow client's answer that is kept no more and takes what others need: it is cut, and can be read at rest."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from apps.chat.engine.kept import KeptCompletions
from apps.chat.runtime import get_supervisor
from apps.chat.services import Opened
from apps.llm.errors import ServiceUnavailable
from apps.templates.sockets.operations import _followed
from promptcraft.asgi import application
from tests.chat.engine.configured import mock_generation
from tests.doors.persons import API, Person
from tests.waiting import HANG_S

pytestmark = [pytest.mark.usefixtures("runtime"), pytest.mark.django_db(transaction=True)]

CHAT = {"messages": [{"role": "user", "content": "When does the tide turn?"}], "stream": True}


class Client:
    """One that takes nothing of an answer before it is asked to."""

    def __init__(self, token: str, path: str, body: object) -> None:
        self.takes = asyncio.Event()
        self.messages: list[Mapping[str, Any]] = []
        self._body = b"" if body is None else json.dumps(body).encode()
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "scheme": "http",
            "method": "POST" if self._body else "GET",
            "path": path,
            "query_string": b"",
            "root_path": "",
            "headers": [
                (b"host", b"localhost"),
                (b"authorization", b"Bearer " + token.encode()),
                (b"content-type", b"application/json"),
            ],
            "client": ("127.0.0.1", 4711),
            "server": ("127.0.0.1", 8000),
        }
        self._asked = False
        self.serving = asyncio.ensure_future(application(scope, self._receive, self._send))

    async def _receive(self) -> Mapping[str, Any]:
        if self._asked:
            await asyncio.Event().wait()
        self._asked = True
        return {"type": "http.request", "body": self._body}

    async def _send(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.body":
            await self.takes.wait()
        self.messages.append(message)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("chat/completions/", CHAT),
        ("prompts/generate/", {"prompt": "Write about rivers.", "stream": True}),
        ("prompts/run/", {"query": "a blog post about rivers"}),
    ],
)
async def test_the_first_reader(path: str, body: object):
    kept = get_supervisor()._kept = KeptCompletions(most_read_bytes=0)
    ann = await sync_to_async(Person)("ann")
    client = Client(ann.pair.access, API + path, body)
    async with asyncio.timeout(HANG_S):
        while not len(kept):  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.001)
        (generation,) = kept.expire(math.inf)
        if path == "prompts/run/":
            # It begins to send the completion once the steps before are taken.
            client.takes.set()
        await client.serving
    # No last message: its server cuts the connection.
    assert client.messages[0]["status"] == 200
    assert all(message["more_body"] for message in client.messages[1:])
    detail = await ann.ask(f"chat/completions/{generation.order.id}/")
    assert (detail.status, json.loads(detail.body)["status"]) == (200, "completed")
    assert (await ann.ask(f"chat/completions/{generation.order.id}/events/")).status == 410


async def test_a_later_reader():
    supervisor = get_supervisor()
    kept = supervisor._kept = KeptCompletions(most_read_bytes=0)
    ann = await sync_to_async(Person)("ann")
    assert (await ann.ask("chat/completions/", {**CHAT, "stream": False})).status == 200
    (generation,) = kept._by_id.values()
    client = Client(ann.pair.access, f"{API}chat/completions/{generation.order.id}/events/", None)
    async with asyncio.timeout(HANG_S):
        while not supervisor._services.readers:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.001)
        kept.expire(math.inf)
        await client.serving
    assert len(client.messages) <= 1
    assert supervisor._reader_slots._open == {}


async def test_a_message_of_a_websocket_is_answered_with_an_error():
    generation = await mock_generation(None)
    reader = generation.attach()
    opened = Opened(stream=True, reader=reader, generation=generation, stored=None, replayed=False)

    async def chunk(text: str) -> None:
        await asyncio.Event().wait()

    following = asyncio.ensure_future(_followed(opened, chunk))
    await generation.start()
    kept = KeptCompletions(most_read_bytes=0)
    kept.add(generation)
    kept.expire(math.inf)
    with pytest.raises(ServiceUnavailable) as caught:
        await following
    assert not caught.value.retryable
