"""What happened at the simulator: every connection and request, what was sent, and when the peer hung up.

All times are `time.monotonic()` seconds, so a test compares them with its own clock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from tests.waiting import HANG_S

__all__ = ["Connection", "Exchange", "Journal", "JournalTimeout", "Tokens"]

Answer = TypeVar("Answer")


class JournalTimeout(AssertionError):
    """What a test waited for did not happen; the message holds the journal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """A usage. `prompt` includes the cached, `completion` the reasoning."""

    prompt: int
    completion: int
    cached: int = 0
    reasoning: int = 0

    @property
    def total(self) -> int:
        """Prompt and completion together."""
        return self.prompt + self.completion


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One accepted connection."""

    number: int
    accepted_at_s: float
    bytes_received: int = 0
    requests: int = 0
    closed_at_s: float | None = None
    """When it was gone, whoever ended it."""
    hung_up_at_s: float | None = None
    """When the peer ended it; None if it has not, or if we were first."""
    hung_up_how: str | None = None
    """`fin` or `rst`. A peer that closes with bytes unread resets, whatever it meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request and what became of its answer. `number` counts from 1."""

    number: int
    connection: int
    vendor: str
    endpoint: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    json: Any
    scenario: str
    received_at_s: float
    first_byte_at_s: float | None = None
    last_byte_at_s: float | None = None
    bytes_sent: int = 0
    finished_at_s: float | None = None
    """When the script had been played to its end; None if it never was."""
    hung_up_at_s: float | None = None
    """When the peer left while the script was still playing."""
    hung_up_how: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    """Tokens sent so far: with `prompt_tokens`, what the vendor would bill, cut off or not. 0 for refusals."""
    usage: Tokens | None = None
    """What the stream said of it, None if it did not get that far."""
    script_error: str | None = None
    """An exception in the script itself; the server's `close` raises it."""

    @property
    def model(self) -> str | None:
        """The model of the request, as sent."""
        return self.json.get("model") if isinstance(self.json, dict) else None

    @property
    def api_key(self) -> str:
        """The bearer token, empty without one."""
        return self.headers.get("authorization", "").partition(" ")[2]

    @property
    def complete(self) -> bool:
        """Whether the whole script was played."""
        return self.finished_at_s is not None

    @property
    def over(self) -> bool:
        """Whether nothing more will happen in it."""
        return self.complete or self.hung_up_at_s is not None or self.script_error is not None

    @property
    def hung_up_after_s(self) -> float | None:
        """Seconds from the last byte sent to the peer's hanging up."""
        if self.hung_up_at_s is None or self.last_byte_at_s is None:
            return None
        return self.hung_up_at_s - self.last_byte_at_s

    def summary(self) -> str:
        """Return one line for a person."""
        end = "complete" if self.complete else f"peer left ({self.hung_up_how})" if self.hung_up_at_s else "running"
        if self.script_error:
            end = f"script failed: {self.script_error}"
        return (
            f"#{self.number} {self.vendor} {self.method} {self.path} model={self.model} scenario={self.scenario}"
            f" sent={self.bytes_sent} B billed={self.prompt_tokens}+{self.completion_tokens} tokens {end}"
        )


@dataclass
class Journal:
    """The record, written by the server's loop and read from any thread."""

    _changed: threading.Condition = field(default_factory=threading.Condition)
    _connections: list[Connection] = field(default_factory=list)
    _exchanges: list[Exchange] = field(default_factory=list)
    _watchers: list[Callable[[Exchange], None]] = field(default_factory=list)
    _last_number: int = 0
    script_errors: list[str] = field(default_factory=list)
    """What scripts raised, cleared or not."""

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """Return every request so far, in the order of arrival."""
        with self._changed:
            return tuple(self._exchanges)

    @property
    def connections(self) -> tuple[Connection, ...]:
        """Return every connection so far."""
        with self._changed:
            return tuple(self._connections)

    def watch(self, watcher: Callable[[Exchange], None]) -> None:
        """Call `watcher` in the server's thread at each exchange's start and end."""
        self._watchers.append(watcher)

    def clear(self) -> None:
        """Forget every exchange, also those that still run; numbers go on, script errors are kept."""
        with self._changed:
            self._exchanges.clear()

    def wait_for(self, predicate: Callable[[tuple[Exchange, ...]], Answer], timeout_s: float = HANG_S) -> Answer:
        """Block until `predicate(exchanges)` is true and return what it returned. Raises JournalTimeout."""
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            while not (answer := predicate(tuple(self._exchanges))):
                left_s = deadline_s - time.monotonic()
                if left_s <= 0 or not self._changed.wait(left_s):
                    if answer := predicate(tuple(self._exchanges)):
                        return answer
                    lines = "\n  ".join(exchange.summary() for exchange in self._exchanges) or "(no request)"
                    raise JournalTimeout(f"not within {timeout_s} s; the journal holds:\n  {lines}")
            return answer

    # -- written by the server -------------------------------------------------------------------------

    def open_connection(self) -> int:
        """Record an accepted connection and return its number."""
        with self._changed:
            number = len(self._connections) + 1
            self._connections.append(Connection(number=number, accepted_at_s=time.monotonic()))
            self._changed.notify_all()
            return number

    def update_connection(self, number: int, **changes: Any) -> None:
        """Record a change of a connection."""
        with self._changed:
            self._connections[number - 1] = replace(self._connections[number - 1], **changes)
            self._changed.notify_all()

    def next_number(self) -> int:
        """Return the number of the next exchange."""
        with self._changed:
            self._last_number += 1
            return self._last_number

    def open_exchange(self, exchange: Exchange) -> None:
        """Record a request."""
        with self._changed:
            self._exchanges.append(exchange)
            self._changed.notify_all()
        self._tell(exchange)

    def update_exchange(self, number: int, **changes: Any) -> None:
        """Record a change of an exchange; one that was cleared is gone."""
        with self._changed:
            for index in range(len(self._exchanges) - 1, -1, -1):
                if self._exchanges[index].number == number:
                    changed = replace(self._exchanges[index], **changes)
                    self._exchanges[index] = changed
                    break
            else:
                return
            self._changed.notify_all()
        if changed.over:
            self._tell(changed)

    def note_script_error(self, number: int, scenario: str, error: Exception) -> None:
        """Record that a script raised."""
        self.script_errors.append(f"{scenario}: {error!r}")
        self.update_exchange(number, script_error=repr(error))

    def exchange(self, number: int) -> Exchange | None:
        """Return one exchange by its number, None if it was cleared."""
        with self._changed:
            return next((exchange for exchange in reversed(self._exchanges) if exchange.number == number), None)

    def _tell(self, exchange: Exchange) -> None:
        for watcher in self._watchers:
            watcher(exchange)
