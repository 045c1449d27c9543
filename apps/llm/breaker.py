"""A circuit breaker for one provider, fed by real traffic, and the health figures that the traffic shows.

    closed ──failures in a row, a failure ratio, or OPEN_NOW──> open ──cooldown──> half_open ──content──> closed
                                                                  ^───────────────failure──────────┘

The seam is the `Breaker` protocol: `ProcessBreaker` keeps its state in the process; one that shares it between
workers takes its place behind the same methods. Everything runs on the event loop's thread and never waits.
"""

from __future__ import annotations

import enum
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from apps.llm.errors import BreakerVerdict, Failure

__all__ = ["Breaker", "BreakerHealth", "BreakerPolicy", "BreakerState", "Change", "Permit", "ProcessBreaker"]

# Enough for a 95th percentile that does not jump, and it forgets yesterday.
_TTFT_SAMPLES = 200
_REMEMBERED = frozenset({Failure.RATE_LIMITED, Failure.KEY_REFUSED})
"""What an operator needs to see in health even where it opens nothing."""


class BreakerState(enum.StrEnum):
    """What a breaker shows. Only `open` refuses everybody."""

    UNKNOWN = "unknown"
    """Closed, and no attempt has ended yet."""
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    """The cooldown is over: one probe may go, or is on its way."""


class Change(enum.Enum):
    """What an operator is told of a provider, once until it answers again."""

    KEY_REFUSED = enum.auto()
    OUT_OF_FUNDS = enum.auto()
    OPEN = enum.auto()
    HALF_OPEN = enum.auto()
    CLOSED = enum.auto()


