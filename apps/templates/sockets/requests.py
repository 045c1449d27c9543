"""One request of a socket's: from the message that asks to the one answer that ends it."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

from apps.accounts.identity import Caller, authenticate_token
from apps.chat.engine.generation import Generation, Stop
from apps.chat.envelope import envelope, translate
from apps.chat.path_counters import count_line
from apps.core.loop_turns import LOOP_TURNS
from apps.llm.errors import AuthenticationFailed, PromptCraftError
from apps.templates.prompts.asking import Asker
from apps.templates.sockets.messages import Message, RequestId, written
from apps.templates.sockets.operations import OPERATIONS, UNCOUNTED
from apps.templates.sockets.outbox import Outbox, PeerGone
from apps.templates.workload import workbench_counted
from promptcraft.logs import REQUEST_ID, REQUEST_LOGGER
from promptcraft.redaction import holds_secret

__all__ = ["SocketRequest", "chosen_request_id"]

_USABLE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def chosen_request_id(given: RequestId | None) -> str:
    """Return a request's id in logs, rows and errors: the client's if it could be an `X-Request-Id`, else a new one."""
    written_out = "" if given is None else str(given)
    usable = _USABLE_ID.fullmatch(written_out) and not holds_secret(written_out)
    return written_out if usable else f"req_{secrets.token_hex(12)}"


class SocketRequest:
    """A request that is being answered: `processing_started`, pieces, one answer. `run` is for a task of its own.

    Cancelling that task is the peer's leaving. `cancel` stops the completions that the request asks for, and it ends
    as they then do: with what was said so far and the finish reason `cancelled`, or with the rules' answer where a
    model was asked for one.
    """

    __slots__ = (
        "_cancelled",
        "_generation",
        "_message",
        "_on_bad_token",
        "_outbox",
        "_path",
        "_pieces",
        "_request_id",
        "_scenario",
        "_token",
    )

    def __init__(
        self,
        message: Message,
        *,
        outbox: Outbox,
        token: str,
        path: str,
        scenario: str | None,
        on_bad_token: Callable[[], None],
    ) -> None:
        self._message = message
        self._outbox = outbox
        self._token = token
        self._path = path
        self._scenario = scenario
        self._on_bad_token = on_bad_token
        self._request_id = chosen_request_id(message.request_id)
        self._pieces = 0
        self._generation: Generation | None = None
        self._cancelled = False

    def cancel(self) -> None:
        """Stop whatever completion is under way or yet to begin."""
        self._cancelled = True
        if self._generation is not None:
            self._generation.stop(Stop.CANCELLED)

    async def run(self) -> None:
        """Answer. Where the token has ceased to be good, nothing is said and `on_bad_token` is called."""
        REQUEST_ID.set(self._request_id)
        started = time.monotonic()
        caller: Caller | None = None
        status, code = 499, None
        try:
            await self._say("processing_started", {})
            try:
                caller = await authenticate_token(self._token)
            except AuthenticationFailed as refusal:
                status, code = refusal.http_status, refusal.code.value
                self._on_bad_token()
                return
            kind, members, error = await self._answered(caller)
            await self._say(kind, members)
            status, code = (200, None) if error is None else (error.http_status, error.code.value)
        except PeerGone:
            pass
        finally:
            self._log(status, code, None if caller is None else caller.user_id, started)

    async def _answered(self, caller: Caller) -> tuple[str, Mapping[str, Any], PromptCraftError | None]:
        asker = Asker(caller=caller, request_id=self._request_id, scenario=self._scenario, on_begun=self._begun)
        try:
            await LOOP_TURNS.wait(asker.caller.user_id)
            kind, members = await self._operate(asker)
        except PeerGone:
            raise
        except Exception as failure:
            error = translate(failure)
            # A completion keeps why it failed; the frames on the way here have the completion.
            error.__traceback__ = error.__context__ = None
            return "error", envelope(error, self._request_id), error
        return kind, members, None

    async def _operate(self, asker: Asker) -> tuple[str, Mapping[str, Any]]:
        operation, members = OPERATIONS[self._message.type], self._message.members
        if self._message.type in UNCOUNTED:
            return await operation(asker, members, self._chunk)
        async with workbench_counted(asker.caller.user_id, asker.on_window):
            return await operation(asker, members, self._chunk)

    def _begun(self, generation: Generation) -> None:
        self._generation = generation
        if self._cancelled:
            generation.stop(Stop.CANCELLED)

    async def _chunk(self, text: str) -> None:
        self._pieces += 1
        await self._say("content_chunk", {"seq": self._pieces, "content": text})

    async def _say(self, kind: str, members: Mapping[str, Any]) -> None:
        await self._outbox.send(written(kind, self._message.request_id, members))

    def _log(self, status: int, code: str | None, user_id: int | None, started: float) -> None:
        fields = {
            "request_id": self._request_id,
            "method": "WEBSOCKET",
            "path": self._path,
            "message_type": self._message.type,
            "status": status,
            "duration_ms": round((time.monotonic() - started) * 1000, 1),
            "user_id": user_id,
            **({} if self._generation is None else self._generation.log_fields()),
            **({} if code is None else {"error_code": code}),
        }
        count_line(fields)
        REQUEST_LOGGER.info("WEBSOCKET %s %s %s", self._path, self._message.type, status, extra={"fields": fields})
