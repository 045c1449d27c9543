"""One socket without a server."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from apps.templates.sockets.registry import sockets
from apps.templates.sockets.session import Close, Session


@pytest.mark.parametrize("code", [Close.TOO_MANY, Close.FLOOD])
async def test_one_that_has_ended_closes_nothing(code: int):
    sent: list[Mapping[str, Any]] = []
    left: list[bool] = []

    async def send(message: Mapping[str, Any]) -> None:
        sent.append(message)

    session = Session(
        {"path": "/ws/search/", "headers": [], "subprotocols": []},
        send,
        offers={"search"},
        successor="/",
        on_over=lambda: left.append(True),
    )
    before = asyncio.all_tasks()
    await session.open()
    assert session in sockets._sockets
    if code == Close.TOO_MANY:
        session._shut(code)
    else:
        await session.hear("x" * 2_000_000, None)
    (closing,) = asyncio.all_tasks() - before
    # Its client has left before the close frame was due.
    session.end()
    await asyncio.wait([closing])
    assert closing.cancelled()
    assert ([message["type"] for message in sent], left) == (["websocket.accept"], [])
    assert session not in sockets._sockets
