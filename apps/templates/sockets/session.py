"""One open socket: whose it is, what is being answered on it, and what ends it."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from typing import Any

from django.conf import settings

from apps.accounts.identity import authenticate_token
from apps.accounts.tokens import AccessClaims, verify_access
from apps.chat.body import CALLER
from apps.chat.envelope import envelope, translate
from apps.llm.errors import Code, InvalidRequest, NotFound, PromptCraftError, RateLimited, ServiceUnavailable
from apps.templates.sockets.frequency import Frequency
from apps.templates.sockets.messages import MAX_MESSAGE_BYTES, BrokenMessage, Message, RequestId, read_message, written
from apps.templates.sockets.opening import offered_token, opening_headers, spoken_subprotocol
from apps.templates.sockets.outbox import Outbox, PeerGone
from apps.templates.sockets.registry import sockets
from apps.templates.sockets.requests import SocketRequest, chosen_request_id
from promptcraft.websocket import accept_handshake

__all__ = ["MOST_MESSAGES_A_SECOND", "MOST_REQUESTS", "TOO_MANY_PAUSE_S", "Close", "Session"]

MOST_REQUESTS = 16
"""At once on one socket; further ones are refused. What they ask for has the bounds that it has over HTTP."""
MOST_MESSAGES_A_SECOND = 50
_TOKEN_S = 10.0
"""For a client that has sent no token with its handshake to send one."""
TOO_MANY_PAUSE_S = 1.0
"""Before a user's connection too many is closed: clients that connect again at once would keep the loop busy."""
_LONGEST_CLOCK_S = 3600.0

Send = Callable[[Mapping[str, Any]], Awaitable[None]]


class Close:
    """Codes of close frames."""

    FLOOD = 1008
    TOO_BIG = 1009
    FAULT = 1011
    RESTART = 1012
    BUSY = 1013
    UNAUTHORIZED = 4401
    TOO_MANY = 4429


