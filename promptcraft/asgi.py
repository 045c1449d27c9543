"""The ASGI application: one dispatcher in front of the handlers.

HTTP goes to `StreamHandler`. WebSockets are refused, unless LEGACY_WEBSOCKETS is on. Servers that know the lifespan
protocol start and drain through it; others start with the first request.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "promptcraft.settings")

import django

django.setup(set_prefix=False)

from django.conf import settings  # noqa: E402
from django.core.checks import Error, run_checks  # noqa: E402

from apps.accounts.addresses import network_of_headers  # noqa: E402
from apps.accounts.identity import recall_user_id, signed_share  # noqa: E402
from apps.chat.body import CALLER, REFUSED, held_meanwhile  # noqa: E402
from apps.chat.runtime import get_supervisor, start_runtime, stop_runtime  # noqa: E402
from apps.core.loop_turns import LOOP_TURNS  # noqa: E402
from apps.core.store_bounds import bound_waits  # noqa: E402
from apps.llm.errors import NotFound, PromptCraftError  # noqa: E402
from apps.templates.rules.preloading import preload_in_background  # noqa: E402
from promptcraft.handler import StreamHandler  # noqa: E402
from promptcraft.scope import head_refusal, made_safe, safe_path  # noqa: E402
from promptcraft.server.access_logs import quiet_daphne  # noqa: E402
from promptcraft.server.daphne_flow import paced  # noqa: E402
from promptcraft.server.uvicorn_program import guard_uvicorn  # noqa: E402
from promptcraft.websocket import refuse_handshake  # noqa: E402

__all__ = ["application"]

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

# uvicorn starts a worker that left with any other code again, and again.
_STARTUP_FAILED = 3
_HEALTH = frozenset(f"/api/v2/chat/health/{name}" for name in ("", "live/", "ready/"))
_BEARER_OFFERED = re.compile(rb"(?:^|[ ,])bearer\.([^ ,]+)")


class Dispatcher:
    """Chooses the handler by the scope's type."""

    def __init__(self) -> None:
        self._stream = StreamHandler()
        self._websockets: Callable[[Scope, Receive, Send], Awaitable[None]] = _no_websockets
        self._socket_paths: Collection[str] = frozenset()
        if settings.LEGACY_WEBSOCKETS:
            # Channels is not to be imported where nobody asked for it.
            from apps.templates.routing import SOCKET_PATHS, websockets

            self._websockets, self._socket_paths = websockets, SOCKET_PATHS
        if "daphne.server" in sys.modules:
            # It knows no lifespan, and imports the application before it listens.
            from promptcraft.server.daphne_requests import guard_daphne_requests
            from promptcraft.server.daphne_sockets import guard_daphne_sockets

            guard_daphne_requests(self._socket_paths)
            guard_daphne_sockets()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of the server's."""
        match scope["type"]:
            case "http":
                await self._http(scope, receive, send)
            case "lifespan":
                await self._lifespan(receive, send)
            case "websocket":
                await self._websocket(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        get_supervisor()
        path = safe_path(scope["path"])
        refusal = head_refusal(scope)
        if refusal is None:
            try:
                await _wait_turn(scope, path)
            except PromptCraftError as refused:
                refusal = refused
        if refusal is not None:
            # The middleware answers, so that this answer too has what every answer has.
            scope = {**scope, REFUSED: refusal}
        # Bound to no name here, so that a stream can let go of it.
        await self._stream(made_safe(scope, path), receive, paced(send))

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        # Before the runtime puts its own signal handlers in the place of the server's.
        guard_uvicorn(self._socket_paths)
        if settings.LEGACY_WEBSOCKETS:
            from promptcraft.server.socket_connection import guard_uvicorn_sockets

            guard_uvicorn_sockets()
        start_runtime()
        await send({"type": "lifespan.startup.complete"})
        preload_in_background()
        await receive()
        await stop_runtime()
        await send({"type": "lifespan.shutdown.complete"})

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        get_supervisor()
        try:
            await _wait_turn(scope, scope["path"])
        except PromptCraftError as refusal:
            await receive()
            await refuse_handshake(scope, send, refusal)
        else:
            await self._websockets({**scope, "path": safe_path(scope["path"])}, receive, send)


async def _wait_turn(scope: Scope, path: str) -> None:
    """Wait for the turn of a request, and note on whose account its body is held.

    That is a user whose token is known already, or a network. Who would wait behind others of their network is asked
    for a signature first, and waits in a line of its user's apart from theirs: the log-in may have ended. Health has a
    line of its own: it does not say how many ask. Raises as `LoopTurns.wait` does.
    """
    headers: Mapping[bytes, bytes] = dict(scope["headers"])
    authorization = headers.get(b"authorization", b"")
    if scope["type"] == "websocket":
        offered = _BEARER_OFFERED.search(headers.get(b"sec-websocket-protocol", b""))
        authorization = b"Bearer " + offered[1] if offered else authorization
    known = recall_user_id(authorization)
    caller: Hashable = known
    if known is None:
        client = scope.get("client") or ("",)
        caller = network_of_headers(client[0], scope["headers"])
    scope[CALLER] = caller
    is_health = known is None and path in _HEALTH
    line: Hashable = (caller, "health") if is_health else caller
    if LOOP_TURNS.begins(line):
        return
    part = ""
    if known is None and not is_health and (signed := signed_share(authorization)) is not None:
        line, part = signed
    async with held_meanwhile(scope):
        await LOOP_TURNS.wait(line, part)


async def _no_websockets(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await refuse_handshake(scope, send, NotFound("WebSockets are not served here. Use the paths under /api/v2/."))


def _refuse_bad_configuration() -> None:
    """Run our own system checks: a server started without manage.py would skip them."""
    problems = [problem for problem in run_checks() if isinstance(problem, Error) and problem.id]
    ours = [problem for problem in problems if str(problem.id).startswith("promptcraft.")]
    if ours:
        print(f"promptcraft: {ours[0].msg} {ours[0].hint}", file=sys.stderr)
        raise SystemExit(_STARTUP_FAILED)


_refuse_bad_configuration()
bound_waits()
quiet_daphne()
application = Dispatcher()
