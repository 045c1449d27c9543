"""The legacy WebSockets by path. Imported only where LEGACY_WEBSOCKETS is on: Channels comes with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from channels.routing import URLRouter  # type: ignore[import-untyped,unused-ignore]
from django.urls import path, re_path

from apps.chat.body import CALLER
from apps.llm.errors import NotFound
from apps.templates.consumers import AiProcessingConsumer, PromptChatConsumer, SearchConsumer
from apps.templates.sockets.opening import account_of, handshake_refusal
from promptcraft.websocket import refuse_handshake

__all__ = ["SOCKET_PATHS", "websockets"]

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]


async def _nothing_here(scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
    await receive()
    await refuse_handshake(scope, send, NotFound("No WebSocket is at this path."))


_CONSUMERS = {
    "/ws/prompt-chat/": PromptChatConsumer,
    "/ws/ai-processing/": AiProcessingConsumer,
    "/ws/search/": SearchConsumer,
}
SOCKET_PATHS = frozenset(_CONSUMERS)
"""Servers that decide by themselves what a handshake is hand over others as well."""
_router = URLRouter(
    [
        *(path(where.removeprefix("/"), consumer.as_asgi()) for where, consumer in _CONSUMERS.items()),
        re_path("", _nothing_here),  # type: ignore[arg-type]
    ]
)


async def websockets(scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
    """Serve one connection, from its handshake on."""
    scope = {**scope, CALLER: account_of(scope)}
    refusal = handshake_refusal(scope)
    if refusal is None:
        await _router(scope, receive, send)
    else:
        await receive()
        await refuse_handshake(scope, send, refusal)
