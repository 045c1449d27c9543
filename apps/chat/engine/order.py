"""What one completion is asked to do, and what all completions of a process share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from apps.chat.conf import ChatConfig
from apps.chat.engine.reader import Reader
from apps.chat.engine.record import CompletionRecord
from apps.llm.chain import Candidate
from apps.llm.pricing import PriceBook
from apps.llm.wire.openai import CompletionRequest

__all__ = ["Order", "Services", "Writer"]


class Writer(Protocol):
    """Where finished completions go."""

    def submit(self, record: CompletionRecord) -> asyncio.Future[bool]:
        """Queue a record; the future says whether it was committed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What every generation of a process shares."""

    config: ChatConfig
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
