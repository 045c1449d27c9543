"""The legacy WebSockets: the handshake, and each type of message with each member that it may have."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from tests.doors.growth.application import Application
from tests.doors.growth.growing import Growing, Work
from tests.doors.growth.shapes import SHAPES

__all__ = ["MESSAGES", "socket_doors"]

_SIZE = 400
_PATHS = {"search": "/ws/search/"}
_PATIENCE_S = 600.0
_CLOSELY = ("one word", "quotations", "placeholders")

MESSAGES: Mapping[str, Mapping[str, Any]] = {
    "authenticate": {"token": "a"},
    "ping": {},
    "cancel": {},
    "process_intent": {"query": "write a post about dogs"},
    "optimize_prompt": {"prompt": "write a post about dogs", "intent_data": {}, "tone": "warm", "audience": "owners"},
    "generate_content": {"prompt": "hello", "model": "mock", "variables": {}, "template": "a"},
    "chat_message": {"message": "hello", "history": [], "model": "mock"},
    "search": {"query": "dogs", "filters": {}},
}
"""The members of each type, each of which grows, beside those that are needed."""
_NEEDED = {
    "process_intent": ("query",),
    "optimize_prompt": ("prompt",),
    "generate_content": ("prompt", "model"),
    "chat_message": ("message", "model"),
    "search": ("query",),
}


def socket_doors(application: Application) -> Iterator[Growing]:
    """Yield whatever can grow."""
    for kind, members in MESSAGES.items():
        base = {"type": kind, **{name: members[name] for name in _NEEDED.get(kind, ())}}
        for name, value in {**members, "request_id": "", "type": ""}.items():
            shapes = _CLOSELY if name in ("query", "prompt", "message") else ("words",)
            yield Growing(
                door=f"WebSocket {kind}",
                thing=name,
                size=_SIZE,
                works={shape: partial(_message, application, kind, base, name, value, shape) for shape in shapes},
            )
    for name in ("origin", "host", "subprotocol"):
        yield Growing(
            door="WebSocket handshake", thing=name, size=_SIZE, works={"": partial(_handshake, application, name)}
        )
    yield Growing(door="WebSocket", thing="not JSON", size=_SIZE, works={"": partial(_text, application)})


def _message(
    application: Application, kind: str, base: Mapping[str, Any], name: str, value: Any, shape: str, size: int
) -> Work:
    grown: object = SHAPES[shape](size)
    if isinstance(value, dict):
        grown = {f"a{number}": "a" for number in range(size // 8)}
    elif isinstance(value, list):
        grown = [{"role": "user", "content": "hello"}] * (size // 8)
    text = json.dumps({**base, "request_id": 1, name: grown})
    return partial(_talk, application, _PATHS.get(kind, "/ws/prompt-chat/"), [text])


def _text(application: Application, size: int) -> Work:
    return partial(_talk, application, "/ws/search/", ["[" * size])


def _handshake(application: Application, name: str, size: int) -> Work:
    return partial(_talk, application, "/ws/search/", [], **{name: SHAPES["words"](size)})


async def _talk(
    application: Application,
    path: str,
    texts: list[str],
    *,
    origin: str = "",
    host: str = "localhost",
    subprotocol: str = "",
) -> None:
    """Open a socket, send the texts, wait for the answer to the last and leave."""
    from promptcraft.asgi import application as asgi

    headers = [(b"host", host.encode())]
    if origin:
        headers.append((b"origin", origin.encode()))
    scope = {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
        "subprotocols": ["promptcraft.v1", f"bearer.{application.token}", *([subprotocol] if subprotocol else [])],
        "client": ("127.0.0.1", 4711),
    }
    incoming: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue()
    answered = asyncio.Event()
    incoming.put_nowait({"type": "websocket.connect"})

    async def send(message: Mapping[str, Any]) -> None:
        said = json.loads(message.get("text") or "{}").get("type")
        if message["type"] in ("websocket.close", "websocket.http.response.body"):
            answered.set()
        elif said == "connection_established":
            for text in texts:
                incoming.put_nowait({"type": "websocket.receive", "text": text})
            if not texts:
                answered.set()
        elif said not in (None, "processing_started", "content_chunk"):
            answered.set()

    talking = asyncio.ensure_future(asgi(scope, incoming.get, send))
    async with asyncio.timeout(_PATIENCE_S):
        waiting = asyncio.ensure_future(answered.wait())
        await asyncio.wait({waiting, talking}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        incoming.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await talking
