"""What a WebSocket's server is told: a handshake refused with a status or accepted with headers, a close with a code.

ASGI leaves the first two to servers as extensions, which daphne lacks, and of the codes it refuses those below 3000.
What it builds on, autobahn, has all three.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from apps.chat.envelope import envelope
from apps.llm.errors import PromptCraftError
from apps.llm.wire import json

__all__ = ["accept_handshake", "refuse_handshake", "send_close"]

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


async def send_close(send: Send, code: int) -> None:
    """Send the close frame."""
    daphne = _daphne_connection(send)
    if daphne is None:
        await send({"type": "websocket.close", "code": code})
    else:
        daphne.sendCloseFrame(code=code)


def _daphne_connection(send: Send) -> Any:
    """Return daphne's connection that a send belongs to, None under any other server."""
    connection = send.args[0] if isinstance(send, partial) and send.args else None
    return connection if hasattr(connection, "sendCloseFrame") else None


def _deny(connection: Any, error: PromptCraftError) -> None:
    """Do what daphne does to reject a handshake, with another status."""
    from autobahn.websocket.types import ConnectionDeny

    denial = ConnectionDeny(code=error.http_status, reason=error.code.value)  # type: ignore[no-untyped-call]
    connection.handshake_deferred.errback(denial)
    del connection.handshake_deferred
    connection.server.protocol_disconnected(connection)
