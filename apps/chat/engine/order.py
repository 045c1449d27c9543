"""What one completion is asked to do, for whom, and what all completions of a process share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import msgspec

from apps.chat.conf import ChatConfig
from apps.chat.engine.reader import Reader
from apps.chat.engine.record import CompletionRecord
from apps.llm.chain import Candidate
from apps.llm.pricing import PriceBook
from apps.llm.wire.openai import CompletionRequest

__all__ = ["Order", "Question", "Services", "Writer"]


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
    """Monotonic seconds."""
    readers: set[Reader]
    """Every open reader of the process, for the tick."""
    linger: Callable[[asyncio.Task[None]], None]
    """Leave a provider whose answer is complete a moment for the end of its stream: its connection is kept then."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One generation: whose it is, and how it is to be kept and answered."""

    id: str
    user_id: int
    request_id: str
    stream: bool | None
    """Whether it was asked for as a stream; None leaves it to the Accept header."""
    include_usage: bool
    survives_disconnect: bool
    idempotency_key: str
    body_sha256: str
    """Empty where there is no key."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked, and of whom. It may be large; it is dropped when the answer is complete."""

    request: CompletionRequest
    candidates: tuple[Candidate, ...]
    scenario: str | None
