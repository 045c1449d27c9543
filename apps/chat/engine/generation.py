"""A running completion: its attempts, its log, its readers, its end. It outlives every reader."""

from __future__ import annotations

import asyncio
import enum
import hashlib
import hmac
import logging
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from apps.chat.conf import ChatConfig
from apps.chat.engine.exchange import Exchange
from apps.chat.engine.log_memory import MemoryLog
from apps.chat.engine.reader import Reader
from apps.chat.engine.record import Attempt, CompletionRecord, End, UsageSource
from apps.chat.engine.stamp import Stamp
from apps.chat.envelope import stream_error
from apps.chat.limits.streams import StreamLease
from apps.llm.breaker import Permit
from apps.llm.chain import LONGEST_WAIT_S, MAX_ATTEMPTS, Candidate, Chain
from apps.llm.errors import (
    TIMEOUTS,
    ChainFailed,
    Code,
    FailedAttempt,
    Failure,
    InternalError,
    InvalidRequest,
    PromptCraftError,
    ProviderError,
)
from apps.llm.pricing import PriceBook, cost_nano_usd
from apps.llm.providers.base import Call
from apps.llm.tokens import estimate_prompt_tokens, estimate_tokens
from apps.llm.wire.openai import AssembledMessage, CompletionRequest, Usage, assemble
from apps.llm.wire.sse import DONE

__all__ = ["Generation", "Order", "Services", "Status", "Stop"]

logger = logging.getLogger("promptcraft.engine")

_AFTER_FINISH_S = 2.0
"""How long a provider may take from its finish_reason to `[DONE]`, for the usage; then it is over anyway."""
_LINGER_S = 1.0
"""How long a connection may take from `[DONE]` to the end of its response, to be used again."""
_CLOSE_S = 1.0
"""How long closing an upstream may take; it is closed for us at once, this bounds the wait for its task."""


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


class Writer(Protocol):
    """Where finished completions go."""

    def submit(self, record: CompletionRecord) -> asyncio.Future[bool]:
        """Queue a record; the future says whether it was committed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What every generation of a process shares."""

    config: ChatConfig
    chain: Chain
    prices: PriceBook
    writer: Writer
    clock: Callable[[], float]
    """Monotonic seconds: the loop's own."""
    readers: set[Reader]
    """Every open reader of the process, for the tick."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What one generation is asked to do, and for whom."""

    id: str
    user_id: int
    request_id: str
    request: CompletionRequest
    candidates: tuple[Candidate, ...]
    survives_disconnect: bool
    idempotency_key: str
    body_sha256: str
    scenario: str | None


