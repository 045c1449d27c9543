"""Answers to the handshake of a WebSocket: refused with a status and the envelope, or accepted with headers.

ASGI leaves both to servers as extensions. daphne has neither, but what it builds on has: a small hook uses that.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from apps.chat.envelope import envelope
from apps.llm.errors import PromptCraftError
from apps.llm.wire import json

__all__ = ["accept_handshake", "refuse_handshake"]

Scope = Mapping[str, Any]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]


async def refuse_handshake(scope: Scope, send: Send, error: PromptCraftError) -> None:
    """Answer with the error's status; where the server knows no such thing, with its own 403."""
    daphne = _daphne_connection(send)
    if "websocket.http.response" in (scope.get("extensions") or {}):
        request_id = f"req_{secrets.token_hex(12)}"
        body = json.dumps(envelope(error, request_id))
        headers = {
            **{name.lower(): value for name, value in error.headers.items()},
            "content-type": "application/json",
            "content-length": str(len(body)),
            "cache-control": "no-store",
            "x-content-type-options": "nosniff",
            "x-request-id": request_id,
        }
        encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "websocket.http.response.start", "status": error.http_status, "headers": encoded})
        await send({"type": "websocket.http.response.body", "body": body})
    elif daphne is not None:
        _deny(daphne, error)
    else:
        await send({"type": "websocket.close"})


async def accept_handshake(send: Send, *, subprotocol: str | None, headers: Mapping[str, str]) -> None:
    """Accept, with headers where the server has a place for them."""
    accepted: Any = subprotocol
    if _daphne_connection(send) is not None:
        # It hands this on as it is, and autobahn takes a pair.
        accepted = (subprotocol, dict(headers))
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "websocket.accept", "subprotocol": accepted, "headers": encoded})


def _daphne_connection(send: Send) -> Any:
    """Return daphne's connection in handshake that a send belongs to, None under any other server."""
    connection = send.args[0] if isinstance(send, partial) and send.args else None
    return connection if hasattr(connection, "handshake_deferred") else None


def _deny(connection: Any, error: PromptCraftError) -> None:
    """Do what daphne does to reject a handshake, with another status."""
    from autobahn.twisted.websocket import ConnectionDeny  # type: ignore[import-untyped,unused-ignore]

    connection.handshake_deferred.errback(ConnectionDeny(code=error.http_status, reason=error.code.value))
    del connection.handshake_deferred
    connection.server.protocol_disconnected(connection)
