"""The process's one supervisor: built on first use inside the event loop, drained on SIGTERM."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from django.conf import settings

from apps.chat.conf import ChatConfig
from apps.chat.engine.supervisor import Supervisor
from apps.llm.breaker import BreakerPolicy, Change, ProcessBreaker
from apps.llm.chain import Chain
from apps.llm.price_rows import PRICE_ROWS, configured_row
from apps.llm.pricing import PriceBook
from apps.llm.providers import dialect_of, variable_of
from apps.llm.providers.base import Provider
from apps.llm.providers.mock import MockProvider
from apps.llm.providers.openai_compatible import OpenAICompatibleProvider
from promptcraft.heap import Trimmer, share_heap

__all__ = ["PROCESS_STARTED", "get_supervisor", "start_runtime", "stop_runtime"]

logger = logging.getLogger("promptcraft.providers")

PROCESS_STARTED = time.monotonic()

_LAST_BYTES_S = 1.0
"""How long connections may take, at the least, for what is on its way when the last completion has ended."""

_YOUNG_OBJECTS = 5_000
"""Net allocations between two looks at the young objects. By default 700, which is every other request."""
_LOOKS_BEFORE_MIDDLE = 5
"""Looks at the young before one at the middle-aged: 25,000 objects, some 15 ms. Streams that arrive by the hundred are
as many, and nothing is sent while they are looked at."""
_LOOKS_BEFORE_ALL = 3_200
"""Looks at the middle-aged before one at all. That one takes tens of milliseconds among hundreds of open streams, and
our own paths leave it nothing to find. A cycle that it alone would find had to live through two of the others first."""

_SWITCH_S = 0.0001
"""What a thread waits for another that computes before it is let in. By default 5 ms: the event loop, which waits so
after every look at its sockets, would be held up by a busy thread for tens of milliseconds in each request."""

_supervisor: Supervisor | None = None
_trimmer: Trimmer | None = None
_drains: set[asyncio.Task[None]] = set()


def get_supervisor() -> Supervisor:
    """Return the supervisor of this process, starting it if no server event did."""
    if _supervisor is None:
        return start_runtime()
    return _supervisor


def start_runtime() -> Supervisor:
    """Build the supervisor and take over SIGTERM and SIGINT. Call it inside the event loop."""
    global _supervisor, _trimmer
    if _supervisor is None:
        config = ChatConfig.from_settings()
        # Before the first thread of ours, the supervisor's writer.
        share_heap()
        _supervisor = Supervisor(config=config, chain=_chain(config), prices=_prices())
        _settle_garbage_collector()
        sys.setswitchinterval(_SWITCH_S)
        _trimmer = Trimmer()
        if threading.current_thread() is threading.main_thread():
            _drain_on_signals(_supervisor)
    return _supervisor


async def stop_runtime() -> None:
    """End the supervisor: what still runs is cut, every record is written."""
    global _supervisor, _trimmer
    if _supervisor is not None:
        await _supervisor.close()
        _supervisor = None
    if _trimmer is not None:
        _trimmer.close()
        _trimmer = None


def _settle_garbage_collector() -> None:
    """Have Python look for cycles less often, and never among what the start has made, which stays."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, _LOOKS_BEFORE_MIDDLE, _LOOKS_BEFORE_ALL)


def _chain(config: ChatConfig) -> Chain:
    dialects = {name: dialect_of(name, provider) for name, provider in settings.PROVIDERS.items()}
    real = {name: dialect for name, dialect in dialects.items() if dialect is not None}
    mock_may_serve = settings.PROVIDER_CHAIN_NAMED or (settings.DEBUG and not real)
    names = [name for name in settings.PROVIDER_CHAIN if name in real or (name == "mock" and mock_may_serve)]
    providers: list[Provider] = [
        MockProvider() if name == "mock" else OpenAICompatibleProvider(real[name], settings.PROVIDERS[name])
        for name in names
    ]
    policy = BreakerPolicy(
        consecutive_failures=config.breaker_failures,
        cooldown_s=config.breaker_cooldown_s,
        # Whoever raises the one bound wants a more patient breaker, not the other bound to step in.
        ratio_minimum=max(20, 4 * config.breaker_failures),
        # A probe shows content within its attempt's own deadlines, or never will.
        probe_timeout_s=config.first_token_timeout_s + 30,
    )
    if not names:
        logger.warning(
            "No provider can be asked: every completion will be refused. Set one of %s.",
            ", ".join(variable_of(name, "API_KEY") for name in settings.PROVIDER_CHAIN if name != "mock"),
        )
    return Chain(
        providers,
        {
            name: ProcessBreaker(policy, time.monotonic, partial(_tell_change, name, policy.cooldown_s))
            for name in names
        },
    )