class Session:
    """A socket from its handshake on. Feed it the server's messages in order; `end` it when the server is done.

    `on_over` is called when the connection is to be left: its close frame is sent, or its peer has taken nothing for
    60 s.
    """

    __slots__ = (
        "_clock",
        "_closing",
        "_draining",
        "_ending",
        "_messages",
        "_offers",
        "_on_over",
        "_outbox",
        "_running",
        "_scope",
        "_send",
        "_successor",
        "_token",
        "family_id",
    )

    def __init__(
        self,
        scope: Mapping[str, Any],
        send: Send,
        *,
        offers: Collection[str],
        successor: str,
        on_over: Callable[[], None],
    ) -> None:
        self._scope = scope
        self._send = send
        self._offers = offers
        self._successor = successor
        self._on_over = on_over
        self._outbox = Outbox(send, on_over)
        self._token = ""
        self.family_id: uuid.UUID | None = None
        self._running: dict[object, tuple[SocketRequest, asyncio.Task[None]]] = {}
        self._clock: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None
        self._ending = self._draining = False
        self._messages = Frequency(MOST_MESSAGES_A_SECOND)

    # --- what the server tells

    async def open(self) -> None:
        """Accept the handshake; authenticate at once if it brings a token."""
        offered: list[str] = list(self._scope.get("subprotocols", ()))
        token = offered_token(offered)
        await accept_handshake(
            self._send, subprotocol=spoken_subprotocol(offered), headers=opening_headers(self._successor)
        )
        sockets.add(self, self._scope.get(CALLER))
        if token is None:
            self._clock = asyncio.get_running_loop().call_later(_TOKEN_S, self._shut, Close.UNAUTHORIZED)
        else:
            await self._authenticate(token, None)

    async def hear(self, text: str | None, data: bytes | None) -> None:
        """Take a message: a text, or the bytes of a binary one."""
        if self._ending:
            return
        if len(data or b"") > MAX_MESSAGE_BYTES or (text is not None and _size_bytes(text) > MAX_MESSAGE_BYTES):
            self._shut(Close.TOO_BIG)
        elif not self._messages.has_room(time.monotonic()):
            self._shut(Close.FLOOD)
        else:
            try:
                await self._heard(text)
            except PeerGone:
                pass

    def end(self) -> None:
        """Let go of everything: requests end as those of a client that left. Safe to call again."""
        self._ending = self._outbox.closed = True
        sockets.discard(self)
        if self._clock is not None:
            self._clock.cancel()
        for _, task in self._running.values():
            task.cancel()
        if self._closing is not None:
            self._closing.cancel()

    async def say_restart(self) -> None:
        """Close with 1012, for a server that ends without doing it."""
        await self._outbox.close(Close.RESTART)

    # --- what the registry tells

    def drain(self) -> None:
        """Close with 1012 as soon as nothing is being answered."""
        self._draining = True
        if not self._running:
            self._shut(Close.RESTART)

    def token_died(self) -> None:
        """Close with 4401."""
        self._shut(Close.UNAUTHORIZED)

    # --- messages

    async def _heard(self, text: str | None) -> None:
        message: Message | None = None
        try:
            if text is None:
                raise BrokenMessage(InvalidRequest("Binary messages are not read here. Send JSON as text."))
            message = read_message(text)
        except BrokenMessage as broken:
            if self._token:
                await self._refuse(broken.error, broken.request_id)
                return
        if not self._token:
            await self._introduced(message)
        elif message is not None:
            await self._serve(message)

    async def _introduced(self, message: Message | None) -> None:
        """Take the first message of a client whose handshake brought no token: it is the token, or it is the last."""
        token = None if message is None or message.type != "authenticate" else message.members.get("token")
        if message is None or not isinstance(token, str):
            self._shut(Close.UNAUTHORIZED)
        else:
            await self._authenticate(token, message.request_id)

    async def _serve(self, message: Message) -> None:
        match message.type:
            case "ping":
                await self._outbox.send(written("pong", message.request_id, {}))
            case "cancel":
                await self._cancel(message)
            case "authenticate":
                await self._refuse(
                    InvalidRequest("This connection has its token. Open another one for another token.", param="type"),
                    message.request_id,
                )
            case kind if kind in self._offers:
                await self._begin(message)
            case _:
                known = ", ".join(sorted({*self._offers, "cancel", "ping"}))
                await self._refuse(
                    InvalidRequest(f"`type` is not known on this path. Known are {known}.", param="type"),
                    message.request_id,
                )

    async def _begin(self, message: Message) -> None:
        key: object = object() if message.request_id is None else message.request_id
        if key in self._running:
            await self._refuse(
                InvalidRequest("A request with this `request_id` is being answered. Use another.", param="request_id"),
                message.request_id,
            )
            return
        if len(self._running) >= MOST_REQUESTS:
            await self._outbox.send(written("processing_started", message.request_id, {}))
            await self._refuse(
                RateLimited(
                    f"{MOST_REQUESTS} requests are being answered on this connection. Wait for one of them.",
                    retry_after_s=1,
                    code=Code.TOO_MANY_STREAMS,
                ),
                message.request_id,
            )
            return
        request = SocketRequest(
            message,
            outbox=self._outbox,
            token=self._token,
            path=self._scope["path"],
            scenario=_header(self._scope, b"x-mock-scenario"),
            on_bad_token=self.token_died,
        )
        task = asyncio.get_running_loop().create_task(request.run())
        self._running[key] = request, task
        task.add_done_callback(partial(self._finished, key))

    async def _cancel(self, message: Message) -> None:
        if message.request_id is None:
            await self._refuse(
                InvalidRequest(
                    "`request_id` is required: it says what to stop.", code=Code.MISSING_FIELD, param="request_id"
                ),
                None,
            )
        elif message.request_id in self._running:
            self._running[message.request_id][0].cancel()
        else:
            await self._refuse(NotFound("No request with this `request_id` is being answered."), message.request_id)

    async def _refuse(self, error: PromptCraftError, request_id: RequestId | None) -> None:
        await self._outbox.send(written("error", request_id, envelope(error, chosen_request_id(request_id))))

    # --- who it is

    async def _authenticate(self, token: str, request_id: RequestId | None) -> None:
        try:
            caller = await authenticate_token(token)
            # A known token is recalled, and cheap; its claims are read of those only who may stay.
            if not self._ending and not sockets.name_user(self, caller.user_id):
                self._shut(Close.TOO_MANY)
                return
            claims = verify_access(token)
        except Exception as error:
            self._shut(Close.UNAUTHORIZED if (ours := translate(error)).http_status == 401 else _code_of(ours))
            return
        if self._ending:
            return
        self._token, self.family_id = token, claims.family_id
        if self._clock is not None:
            self._clock.cancel()
        self._watch_expiry(claims)
        deprecation = {"sunset": settings.LEGACY_WEBSOCKETS_SUNSET.isoformat(), "successor": self._successor}
        try:
            await self._outbox.send(written("connection_established", request_id, {"deprecation": deprecation}))
        except PeerGone:
            pass

    def _watch_expiry(self, claims: AccessClaims) -> None:
        left_s = claims.expires_at_s - time.time()
        if left_s <= 0:
            self.token_died()
        else:
            # The wall clock may be set, and loops count a little short.
            loop = asyncio.get_running_loop()
            self._clock = loop.call_later(min(left_s + 0.001, _LONGEST_CLOCK_S), self._watch_expiry, claims)

    # --- ends

    def _finished(self, key: object, task: asyncio.Task[None]) -> None:
        del self._running[key]
        if self._ending:
            return
        if task.cancelled():
            # Its reader has let go of a peer that takes nothing.
            self._on_over()
        elif (error := task.exception()) is not None:
            translate(error if isinstance(error, Exception) else RuntimeError(type(error).__name__))
            self._shut(Close.FAULT)
        elif self._draining and not self._running:
            self._shut(Close.RESTART)

    def _shut(self, code: int) -> None:
        """Stop every request and send the close frame; whichever code comes first is sent."""
        if self._ending:
            return
        self._ending = True
        if self._clock is not None:
            self._clock.cancel()
        for _, task in self._running.values():
            task.cancel()
        self._closing = asyncio.get_running_loop().create_task(self._close(code))

    async def _close(self, code: int) -> None:
        if code == Close.TOO_MANY:
            await asyncio.sleep(TOO_MANY_PAUSE_S)
        await self._outbox.close(code)
        self._on_over()


def _code_of(error: PromptCraftError) -> int:
    return Close.BUSY if isinstance(error, ServiceUnavailable) else Close.FAULT


def _size_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _header(scope: Mapping[str, Any], name: bytes) -> str | None:
    value: bytes | None = next((value for key, value in scope["headers"] if key == name), None)
    return None if value is None else value.decode("latin-1")
