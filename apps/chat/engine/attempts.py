"""One completion's attempts: who is asked after whom, the deadlines of each, what each cost."""

from __future__ import annotations

import asyncio
import functools
import hmac
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from apps.chat.engine.exchange import Exchange
from apps.chat.engine.latch import Latch
from apps.chat.engine.log import StreamLog
from apps.chat.engine.order import Order, Question, Services
from apps.chat.engine.record import Attempt, End, UsageSource
from apps.chat.engine.stamp import Stamp
from apps.chat.engine.verdicts import clients_fault, interrupted, none_answered
from apps.core.memory_shares import HeldMemory
from apps.llm.breaker import Permit
from apps.llm.chain import LONGEST_WAIT_S, MAX_ATTEMPTS, Candidate
from apps.llm.errors import TIMEOUTS, FailedAttempt, Failure, PromptCraftError, ProviderError
from apps.llm.pricing import cost_nano_usd
from apps.llm.providers.base import Call
from apps.llm.tokens import estimate_prompt_tokens, estimate_tokens
from apps.llm.wire.openai import AssembledMessage, Usage

__all__ = ["Attempts"]

logger = logging.getLogger("promptcraft.engine")

_AFTER_FINISH_S = 2.0
"""How long a provider may take from its finish_reason to `[DONE]`, for the usage; then it is over anyway."""
_COUNT_S = 0.5
"""The same, for a completion whose readers have left."""
_CLOSE_S = 1.0
"""How long closing an upstream may take; it is closed for us at once, this bounds the wait for its task."""


