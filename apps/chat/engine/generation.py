"""A running completion: its log, its readers, its end. It outlives every reader."""

from __future__ import annotations

import asyncio
import enum
import logging
import time
from collections.abc import Callable
from typing import Any

from apps.chat.engine.attempts import Attempts
from apps.chat.engine.latch import Latch
from apps.chat.engine.log_memory import MemoryLog
from apps.chat.engine.order import Order, Question, Services
from apps.chat.engine.reader import QUEUE_BYTES, Reader
from apps.chat.engine.record import Attempt, CompletionRecord, End, UsageSource
from apps.chat.engine.stamp import Stamp
from apps.chat.envelope import stream_error
from apps.core.memory_shares import HeldMemory, SharedMemory
from apps.limits.limiter import Lease
from apps.llm.errors import Code, FailedAttempt, InternalError, PromptCraftError, ServiceUnavailable
from apps.llm.wire.openai import AssembledMessage, Usage, assembling
from apps.llm.wire.sse import DONE

__all__ = ["Generation", "Status", "Stop"]

logger = logging.getLogger("promptcraft.engine")

_RECORD_S = 0.9
"""For a row to be written before its readers are told that it was not; a tick more."""


class Status(enum.StrEnum):
    """Where a completion stands."""

    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"


class Stop(enum.Enum):
    """Who ended a completion early."""

    CANCELLED = End.CANCELLED
    CLIENT_GONE = End.CLIENT_GONE
    SHUTDOWN = End.SHUTDOWN