_TELLING: Mapping[str | None, Change] = {
    Failure.KEY_REFUSED: Change.KEY_REFUSED,
    Failure.OUT_OF_FUNDS: Change.OUT_OF_FUNDS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """When to open and when to try again."""

    consecutive_failures: int = 5
    cooldown_s: float = 30.0
    failure_ratio: float = 0.5
    ratio_window_s: int = 60
    ratio_minimum: int = 20
    """Attempts in the window below which a ratio says nothing."""
    probe_timeout_s: float = 90.0
    """A probe that has shown neither content nor an end by then is given up and the next one may go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerHealth:
    """A provider as its traffic shows it. None where there was none."""

    state: BreakerState
    last_success_s: float | None
    """Seconds since the last attempt that succeeded."""
    success_ratio_5m: float | None
    ttft_p50_ms: float | None
    ttft_p95_ms: float | None
    last_error_code: str | None


class Breaker(Protocol):
    """What the chain, the engine and health ask of a breaker."""

    @property
    def state(self) -> BreakerState:
        """The state now."""

    def permit(self, now: float | None = None) -> Permit | None:
        """Return leave for one attempt, None if the breaker refuses. `now` is monotonic; None asks the clock."""

    def health(self) -> BreakerHealth:
        """Return the figures."""


class Reports(Protocol):
    """Where a permit's holder is heard: the side of a breaker that only its permits call."""

    def first_content(self, permit: Permit, ttft_ms: float) -> None:
        """Take the time to the first content."""

    def succeeded(self, permit: Permit) -> None:
        """Take a success."""

    def failed(self, permit: Permit, verdict: BreakerVerdict, error_code: str | None) -> None:
        """Take a failure."""

    def released(self, permit: Permit) -> None:
        """Take a permit back."""


class Permit:
    """Leave for one attempt. Its holder reports one end: success, failure or release; later reports are ignored.

    A permit that is dropped without a report costs nothing, but for a probe's: that one blocks the next probe until
    `probe_timeout_s` is over.
    """

    __slots__ = ("_breaker", "_done", "generation")

    def __init__(self, breaker: Reports, generation: int) -> None:
        self._breaker = breaker
        self._done = False
        self.generation = generation

    def first_content(self, ttft_ms: float) -> None:
        """Note the time to the first content. A probe closes the breaker by it, however long its stream will be."""
        if not self._done:
            self._breaker.first_content(self, ttft_ms)

    def success(self) -> None:
        """Report that the attempt answered."""
        if self._ends():
            self._breaker.succeeded(self)

    def failure(self, verdict: BreakerVerdict, error_code: str | None = None) -> None:
        """Report that it failed. With the verdict NOTHING a probe is given back; health may show the code."""
        if self._ends():
            self._breaker.failed(self, verdict, error_code)

    def release(self) -> None:
        """Report that its end says nothing: cancelled, or never begun. A probe is given back."""
        if self._ends():
            self._breaker.released(self)

    def _ends(self) -> bool:
        first, self._done = not self._done, True
        return first


class ProcessBreaker:
    """The breaker of one process. `clock` is monotonic, in seconds. Memory is bounded, whatever the traffic.

    `on_change` is told what an operator needs to know, each change once until the provider answers again, with the
    code of the last failure.
    """

    def __init__(
        self,
        policy: BreakerPolicy,
        clock: Callable[[], float] = time.monotonic,
        on_change: Callable[[Change, str | None], None] = lambda change, error_code: None,
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._on_change = on_change
        self._told: set[Change] = set()
        # Each opening and closing begins a new generation; an attempt says nothing about any but its own.
        self._generation = 0
        self._opened_at: float | None = None
        self._probe: Permit | None = None
        self._probe_began_at = 0.0
        self._failures_in_a_row = 0
        self._recent = Window(buckets=policy.ratio_window_s, bucket_s=1.0)
        self._five_minutes = Window(buckets=60, bucket_s=5.0)
        self._last_success_at: float | None = None
        self._last_error_code: str | None = None
        self._ttft_ms: deque[float] = deque(maxlen=_TTFT_SAMPLES)
        self._seen = False

    @property
    def state(self) -> BreakerState:
        """The state now: an open breaker whose cooldown is over is half open."""
        if self._opened_at is not None:
            cooling = self._clock() - self._opened_at < self._policy.cooldown_s
            return BreakerState.OPEN if cooling else BreakerState.HALF_OPEN
        return BreakerState.CLOSED if self._seen else BreakerState.UNKNOWN

    def permit(self, now: float | None = None) -> Permit | None:
        """Return leave for one attempt; while half open for one at a time, while open for none."""
        if self._opened_at is None:
            return Permit(self, self._generation)
        if now is None:
            now = self._clock()
        if now - self._opened_at < self._policy.cooldown_s:
            return None
        if self._probe is not None and now - self._probe_began_at < self._policy.probe_timeout_s:
            return None
        self._probe, self._probe_began_at = Permit(self, self._generation), now
        self._tell(Change.HALF_OPEN)
        return self._probe

    def health(self) -> BreakerHealth:
        """Return the figures."""
        now = self._clock()
        successes, failures = self._five_minutes.totals(now)
        ordered = sorted(self._ttft_ms)
        return BreakerHealth(
            state=self.state,
            last_success_s=None if self._last_success_at is None else now - self._last_success_at,
            success_ratio_5m=successes / (successes + failures) if successes + failures else None,
            ttft_p50_ms=_percentile(ordered, 50),
            ttft_p95_ms=_percentile(ordered, 95),
            last_error_code=self._last_error_code,
        )

    def first_content(self, permit: Permit, ttft_ms: float) -> None:
        """Keep the time; a probe's content closes the breaker."""
        self._ttft_ms.append(ttft_ms)
        if permit is self._probe:
            self._close()
            permit.generation = self._generation

    def succeeded(self, permit: Permit) -> None:
        """Count a success; a probe's closes the breaker."""
        now = self._clock()
        self._seen = True
        self._last_success_at = now
        self._five_minutes.add(now, success=True)
        if permit is self._probe:
            self._close()
        elif self._counts(permit):
            self._failures_in_a_row = 0
            self._recent.add(now, success=True)
            self._told.clear()

    def failed(self, permit: Permit, verdict: BreakerVerdict, error_code: str | None) -> None:
        """Count a failure, and open if it is one too many or a probe's."""
        if error_code and (verdict is not BreakerVerdict.NOTHING or error_code in _REMEMBERED):
            self._last_error_code = error_code
        if (telling := _TELLING.get(error_code)) is not None:
            self._tell(telling)
        if verdict is BreakerVerdict.NOTHING:
            self.released(permit)
            return
        now = self._clock()
        self._seen = True
        self._five_minutes.add(now, success=False)
        if permit is self._probe:
            self._open(now)
        elif self._counts(permit):
            self._failures_in_a_row += 1
            self._recent.add(now, success=False)
            if verdict is BreakerVerdict.OPEN_NOW or self._too_many(now):
                self._open(now)

    def released(self, permit: Permit) -> None:
        """Let the next probe go if this one was it."""
        if permit is self._probe:
            self._probe = None

    def _counts(self, permit: Permit) -> bool:
        return self._opened_at is None and permit.generation == self._generation

    def _too_many(self, now: float) -> bool:
        if self._failures_in_a_row >= self._policy.consecutive_failures:
            return True
        successes, failures = self._recent.totals(now)
        attempts = successes + failures
        return attempts >= self._policy.ratio_minimum and failures >= attempts * self._policy.failure_ratio

    def _open(self, now: float) -> None:
        self._opened_at = now
        self._begin_generation()
        self._tell(Change.OPEN)

    def _close(self) -> None:
        self._opened_at = None
        self._seen = True
        self._begin_generation()
        self._tell(Change.CLOSED)
        self._told.clear()

    def _tell(self, change: Change) -> None:
        if change not in self._told:
            self._told.add(change)
            self._on_change(change, self._last_error_code)

    def _begin_generation(self) -> None:
        self._generation += 1
        self._probe = None
        self._failures_in_a_row = 0
        self._recent.clear()


class Window:
    """Successes and failures of the last `buckets` times `bucket_s` seconds, in a ring that never grows.

    The oldest bucket leaves whole, so the span is short by up to `bucket_s`.
    """

    def __init__(self, *, buckets: int, bucket_s: float) -> None:
        self._bucket_s = bucket_s
        self._buckets = buckets
        self.clear()

    def add(self, now: float, *, success: bool) -> None:
        """Count one end."""
        tick = int(now / self._bucket_s)
        index = tick % self._buckets
        if self._ticks[index] != tick:
            self._ticks[index] = tick
            self._counts[index] = [0, 0]
        self._counts[index][0 if success else 1] += 1

    def totals(self, now: float) -> tuple[int, int]:
        """Return the successes and failures in the window."""
        oldest = int(now / self._bucket_s) - self._buckets
        live = [counts for counts, tick in zip(self._counts, self._ticks, strict=True) if tick > oldest]
        return sum(counts[0] for counts in live), sum(counts[1] for counts in live)

    def clear(self) -> None:
        """Forget everything."""
        self._counts = [[0, 0] for _ in range(self._buckets)]
        self._ticks = [0] * self._buckets


def _percentile(ordered: list[float], percent: int) -> float | None:
    """Return the nearest-rank percentile of ordered samples."""
    if not ordered:
        return None
    return ordered[(len(ordered) * percent - 1) // 100]