class Generation:
    """One completion from its first attempt to its row. Create it inside the loop, then `start`.

    `log` is what readers follow. `ready` is set once the answer may begin: at the first content, at the end, or
    when HEADER_HOLD is over. `done` is set when the record is committed and the log closed.
    """

    def __init__(self, order: Order, services: Services, lease: StreamLease, on_done: Callable[[Generation], None]):
        self.order = order
        self.created_at = time.time()
        self.log = MemoryLog()
        self.status = Status.IN_PROGRESS
        self.error: PromptCraftError | None = None
        self.attempts: list[Attempt] = []
        self.passed_over: list[FailedAttempt] = []
        self.usage: Usage | None = None
        self.usage_source = UsageSource.NONE
        self.cost_nano_usd: int | None = None
        self.ready = asyncio.Event()
        self.done = asyncio.Event()
        self.finished_monotonic: float | None = None
        self.headers_released = False
        """Whether readers were told to begin: from then on a failure arrives in-stream."""
        self._services = services
        self._lease = lease
        self._on_done = on_done
        self._started = services.clock()
        self._stamp = Stamp(self.log, completion_id=order.id, created=int(self.created_at))
        self._exchange: Exchange | None = None
        self._asks_mock = False
        self._retry_after_s: float | None = None
        self._stop: Stop | None = None
        self._stopped = asyncio.Event()
        self._readers: set[Reader] = set()
        self._alone_since: float | None = None
        self._lingering: set[asyncio.Task[None]] = set()

    # --- for those who open, attach and cancel

    def start(self) -> asyncio.Task[None]:
        """Start and return the supervisor task. Attach the first reader before."""
        return asyncio.get_running_loop().create_task(self._supervise(), name=self.order.id)

    def attach(self, after: int = 0) -> Reader:
        """Return a new reader of the log, from the event after `after`. The caller closes or drives it."""
        self._alone_since = None
        reader = Reader(self.log, after=after, now=self._services.clock(), on_close=self._reader_left)
        self._readers.add(reader)
        self._services.readers.add(reader)
        return reader

    def stop(self, why: Stop) -> None:
        """End it early; upstream is closed at once. Does nothing if it is over already."""
        if self._stop is None and self.log.terminal is None:
            self._stop = why
            self._stopped.set()
            if self._exchange is not None:
                self._exchange.end(None)

    @property
    def provider(self) -> str:
        """The provider that serves, or was asked last."""
        return self.attempts[-1].provider if self.attempts else ""

    @property
    def model(self) -> str:
        """The model that serves, or was asked last."""
        return self.attempts[-1].model if self.attempts else ""

    @property
    def fallback_count(self) -> int:
        """How many providers failed or were passed over before the one that serves."""
        return len({one.provider for one in self.passed_over} - {self.provider})

    def message(self) -> AssembledMessage:
        """Return the answer so far."""
        return assemble(self.log.payloads())

    def log_fields(self) -> dict[str, Any]:
        """Return what the request's log line says of it: never a text."""
        return {
            "completion_id": self.order.id,
            "provider": self.provider,
            "model": self.model,
            "completion_status": self.status.value,
            "error_code": self.error.code.value if self.error else None,
            "attempts": [
                {"provider": attempt.provider, "end": attempt.as_json()["end_reason"], "ttft_ms": attempt.ttft_ms}
                for attempt in self.attempts
            ],
            "prompt_tokens": self.usage.prompt_tokens if self.usage else None,
            "completion_tokens": self.usage.completion_tokens if self.usage else None,
            "usage_source": self.usage_source.value,
            "cost_nano_usd": self.cost_nano_usd,
        }

    # --- the tick

    def beat(self, now: float) -> None:
        """Be told the time: watchdogs, header hold, grace."""
        config = self._services.config
        if not self.headers_released and now - self._started >= config.header_hold_s:
            self._release_headers()
        if self._alone_since is not None and now - self._alone_since >= config.disconnect_grace_s:
            self.stop(Stop.CLIENT_GONE)
        exchange = self._exchange
        if exchange is None or exchange.over.done():
            return
        silent_s = now - exchange.last_content_monotonic
        if exchange.finish_reason is not None:
            if silent_s >= _AFTER_FINISH_S:
                exchange.end(None)
        elif now - self._started >= config.total_timeout_s:
            exchange.end(ProviderError(Failure.TOTAL_TIMEOUT))
        elif not exchange.has_content:
            if silent_s >= config.first_token_timeout_s:
                exchange.end(ProviderError(Failure.FIRST_TOKEN_TIMEOUT))
        elif silent_s >= config.gap_timeout_s:
            exchange.end(ProviderError(Failure.GAP_TIMEOUT))

    # --- the supervisor

    async def _supervise(self) -> None:
        try:
            try:
                error = await self._attempt_all()
            except Exception:
                logger.exception("a completion failed", extra={"fields": {"request_id": self.order.request_id}})
                error = InternalError()
            await self._settle(error)
        finally:
            self._over(b"")

    async def _attempt_all(self) -> PromptCraftError | None:
        """Ask one provider after the other; return why none answered, None if one did or it was stopped."""
        services = self._services
        waiting = deque(self.order.candidates)
        again: tuple[Candidate, float] | None = None
        asked = 0
        while asked < MAX_ATTEMPTS and not self._stopped.is_set():
            if waiting:
                candidate = waiting.popleft()
            elif again is not None:
                # Nobody else is left: the pause that a 429 asked for is short enough to sit out.
                candidate, ready_at = again
                again = None
                await self._pause(ready_at - services.clock())
                if self._stopped.is_set():
                    return None
            else:
                break
            permit = candidate.breaker.permit()
            if permit is None:
                self._pass_over(candidate, Failure.BREAKER_OPEN)
                continue
            asked += 1
            error = await self._attempt(candidate, permit)
            if error is None:
                return None
            self._pass_over(candidate, error.failure)
            if error.clients_fault:
                return _clients_error(error)
            exchange = self._exchange
            if exchange is not None and exchange.has_content:
                return self._interrupted(error)
            if services.clock() - self._started >= services.config.total_timeout_s:
                break
            if error.failure is Failure.RATE_LIMITED and error.retry_after_s is not None:
                self._retry_after_s = min(error.retry_after_s, self._retry_after_s or error.retry_after_s)
                if error.retry_after_s <= LONGEST_WAIT_S:
                    again = (candidate, services.clock() + error.retry_after_s)
        return None if self._stopped.is_set() else self._none_answered()

    async def _attempt(self, candidate: Candidate, permit: Permit) -> ProviderError | None:
        """Ask one provider; return why it failed, None if it completed or the completion was stopped."""
        services = self._services
        provider = candidate.provider
        attempt = Attempt(
            provider=provider.name,
            model=candidate.target.model,
            started_at=time.time(),
            started_monotonic=services.clock(),
        )
        self.attempts.append(attempt)
        self._asks_mock = provider.mock
        exchange = self._exchange = Exchange(
            provider=provider,
            attempt=attempt,
            stamp=self._stamp,
            clock=services.clock,
            on_first_content=lambda: self._first_content(attempt, permit),
        )
        call = Call(
            request=self.order.request,
            target=candidate.target,
            completion_id=self.order.id,
            user_hash=self._user_hash(),
            scenario=self.order.scenario,
        )
        pump = asyncio.get_running_loop().create_task(provider.run(call, exchange))
        try:
            ends: set[asyncio.Future[Any]] = {pump, exchange.over}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            error = self._verdict(exchange, pump)
        except asyncio.CancelledError:
            permit.release()
            pump.cancel()
            raise
        exchange.end(error)
        await self._let_go(pump, linger=error is None and self._stop is None)
        attempt.ended_at = time.time()
        attempt.failure = error.failure if error else None
        attempt.end = self._end_of(attempt, error)
        self._account(exchange, error)
        if error is not None:
            permit.failure(error.breaker_verdict, error.failure.value)
        elif self._stop is not None and not exchange.has_content:
            permit.release()
        else:
            permit.success()
        return error

    def _verdict(self, exchange: Exchange, pump: asyncio.Task[None]) -> ProviderError | None:
        if self._stop is not None:
            return None
        if exchange.over.done():
            return exchange.over.result()
        failure = pump.exception()
        if exchange.finish_reason is not None:
            # It broke after its finish: the answer is whole.
            return None
        if failure is None:
            return ProviderError(Failure.STREAM_CUT, detail="the stream ended without a finish_reason")
        if isinstance(failure, ProviderError):
            return failure
        logger.error("provider %s broke", exchange.attempt.provider, exc_info=failure)
        return ProviderError(Failure.BAD_RESPONSE, detail="unexpected")

    async def _let_go(self, pump: asyncio.Task[None], *, linger: bool) -> None:
        """See the pump off: its connection goes back to the pool if it ends in order, else it is closed."""
        if pump.done():
            return
        if linger:
            self._lingering.add(pump)
            handle = asyncio.get_running_loop().call_later(_LINGER_S, pump.cancel)
            pump.add_done_callback(lambda _: handle.cancel())
            pump.add_done_callback(_retrieve)
            pump.add_done_callback(self._lingering.discard)
            return
        pump.cancel()
        pump.add_done_callback(_retrieve)
        await asyncio.wait({pump}, timeout=_CLOSE_S)

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopped.wait(), max(0.0, seconds))
        except TimeoutError:
            return

    async def _settle(self, error: PromptCraftError | None) -> None:
        """Write the end into the log and the database; `[DONE]` is sent when the row is there."""
        exchange = self._exchange
        self.error = error
        if error is not None:
            self.status = Status.FAILED
            self.log.append(stream_error(error, self.order.request_id))
            self._over(b"")
            await self._services.writer.submit(self._record())
            return
        if self._stop is Stop.SHUTDOWN:
            # No terminal event: clients see a cut and resume elsewhere.
            self.status = Status.FAILED
            self._over(b"")
            await self._services.writer.submit(self._record())
            return
        finish_reason = exchange.finish_reason if exchange else None
        self.status = Status.COMPLETED if finish_reason else Status.CANCELLED
        if finish_reason is None:
            if exchange is None or not exchange.has_content:
                self._stamp.serve(model=self.model, mock=self._asks_mock)
            self._stamp.finish("cancelled")
        self._release_headers()
        if self.order.request.include_usage:
            self._stamp.usage(self.usage or Usage(prompt_tokens=0, completion_tokens=0), self.cost_nano_usd)
        if await self._services.writer.submit(self._record()):
            self._over(DONE)
            return
        self.status = Status.FAILED
        self.error = InternalError("The answer is complete but could not be recorded.")
        self.log.append(stream_error(self.error, self.order.request_id))
        self._over(b"")

    def _over(self, terminal: bytes) -> None:
        """Give the slot back, close the log, wake everybody. Safe to call again."""
        self._lease.release()
        self.log.close(terminal)
        self.ready.set()
        if self.finished_monotonic is None:
            self.finished_monotonic = self._services.clock()
            self.done.set()
            self._on_done(self)

    # --- accounts

    def _account(self, exchange: Exchange, error: ProviderError | None) -> None:
        attempt = exchange.attempt
        if exchange.usage is not None:
            attempt.usage, attempt.usage_source = exchange.usage, UsageSource.PROVIDER
        elif exchange.has_content or error is None:
            message = self.message()
            text = "".join(filter(None, (message.content, message.reasoning_content, message.refusal)))
            arguments = "".join(str(call["function"].get("arguments", "")) for call in message.tool_calls)
            attempt.usage = Usage(
                prompt_tokens=estimate_prompt_tokens(self.order.request),
                completion_tokens=estimate_tokens(text + arguments),
                reasoning_tokens=estimate_tokens(message.reasoning_content or ""),
            )
            attempt.usage_source = UsageSource.ESTIMATED
        if attempt.usage is not None:
            started_at = datetime.fromtimestamp(attempt.started_at, UTC)
            row = self._services.prices.find(attempt.provider, attempt.model, started_at)
            attempt.cost_nano_usd = cost_nano_usd(row, attempt.usage, started_at)
            self.usage, self.usage_source = attempt.usage, attempt.usage_source
            self.cost_nano_usd = attempt.cost_nano_usd
        elif error is not None and not error.may_have_billed:
            attempt.cost_nano_usd = 0

    def _end_of(self, attempt: Attempt, error: ProviderError | None) -> End:
        if error is None:
            finished = self._exchange is not None and self._exchange.finish_reason is not None
            return End.COMPLETE if finished or self._stop is None else self._stop.value
        if attempt.first_content_monotonic is None and not error.clients_fault:
            return End.FAILOVER
        return End.TIMEOUT if error.failure in TIMEOUTS else End.UPSTREAM_ERROR

    def _record(self) -> CompletionRecord:
        order = self.order
        return CompletionRecord(
            id=order.id,
            user_id=order.user_id,
            request_id=order.request_id,
            status=self.status.value,
            provider=self.provider,
            model=self.model,
            error_code=self.error.code.value if self.error else "",
            message=self.message(),
            usage=self.usage,
            usage_source=self.usage_source,
            cost_nano_usd=self.cost_nano_usd,
            attempts=tuple(attempt.as_json() for attempt in self.attempts),
            include_usage=order.request.include_usage,
            idempotency_key=order.idempotency_key,
            body_sha256=order.body_sha256,
            created_at=self.created_at,
            finished_at=time.time(),
        )

    # --- small things

    def _first_content(self, attempt: Attempt, permit: Permit) -> None:
        permit.first_content(attempt.ttft_ms or 0.0)
        self._release_headers()

    def _release_headers(self) -> None:
        self.headers_released = True
        self.ready.set()

    def _reader_left(self, reader: Reader) -> None:
        self._readers.discard(reader)
        self._services.readers.discard(reader)
        if self._readers or self.log.terminal is not None:
            return
        if self.order.survives_disconnect:
            self._alone_since = self._services.clock()
        else:
            self.stop(Stop.CLIENT_GONE)

    def _pass_over(self, candidate: Candidate, failure: Failure) -> None:
        self.passed_over.append(
            FailedAttempt(provider=candidate.provider.name, model=candidate.target.model, failure=failure)
        )

    def _interrupted(self, error: ProviderError) -> PromptCraftError:
        return ChainFailed(
            f"The answer broke off ({error.failure.value}). What was received is kept; "
            "a new request starts, and bills, a new answer.",
            code=Code.STREAM_INTERRUPTED,
            attempts=self.passed_over,
            may_have_billed=True,
        )

    def _none_answered(self) -> ChainFailed:
        failures = [one.failure for one in self.passed_over]
        billed = any(ProviderError(failure).may_have_billed for failure in failures)
        if failures and all(failure in TIMEOUTS for failure in failures):
            return ChainFailed(
                "No provider began to answer in time. Try again later, or ask for less.",
                code=Code.FIRST_TOKEN_TIMEOUT,
                attempts=self.passed_over,
                may_have_billed=billed,
            )
        return ChainFailed(
            "Every provider failed; `attempts` says how. Try again later.",
            attempts=self.passed_over,
            may_have_billed=billed,
            retry_after_s=None if self._retry_after_s is None else max(1, math.ceil(self._retry_after_s)),
        )

    def _user_hash(self) -> str:
        key = self._services.config.user_hash_key.encode()
        return hmac.new(key, b"provider-user:%d" % self.order.user_id, hashlib.sha256).hexdigest()[:32]


def _clients_error(error: ProviderError) -> InvalidRequest:
    match error.failure:
        case Failure.CONTEXT_LENGTH_EXCEEDED:
            return InvalidRequest(
                "The messages are longer than the model's context. Shorten them, or name a model with more.",
                code=Code.CONTEXT_LENGTH_EXCEEDED,
                param="messages",
            )
        case Failure.CONTENT_FILTERED:
            return InvalidRequest(
                "The provider's content filter refused the messages. Rephrase them.",
                code=Code.CONTENT_FILTERED,
                param="messages",
            )
        case _:
            return InvalidRequest(
                "The provider rejected the request as invalid. Check the parameters against the model's documentation.",
                code=Code.REJECTED_BY_PROVIDER,
                param=error.param,
            )


def _retrieve(task: asyncio.Task[None]) -> None:
    """Take the exception of a task that nobody waits for, so that it is not reported as lost."""
    if not task.cancelled():
        task.exception()