class Attempts:
    """Asks a completion's candidates in order until one completes; at most MAX_ATTEMPTS upstream requests.

    The mock is no upstream: it is asked whatever has been before.

    Before the first content a failure moves on to the next; a 429 that asks for a short pause is sat out when
    nobody else is left. After the first content a failure is the end.
    """

    __slots__ = (
        "_exchange",
        "_held",
        "_log",
        "_message",
        "_on_first_content",
        "_order",
        "_prompt_tokens",
        "_question",
        "_retry_after_s",
        "_services",
        "_started",
        "_stop",
        "_stopped",
        "asks_mock",
        "made",
        "passed_over",
        "stamp",
    )

    def __init__(
        self,
        order: Order,
        question: Question,
        services: Services,
        *,
        made: list[Attempt],
        passed_over: list[FailedAttempt],
        stamp: Stamp,
        log: StreamLog,
        message: Callable[[], Awaitable[AssembledMessage]],
        on_first_content: Callable[[], None],
    ) -> None:
        self.made = made
        self.passed_over = passed_over
        self.asks_mock = False
        """Whether the provider asked last is the mock."""
        self._order = order
        self._question: Question | None = question
        """None once no other provider can be asked, if it was large."""
        self._prompt_tokens: int | None = None
        """Estimated when it was let go of."""
        self._held: HeldMemory | None = None
        """What is counted of the question."""
        self._services = services
        self.stamp = stamp
        self._log = log
        self._message = message
        self._on_first_content = on_first_content
        self._started = services.clock()
        self._exchange: Exchange | None = None
        self._stop: End | None = None
        self._stopped = Latch()
        self._retry_after_s: float | None = None

    @property
    def finish_reason(self) -> str | None:
        """The finish_reason of the answer, None if none has come."""
        return self._exchange.finish_reason if self._exchange is not None else None

    @property
    def has_content(self) -> bool:
        """Whether anything of an answer has reached the log."""
        return self._exchange is not None and self._exchange.has_content

    def hold(self, held: HeldMemory) -> None:
        """Close what is counted of the question when that is let go of: at once if it is small.

        Until then it is in memory as it was read, and once more as it is written to a provider.
        """
        if self._question is not None and self._question.request.has_images:
            self._held = held
            held.hold(self._question.request.memory_bytes(held.size_bytes))
        else:
            held.close()

    def stop(self, end: End) -> None:
        """End early; the upstream is closed at once."""
        if self._stop is None:
            self._stop = end
            self._stopped.set()
            exchange = self._exchange
            if exchange is not None and exchange.finish_reason is not None:
                # The answer is whole; the count of its tokens is a moment away.
                asyncio.get_running_loop().call_later(_COUNT_S, exchange.end, None)
            elif exchange is not None:
                exchange.end(None)

    def beat(self, now: float) -> None:
        """Be told the time: end an attempt that is past a deadline."""
        config = self._services.config
        exchange = self._exchange
        if exchange is None or exchange.over.done():
            return
        silent_s = now - exchange.last_content_monotonic
        if exchange.finish_reason is not None:
            if silent_s >= _AFTER_FINISH_S:
                exchange.end(None)
        elif now - self._started >= config.total_timeout_s:
            exchange.end(ProviderError(Failure.TOTAL_TIMEOUT, is_too_long=exchange.has_content))
        elif not exchange.has_content:
            if silent_s >= config.first_token_timeout_s:
                exchange.end(ProviderError(Failure.FIRST_TOKEN_TIMEOUT))
        elif silent_s >= config.gap_timeout_s:
            exchange.end(ProviderError(Failure.GAP_TIMEOUT))

    async def run(self) -> PromptCraftError | None:
        """Ask one provider after the other; return why none answered, None if one did or it was stopped."""
        try:
            return await self._ask()
        finally:
            self._close_held()

    async def _ask(self) -> PromptCraftError | None:
        services = self._services
        assert self._question is not None
        waiting = list(reversed(self._question.candidates))
        again: tuple[Candidate, float] | None = None
        asked = 0
        while not self._stopped.is_set() and len(self.made) <= MAX_ATTEMPTS:
            if waiting:
                candidate = waiting.pop()
            elif again is not None:
                candidate, ready_at = again
                again = None
                await self._pause(ready_at - services.clock())
                if self._stopped.is_set():
                    return None
            else:
                break
            if asked == MAX_ATTEMPTS and not candidate.provider.mock:
                continue
            permit = candidate.breaker.permit()
            if permit is None:
                self._pass_over(candidate, Failure.BREAKER_OPEN)
                continue
            asked += not candidate.provider.mock
            error = await self._attempt(candidate, permit)
            if error is None:
                return None
            self._pass_over(candidate, error.failure)
            if self.has_content:
                return interrupted(error, self.passed_over)
            if error.clients_fault:
                return clients_fault(error, candidate.target.model)
            if services.clock() - self._started >= services.config.total_timeout_s:
                break
            if error.failure is Failure.RATE_LIMITED and error.retry_after_s is not None:
                self._retry_after_s = min(error.retry_after_s, self._retry_after_s or error.retry_after_s)
                if error.retry_after_s <= LONGEST_WAIT_S:
                    again = (candidate, services.clock() + error.retry_after_s)
        return None if self._stopped.is_set() else none_answered(self.passed_over, self._retry_after_s)

    async def _attempt(self, candidate: Candidate, permit: Permit) -> ProviderError | None:
        """Ask one provider; return why it failed, None if it completed or the completion was stopped."""
        services, provider, question = self._services, candidate.provider, self._question
        assert question is not None
        attempt = Attempt(
            provider=provider.name,
            model=candidate.target.model,
            started_at=time.time(),
            started_monotonic=services.clock(),
            price_percent=provider.price_percent(question.request),
            ignored=provider.ignored(question.request, candidate.target),
        )
        self.made.append(attempt)
        self.asks_mock = provider.mock

        def first_content() -> None:
            permit.first_content(attempt.ttft_ms or 0.0)
            self._let_go_of_images()
            self._on_first_content()

        exchange = self._exchange = Exchange(
            provider=provider,
            attempt=attempt,
            stamp=self.stamp,
            log=self._log,
            clock=services.clock,
            on_first_content=first_content,
            shaping=provider.shaping(question.request, candidate.target),
        )
        call = Call(
            request=question.request,
            target=candidate.target,
            completion_id=self._order.id,
            user_hash=_user_hash(services.config.user_hash_key, self._order.user_id),
            scenario=question.scenario,
        )
        source = asyncio.get_running_loop().create_task(provider.run(call, exchange))
        # Neither is this frame to keep the images, for as long as the stream lasts.
        del call, question
        source.add_done_callback(exchange.source_ended)
        try:
            error = await exchange.over
        except asyncio.CancelledError:
            permit.release()
            source.cancel()
            raise
        if self._stop is not None:
            error = None
        if error is None and self._stop is None and not exchange.is_cut:
            services.linger(source)
        else:
            await _close(source)
        exchange.on_first_content = None
        attempt.ended_at = time.time()
        attempt.failure = error.failure if error else None
        attempt.end = self._end_of(exchange, error)
        await self._account(exchange, error)
        if error is not None:
            permit.failure(error.breaker_verdict, error.failure.value)
        elif self._stop is not None and not exchange.has_content:
            permit.release()
        else:
            permit.success()
        return error

    def _let_go_of_images(self) -> None:
        """Keep nothing of a request that may be of 20 MiB: with the first content no other provider is asked."""
        if self._question is not None and self._question.request.has_images:
            self._prompt_tokens = estimate_prompt_tokens(self._question.request)
            self._question = None
            self._close_held()

    def _close_held(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            held.close()

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopped.wait(), max(0.0, seconds))
        except TimeoutError:
            return

    def _end_of(self, exchange: Exchange, error: ProviderError | None) -> End:
        if error is None:
            return self._stop if self._stop is not None and exchange.finish_reason is None else End.COMPLETE
        if not exchange.has_content and not error.clients_fault:
            return End.FAILOVER
        return End.TIMEOUT if error.failure in TIMEOUTS else End.UPSTREAM_ERROR

    async def _account(self, exchange: Exchange, error: ProviderError | None) -> None:
        """Set the attempt's tokens and cost: the provider's count, else an estimate of what it must have made."""
        attempt = exchange.attempt
        usage = exchange.answer.usage
        if usage is not None:
            attempt.usage, attempt.usage_source = usage, UsageSource.PROVIDER
        elif exchange.has_content or error is None:
            attempt.usage = await self._estimate(exchange.answer.counted)
            attempt.usage_source = UsageSource.ESTIMATED
        if attempt.usage is not None:
            started_at = datetime.fromtimestamp(attempt.started_at, UTC)
            row = self._services.prices.find(attempt.provider, attempt.model, started_at)
            cost, percent = cost_nano_usd(row, attempt.usage, started_at), attempt.price_percent
            attempt.cost_nano_usd = None if cost is None or percent is None else (cost * percent + 50) // 100
        elif error is not None and not error.may_have_billed:
            attempt.cost_nano_usd = 0

    async def _estimate(self, counted: Usage) -> Usage:
        """Return what an attempt must have cost: what was counted, estimates for the rest."""
        message = await self._message()
        reasoning_tokens = estimate_tokens(message.reasoning_content or "")
        arguments = "".join(str(call["function"].get("arguments", "")) for call in message.tool_calls)
        estimated = reasoning_tokens + estimate_tokens((message.content or "") + (message.refusal or "") + arguments)
        return Usage(
            prompt_tokens=counted.prompt_tokens or self._estimated_prompt_tokens(),
            completion_tokens=counted.completion_tokens or estimated,
            cached_tokens=counted.cached_tokens,
            reasoning_tokens=counted.reasoning_tokens if counted.completion_tokens else reasoning_tokens,
        )

    def _estimated_prompt_tokens(self) -> int:
        if self._prompt_tokens is not None:
            return self._prompt_tokens
        assert self._question is not None
        return estimate_prompt_tokens(self._question.request)

    def _pass_over(self, candidate: Candidate, failure: Failure) -> None:
        self.passed_over.append(
            FailedAttempt(provider=candidate.provider.name, model=candidate.target.model, failure=failure)
        )


async def _close(source: asyncio.Task[None]) -> None:
    """Close the upstream, if it is not over by itself."""
    if not source.done():
        source.cancel()
        await asyncio.wait({source}, timeout=_CLOSE_S)


@functools.lru_cache(maxsize=4096)
def _user_hash(key: str, user_id: int) -> str:
    return hmac.digest(key.encode(), b"provider-user:%d" % user_id, "sha256").hex()[:32]
