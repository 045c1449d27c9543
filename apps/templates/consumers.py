"""The legacy WebSockets as Channels' consumers: the server's messages to a session, and no more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, ClassVar

from channels.consumer import AsyncConsumer  # type: ignore[import-untyped,unused-ignore]
from channels.exceptions import StopConsumer  # type: ignore[import-untyped,unused-ignore]

from apps.templates.sockets.outbox import PeerGone
from apps.templates.sockets.session import Session

__all__ = ["AiProcessingConsumer", "PromptChatConsumer", "SearchConsumer"]

_TURNS_TO_SEND = 3
_AI_MESSAGES = frozenset({"process_intent", "optimize_prompt", "generate_content"})


class _SocketConsumer(AsyncConsumer):  # type: ignore[misc,unused-ignore]
    """One connection; `offers` are the types of the messages it answers, `successor` what is to be used instead."""

    offers: ClassVar[frozenset[str]]
    successor: ClassVar[str]

    _session: Session
    _left = False

    async def __call__(
        self,
        scope: Mapping[str, Any],
        receive: Callable[[], Awaitable[Mapping[str, Any]]],
        send: Callable[[Mapping[str, Any]], Awaitable[None]],
    ) -> None:
        """Serve the connection to its end."""
        self._task = asyncio.current_task()
        self._session = Session(scope, send, offers=self.offers, successor=self.successor, on_over=self._leave)
        try:
            await super().__call__(scope, receive, send)
        except PeerGone:
            pass
        except asyncio.CancelledError:
            if self._left:
                return
            # A server that ends does not always say so, and lets go of what the next turns of the loop would send.
            with suppress(PeerGone):
                await self._session.say_restart()
                for _ in range(_TURNS_TO_SEND):
                    await asyncio.sleep(0)
            raise
        finally:
            self._session.end()
            # It knows this consumer, and would stay with it until the collector looks for such pairs.
            del self._session, self._task

    async def dispatch(self, message: Mapping[str, Any]) -> None:
        """Hand on a message; Channels' own would hop to a thread first, for connections this loop never opens."""
        match message["type"]:
            case "websocket.connect":
                await self._session.open()
            case "websocket.receive":
                await self._session.hear(message.get("text"), message.get("bytes"))
            case "websocket.disconnect":
                raise StopConsumer

    def _leave(self) -> None:
        self._left = True
        if self._task is not None:
            self._task.cancel()


class PromptChatConsumer(_SocketConsumer):
    """`/ws/prompt-chat/`."""

    offers = _AI_MESSAGES | {"chat_message"}
    successor = "/api/v2/chat/completions/"


class AiProcessingConsumer(_SocketConsumer):
    """`/ws/ai-processing/`."""

    offers = _AI_MESSAGES
    successor = "/api/v2/prompts/generate/"


class SearchConsumer(_SocketConsumer):
    """`/ws/search/`."""

    offers = frozenset({"search"})
    successor = "/api/v2/templates/search/"