class Generation:
    """One completion from its first attempt to its row. Create it inside the loop, then `start`.

    `log` is what readers follow. `ready` is set once the answer may begin: at the first content, at the end, or
    when HEADER_HOLD is over. `done` is set when the log is closed; for a completed or cancelled one its row is
    committed then, or it is `unrecorded`. Once done it keeps what can still be asked of it: its log and what is known
    of its attempts.
    """

    __slots__ = (
        "__weakref__",
        "_alone_since",
        "_attempts",
        "_crowded",
        "_held",
        "_lease",
        "_on_done",
        "_readers",
        "_recorded",
        "_services",
        "_started",
        "_stop",
        "attempts",
        "created_at",
        "done",
        "error",
        "finished_monotonic",
        "headers_released",
        "log",
        "on_fruitless",
        "order",
        "passed_over",
        "ready",
        "status",
    )

    def __init__(
        self,
        order: Order,
        question: Question,
        services: Services,
        lease: Lease,
        on_done: Callable[[Generation], None],
    ) -> None:
        self.order = order
        self.created_at = time.time()
        self.log = MemoryLog()
        self.status = Status.IN_PROGRESS
        self.error: PromptCraftError | None = None
        self.ready = Latch()
        self.done = Latch()
        self.finished_monotonic: float | None = None
        self.headers_released = False
        """Whether readers were told to begin: from then on a failure arrives in-stream."""
        self.on_fruitless: Callable[[PromptCraftError], None] | None = None
        """Told why it failed if it did before any content."""
        self._services = services
        self._lease = lease
        self._on_done = on_done
        self._started = services.clock()
        self.attempts: list[Attempt] = []
        """Every provider asked so far."""
        self.passed_over: list[FailedAttempt] = []
        """Every one that failed, or was not asked because its breaker is open."""
        self._attempts: Attempts | None = Attempts(
            order,
            question,
            services,
            made=self.attempts,
            passed_over=self.passed_over,
            stamp=Stamp(self.log, completion_id=order.id, created=int(self.created_at)),
            log=self.log,
            message=self.message,
            on_first_content=self._release_headers,
        )
        self._stop: Stop | None = None
        self._crowded = False
        self._recorded: tuple[asyncio.Future[bool], float] | None = None
        """What the writer says of the row that is waited for, and since when."""
        self._readers: list[Reader] = []
        self._held: HeldMemory | None = None
        self._alone_since: float | None = None

    # --- for those who open, attach and cancel

    def start(self) -> asyncio.Task[None]:
        """Start and return the supervisor task. Attach the first reader before."""
        if self._attempts is None:
            raise RuntimeError("a completion is started once")
        return asyncio.get_running_loop().create_task(self._supervise(self._attempts), name=self.order.id)

    def attach(self, after: int = 0, *, give_back: Callable[[], None] | None = None) -> Reader:
        """Return a new reader of the log, from the event after `after`. The caller closes or drives it.

        `give_back` gives back the slot of a reader that has one.
        """
        self._alone_since = None
        reader = Reader(
            self.log, after=after, now=self._services.clock(), on_close=self._reader_left, give_back=give_back
        )
        self._readers.append(reader)
        self._services.readers.add(reader)
        return reader

    def stop(self, why: Stop) -> None:
        """End it early; upstream is closed at once. Does nothing if it is over already."""
        if self._stop is None and self.log.terminal is None and self._attempts is not None:
            self._stop = why
            self._attempts.stop(why.value)

    def hold_request(self, held: HeldMemory | None) -> None:
        """Take over what is counted of the request; of one with images, which is kept, until its first content.

        Where that is to make room, the completion fails with 503.
        """
        if held is not None and self._attempts is not None:
            held.on_given_up = self._make_room
            self._attempts.hold(held)

    def count_if_read(self, memory: SharedMemory) -> None:
        """Count what its readers alone hold, now that it is kept no more, until they leave.

        Where it is to make room, they are let go of.
        """
        if self._readers:
            self._held = memory.open(self.order.user_id, self._let_go)
            self._held.hold(self.log.size_bytes + len(self._readers) * QUEUE_BYTES)

    def beat(self, now: float) -> None:
        """Be told the time: header hold, grace, the attempt's deadlines."""
        config = self._services.config
        if not self.headers_released and now - self._started >= config.header_hold_s:
            self._release_headers()
            for reader in self._readers:
                # Not every server sends a head that no body follows.
                reader.ping()
        if self._alone_since is not None and now - self._alone_since >= config.disconnect_grace_s:
            self.stop(Stop.CLIENT_GONE)
        if self._attempts is not None:
            self._attempts.beat(now)
        if self._recorded is not None:
            recorded, since = self._recorded
            if now - since >= _RECORD_S and not recorded.done():
                recorded.set_result(False)

    # --- what is known of it

    @property
    def provider(self) -> str:
        """The provider that serves, or was asked last."""
        return self.attempts[-1].provider if self.attempts else ""

    @property
    def model(self) -> str:
        """The model that serves, or was asked last."""
        return self.attempts[-1].model if self.attempts else ""

    @property
    def unrecorded(self) -> PromptCraftError | None:
        """What readers were told where the answer is whole and its row was not there in time; it may be yet."""
        return None if self.status is Status.FAILED else self.error

    @property
    def fallback_count(self) -> int:
        """How many providers failed or were passed over before the one that serves."""
        return len({one.provider for one in self.passed_over} - {self.provider})

    @property
    def ignored(self) -> tuple[str, ...]:
        """Fields of the request that have no effect on the answer of the provider that serves."""
        return self.attempts[-1].ignored if self.attempts else ()

    @property
    def usage(self) -> Usage | None:
        """The tokens of the attempt that served, None if none has been counted."""
        return self.attempts[-1].usage if self.attempts else None

    @property
    def usage_source(self) -> UsageSource:
        """Where they come from."""
        return self.attempts[-1].usage_source if self.attempts else UsageSource.NONE

    @property
    def cost_nano_usd(self) -> int | None:
        """What they cost, None if that is not known."""
        return self.attempts[-1].cost_nano_usd if self.attempts else None

    async def message(self) -> AssembledMessage:
        """Return the answer so far; a long one is put together in several turns of the loop."""
        steps = assembling(self.log.parts())
        while True:
            try:
                next(steps)
            except StopIteration as whole:
                message: AssembledMessage = whole.value
                return message
            await asyncio.sleep(0)

    def log_fields(self) -> dict[str, Any]:
        """Return what the request's log line says of it: never a text."""
        return {
            "completion_id": self.order.id,
            "provider": self.provider,
            "model": self.model,
            "completion_status": self.status.value,
            "error_code": self.error.code.value if self.error else None,
            "attempts": [
                {"provider": attempt.provider, "end": attempt.end_reason, "ttft_ms": attempt.ttft_ms}
                for attempt in self.attempts
            ],
            "prompt_tokens": self.usage.prompt_tokens if self.usage else None,
            "completion_tokens": self.usage.completion_tokens if self.usage else None,
            "usage_source": self.usage_source.value,
            "cost_nano_usd": self.cost_nano_usd,
        }

    # --- the supervisor

    async def _supervise(self, attempts: Attempts) -> None:
        try:
            try:
                error = await attempts.run()
            except Exception:
                logger.exception("a completion failed", extra={"fields": {"request_id": self.order.request_id}})
                error = InternalError()
            await self._settle(attempts, error)
        finally:
            self._over(b"")

    async def _settle(self, attempts: Attempts, error: PromptCraftError | None) -> None:
        """Write the end into the log and the database; `[DONE]` is sent when the row is there."""
        self.log.make_room()
        if self._crowded and error is None:
            told = (
                " A provider was asked: asking again may be billed again." if self.attempts else " Try again shortly."
            )
            error = ServiceUnavailable(
                f"Too many large requests are waiting.{told}",
                code=Code.OVERLOADED,
                may_have_billed=bool(self.attempts),
            )
        if error is not None:
            self._fail(error, fruitless=not attempts.has_content)
            self._services.writer.submit(await self._record())
            return
        if self._stop is Stop.SHUTDOWN and attempts.finish_reason is None:
            # No terminal event: clients see a cut and resume elsewhere. Whoever has no headers yet gets a status.
            self.status = Status.FAILED
            self.error = ServiceUnavailable(
                "This server shut down before the answer was complete. Try again: another one will answer.",
                code=Code.DRAINING,
            )
            if self.on_fruitless is not None and not attempts.has_content:
                self.on_fruitless(self.error)
            self._over(b"")
            self._services.writer.submit(await self._record())
            return
        if attempts.finish_reason is not None:
            self.status = Status.COMPLETED
        else:
            self.status = Status.CANCELLED
            if not attempts.has_content:
                attempts.stamp.serve(model=self.model, mock=attempts.asks_mock)
            attempts.stamp.finish("cancelled")
            self.log.tell()
        self._release_headers()
        if self.order.include_usage:
            attempts.stamp.usage(self.usage or Usage(prompt_tokens=0, completion_tokens=0), self.cost_nano_usd)
        recorded = self._services.writer.submit(await self._record())
        self._recorded = recorded, self._services.clock()
        if await recorded:
            self._over(DONE)
            return
        # Not failed: the text is whole and paid for, and its row says so whenever it is written.
        self.error = ServiceUnavailable(
            "The answer is complete, but the database did not take it in time. "
            f"Read it with GET /api/v2/chat/completions/{self.order.id}/. Asking again may be billed again.",
            code=Code.OVERLOADED,
            may_have_billed=True,
        )
        self.log.append(stream_error(self.error, self.order.request_id))
        self._over(b"")

    def _fail(self, error: PromptCraftError, *, fruitless: bool) -> None:
        self.status = Status.FAILED
        self.error = error
        if self.on_fruitless is not None and fruitless:
            self.on_fruitless(error)
        self.log.append(stream_error(error, self.order.request_id))
        self._over(b"")

    def _over(self, terminal: bytes) -> None:
        """Give the slot back, close the log, wake everybody. Safe to call again."""
        self._lease.release()
        self.log.close(terminal)
        self.ready.set()
        if self.finished_monotonic is None:
            self.finished_monotonic = self._services.clock()
            self._attempts = self.on_fruitless = self._recorded = None
            self.done.set()
            self._on_done(self)

    async def _record(self) -> CompletionRecord:
        order = self.order
        return CompletionRecord(
            id=order.id,
            user_id=order.user_id,
            request_id=order.request_id,
            status=self.status.value,
            provider=self.provider,
            model=self.model,
            error_code=self.error.code.value if self.error else "",
            message=await self.message(),
            usage=self.usage,
            usage_source=self.usage_source,
            cost_nano_usd=self.cost_nano_usd,
            attempts=tuple(attempt.as_json() for attempt in self.attempts),
            include_usage=order.include_usage,
            idempotency_key=order.idempotency_key,
            body_sha256=order.body_sha256,
            created_at=self.created_at,
            finished_at=time.time(),
        )

    def _release_headers(self) -> None:
        self.headers_released = True
        self.ready.set()

    def _make_room(self) -> None:
        self._crowded = True
        self.stop(Stop.CANCELLED)

    def _let_go(self) -> None:
        for reader in self._readers:
            reader.let_go()

    def _reader_left(self, reader: Reader) -> None:
        self._readers.remove(reader)
        self._services.readers.discard(reader)
        if not self._readers and self._held is not None:
            self._held.close()
            self._held = None
        if self._readers or self.log.terminal is not None:
            return
        if self.order.survives_disconnect or reader.detached:
            # A client that was let go of did not leave: it may come back.
            self._alone_since = self._services.clock()
        else:
            self.stop(Stop.CLIENT_GONE)