def _prices() -> PriceBook:
    """Return the vendors' prices and those that the operator has set, which hold from this start on."""
    started_at = datetime.now(UTC).replace(second=0, microsecond=0)
    configured = (
        configured_row(name, settings.PROVIDERS[name].model or "", started_at, price)
        for name, price in settings.PROVIDER_PRICES.items()
    )
    return PriceBook((*PRICE_ROWS, *configured))


def _tell_change(name: str, cooldown_s: float, change: Change, error_code: str | None) -> None:
    """Say in the log what an operator may have to see to."""
    line = {
        Change.KEY_REFUSED: f"refuses its key: look at {variable_of(name, 'API_KEY')}",
        Change.OUT_OF_FUNDS: "has no funds left: its account needs some",
        Change.OPEN: f"failed ({error_code}) and is not asked for {cooldown_s:g} s: its breaker is open",
        Change.HALF_OPEN: "is asked again: its breaker is half open",
        Change.CLOSED: "answers again: its breaker is closed",
    }[change]
    logger.warning("provider %s %s", name, line)


def _drain_on_signals(supervisor: Supervisor) -> None:
    """Put a drain before whatever the server does on SIGTERM and SIGINT; a second signal ends the drain at once.

    uvicorn closes its socket at once on a signal, so nobody would see the 503s that a drain promises; and it
    raises the signal again at its end, which is no exit code 0. Its `should_exit` has neither effect. A third
    signal goes straight to the server.
    """
    loop = asyncio.get_running_loop()
    hurry = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        server_handler = signal.getsignal(number)
        if not callable(server_handler):
            continue

        def on_signal(number: int, frame: Any, server_handler: Callable[..., Any] = server_handler) -> None:
            if hurry.is_set():
                server_handler(number, frame)
            elif supervisor.draining:
                loop.call_soon_threadsafe(hurry.set)
            else:
                supervisor.draining = True
                loop.call_soon_threadsafe(begin, number, server_handler)

        def begin(number: int, server_handler: Callable[..., Any]) -> None:
            task = loop.create_task(_drain(supervisor, hurry, lambda left_s: _exit(server_handler, number, left_s)))
            _drains.add(task)
            task.add_done_callback(_drains.discard)

        signal.signal(number, on_signal)


async def _drain(supervisor: Supervisor, hurry: asyncio.Event, leave: Callable[[float], None]) -> None:
    ends_at = supervisor.now() + supervisor.config.drain_timeout_s
    try:
        drain = asyncio.ensure_future(supervisor.drain(supervisor.config.drain_timeout_s))
        hurried = asyncio.ensure_future(hurry.wait())
        await asyncio.wait({drain, hurried}, return_when=asyncio.FIRST_COMPLETED)
        drain.cancel()
        hurried.cancel()
        await supervisor.close()
    finally:
        leave(_LAST_BYTES_S if hurry.is_set() else max(_LAST_BYTES_S, ends_at - supervisor.now()))


def _exit(server_handler: Callable[..., Any], number: int, left_s: float) -> None:
    server: Any = getattr(server_handler, "__self__", None)
    if server is not None and hasattr(server, "should_exit"):
        # It waits for every request, those that never came whole and those whose reader takes nothing included.
        graceful_s = server.config.timeout_graceful_shutdown
        server.config.timeout_graceful_shutdown = left_s if graceful_s is None else min(left_s, graceful_s)
        server.should_exit = True
    else:
        server_handler(number, None)
