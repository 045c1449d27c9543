"""The completions of this process: who runs, what is kept, the tick, the drain."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Sequence

import msgspec

from apps.chat.conf import ChatConfig
from apps.chat.engine.answer_turns import AnswerTurns
from apps.chat.engine.generation import Generation, Status, Stop
from apps.chat.engine.kept import KeptCompletions
from apps.chat.engine.log_memory import MemoryLog
from apps.chat.engine.order import Order, Question, Services
from apps.chat.engine.reader import Reader
from apps.chat.engine.restored import RestoredLogs
from apps.chat.engine.writer import CompletionWriter
from apps.chat.store import completions_write
from apps.limits.limiter import Lease
from apps.limits.opening import close_limiter, open_limiter
from apps.limits.streams import ReaderSlots, StreamSlots
from apps.llm.chain import Candidate, Chain
from apps.llm.errors import Code, ServiceUnavailable
from apps.llm.pricing import PriceBook
from apps.llm.wire.openai import CompletionRequest

__all__ = ["Command", "Supervisor"]

logger = logging.getLogger("promptcraft.engine")

_SHUTDOWN_S = 5.0
_LINGER_S = 0.5
"""How long a provider may take from `[DONE]` to the end of its answer before its connection is closed; a tick more."""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """A checked request on its way into the engine."""

    user_id: int
    request_id: str
    request: CompletionRequest
    idempotency_key: str
    body_sha256: str
    scenario: str | None


class Supervisor:
    """One for each process and event loop; `close` ends it.

    A finished completion's log is kept for STREAM_RETENTION, within the bounds of `kept.py`, which users share.
    """

    def __init__(self, *, config: ChatConfig, chain: Chain, prices: PriceBook) -> None:
        loop = asyncio.get_running_loop()
        self.config = config
        self.chain = chain
        self.slots = StreamSlots(config.max_streams)
        self._reader_slots = ReaderSlots()
        self.limiter = open_limiter(
            config.limits,
            self.slots,
            time.monotonic,
            redis_url=config.redis_url,
            least_workers=config.workers,
        )
        self.draining = False
        self.prices = prices
        self.started_monotonic = time.monotonic()
        self._loop = loop
        self._writer = CompletionWriter(completions_write)
        self._lingering: dict[asyncio.Task[None], float] = {}
        self._services = Services(
            config=config,
            prices=prices,
            writer=self._writer,
            clock=time.monotonic,
            readers=set(),
            linger=self._linger,
        )
        self._running: dict[str, Generation] = {}
        self._kept = KeptCompletions()
        self.restored = RestoredLogs(time.monotonic)
        self.answer_turns = AnswerTurns()
        self._by_key: dict[tuple[int, str], Generation] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing: asyncio.Task[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._tick = loop.call_later(config.tick_s, self._beat)

    def now(self) -> float:
        """Return the monotonic seconds that every deadline here is measured in: a loop's own may be rounded to ms."""
        return time.monotonic()

    def admit(self, command: Command, candidates: Sequence[Candidate], lease: Lease) -> Generation:
        """Make a completion, which releases the lease at its end; attach a reader, then `launch` it.

        Raises ServiceUnavailable if the process is draining: the lease is still the caller's then.
        """
        if self.draining:
            raise ServiceUnavailable(
                "This server is shutting down. Try again: another one will answer.", code=Code.DRAINING
            )
        request = command.request
        on_disconnect = request.on_disconnect or ("continue" if command.idempotency_key else "cancel")
        generation = Generation(
            Order(
                id=_completion_id(),
                user_id=command.user_id,
                request_id=command.request_id,
                stream=request.stream,
                include_usage=request.include_usage,
                survives_disconnect=on_disconnect == "continue",
                idempotency_key=command.idempotency_key,
                body_sha256=command.body_sha256,
            ),
            Question(request=request, candidates=tuple(candidates), scenario=command.scenario),
            self._services,
            lease,
            self._finished,
        )
        self._running[generation.order.id] = generation
        self._idle.clear()
        if command.idempotency_key:
            self._by_key[command.user_id, command.idempotency_key] = generation
        return generation

    def launch(self, generation: Generation) -> None:
        """Start an admitted completion."""
        task = generation.start()
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def join(self, generation: Generation, after: int = 0) -> Reader:
        """Return one more reader of a completion. Raises RateLimited if its owner has too many."""
        return generation.attach(after, give_back=self.take_reader(generation.order.user_id))

    def take_reader(self, user_id: int) -> Callable[[], None]:
        """Take one of a user's slots for readers; return what gives it back. Raises RateLimited if there is none."""
        return self._reader_slots.take(user_id)

    def join_restored(self, completion_id: str, user_id: int, log: MemoryLog, give_back: Callable[[], None]) -> Reader:
        """Return a reader of a log made of a user's row, which gives its slot back when it is closed.

        Raises RateLimited or ServiceUnavailable if too much is being read already: the slot is still the caller's then.
        """
        log, left = self.restored.follow(completion_id, user_id, log)

        def closed() -> None:
            left()
            give_back()

        readers = self._services.readers
        reader = Reader(log, now=self.now(), on_close=readers.discard, give_back=closed)
        readers.add(reader)
        return reader

    def find(self, completion_id: str, user_id: int) -> Generation | None:
        """Return a user's completion if it runs or is kept."""
        generation = self._running.get(completion_id) or self._kept.get(completion_id)
        return generation if generation is not None and generation.order.user_id == user_id else None

    def find_by_key(self, user_id: int, idempotency_key: str) -> Generation | None:
        """Return the completion that a key made, if it runs or is kept."""
        return self._by_key.get((user_id, idempotency_key))

    def running_of(self, user_id: int) -> list[Generation]:
        """Return a user's running completions, newest first."""
        return [one for one in reversed(self._running.values()) if one.order.user_id == user_id]

    async def drain(self, timeout_s: float) -> None:
        """Take nothing new, let running completions finish, end the rest without a terminal event."""
        self.draining = True
        try:
            await asyncio.wait_for(self._idle.wait(), timeout_s)
        except TimeoutError:
            logger.warning("ending %d completions that did not finish in time", len(self._running))
            for generation in tuple(self._running.values()):
                generation.stop(Stop.SHUTDOWN)

    async def close(self) -> None:
        """End everything that still runs, write every record, close the providers. Every caller waits for the end."""
        self.draining = True
        if self._closing is None:
            self._closing = self._loop.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        for generation in tuple(self._running.values()):
            generation.stop(Stop.SHUTDOWN)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_SHUTDOWN_S)
        self._tick.cancel()
        for source in tuple(self._lingering):
            source.cancel()
        await self._writer.close()
        await close_limiter(self.limiter)
        await self.chain.aclose()

    def _linger(self, source: asyncio.Task[None]) -> None:
        if not source.done():
            self._lingering[source] = self.now()
            source.add_done_callback(self._lingering.pop)

    def _finished(self, generation: Generation) -> None:
        self._running.pop(generation.order.id, None)
        if not self._running:
            self._idle.set()
        if generation.status is Status.FAILED:
            # A key whose completion failed is free again: trying again is what its owner wants.
            self._forget_key(generation)
        for dropped in self._kept.add(generation):
            self._forget_key(dropped)

    def _forget_key(self, generation: Generation) -> None:
        key = (generation.order.user_id, generation.order.idempotency_key)
        if self._by_key.get(key) is generation:
            del self._by_key[key]

    def _beat(self) -> None:
        self._tick = self._loop.call_later(self.config.tick_s, self._beat)
        now = time.monotonic()
        for reader in tuple(self._services.readers):
            reader.beat(now, self.config.keepalive_interval_s)
        for generation in tuple(self._running.values()):
            generation.beat(now)
        for source, since in tuple(self._lingering.items()):
            if now - since < _LINGER_S:
                break
            source.cancel()
        for expired in self._kept.expire(now - self.config.stream_retention_s):
            self._forget_key(expired)
        self.restored.expire()


def _completion_id() -> str:
    """Return a new id, later ones greater: rows go to the end of the index of ids, one page for all of a group."""
    return f"chatcmpl-{time.time_ns() // 1_000_000:012x}{os.urandom(10).hex()}"
