"""Steps as server-sent events: one named event each as it is ready, then the chunks of the completion, if there is one.

    event: intent | templates | optimization | completion      data: one line of JSON      no ids
    then the completion's own events, ids and all, to its [DONE]; without a completion [DONE] at once

Event ids are the completion's alone: it is what can be resumed, under `/api/v2/chat/completions/{id}/events/`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any

from apps.chat.engine.latch import Latch
from apps.chat.engine.reader import STUCK_AFTER_S
from apps.chat.envelope import stream_error, translate
from apps.llm.errors import PromptCraftError
from apps.llm.wire import json
from apps.llm.wire.sse import DONE, PING, encode_event
from apps.templates.prompts.answers_json import step_json
from apps.templates.prompts.steps import CompletionStep, Step

__all__ = ["StepReader"]

Send = Callable[[Mapping[str, Any]], Awaitable[None]]


class StepReader:
    """Follows steps and sends them; what the handler of streams drives, as it does a completion's reader.

    The steps are made by a task of its own from the start, so that a refusal can be waited for before anything is
    sent. It holds those that are ready and were not sent yet, of which there are as many as a run has. `close` stops
    whatever is under way; `drive` does it itself.
    """

    __slots__ = (
        "_admitted",
        "_error",
        "_keepalive_interval_s",
        "_news",
        "_over",
        "_ready",
        "_request_id",
        "_task",
        "detached",
    )

    def __init__(
        self, steps: AsyncGenerator[Step], *, admitted: Latch, request_id: str, keepalive_interval_s: float
    ) -> None:
        self._admitted = admitted
        self._request_id = request_id
        self._keepalive_interval_s = keepalive_interval_s
        self._ready: deque[Step] = deque()
        self._news = asyncio.Event()
        self._over = False
        self._error: PromptCraftError | None = None
        self.detached = False
        """Whether it was let go of: its peer took nothing for too long, or the completion's reader was."""
        self._task = asyncio.get_running_loop().create_task(self._follow(steps))

    async def begin(self) -> None:
        """Return once a completion of the caller's is `admitted`, or all is ready. Raises what refused them."""
        await self._admitted.wait()
        if self._error is not None:
            raise self._error

    async def drive(self, send: Send) -> None:
        """Send the steps as ASGI body messages, pings while there is none; ends with the last body."""
        try:
            if not self._ready:
                # Not every server sends a head that no body follows.
                await self._pass(send, b"")
            while self._ready or not self._over:
                if not self._ready:
                    if not await self._something_new():
                        await self._pass(send, PING)
                    continue
                step = self._ready.popleft()
                name, data = step_json(step)
                event = b"event: %b\n%b" % (name.encode(), encode_event(None, json.dumps(data)))
                if isinstance(step, CompletionStep):
                    try:
                        await self._pass(send, event)
                        await step.opened.reader.drive(send)
                    finally:
                        self.detached |= step.opened.reader.detached
                        step.opened.reader.close()
                    return
                await self._pass(send, event)
            error = self._error
            last = DONE if error is None else encode_event(None, stream_error(error, self._request_id))
            await self._pass(send, last, more=False)
        finally:
            self.close()

    def close(self) -> None:
        """Stop. Safe to call again."""
        self._task.cancel()
        for step in self._ready:
            if isinstance(step, CompletionStep):
                step.opened.reader.close()
        self._ready.clear()

    async def _follow(self, steps: AsyncGenerator[Step]) -> None:
        try:
            async with aclosing(steps):
                async for step in steps:
                    self._ready.append(step)
                    self._news.set()
        except Exception as error:
            self._error = translate(error)
        finally:
            self._over = True
            self._news.set()
            self._admitted.set()

    async def _something_new(self) -> bool:
        self._news.clear()
        try:
            async with asyncio.timeout(self._keepalive_interval_s):
                await self._news.wait()
        except TimeoutError:
            return False
        return True

    async def _pass(self, send: Send, body: bytes, *, more: bool = True) -> None:
        try:
            async with asyncio.timeout(STUCK_AFTER_S):
                await send({"type": "http.response.body", "body": body, "more_body": more})
        except TimeoutError:
            self.detached = True
            raise asyncio.CancelledError from None
