"""What became of requests, and how soon, on each of the two paths to the same operations.

    the log line of a request, over HTTP or a WebSocket -> count_line -> a series for each path and operation

Kept in the process since it started, and nowhere else: a phase of the rollout is a setting, so a new phase is a new
process and counts from nothing. Numbers alone: no user, no text, no id. Two paths, five operations, a fixed list of
codes and of buckets bound the memory, at some 20 KiB.
"""

from __future__ import annotations

import enum
import threading
from bisect import bisect_left
from collections.abc import Mapping
from itertools import accumulate
from typing import Any

from apps.llm.errors import Code

__all__ = ["BOUNDS_MS", "COUNTERS", "FAILURES", "Operation", "Path", "PathCounters", "count_line"]

BOUNDS_MS = (5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000)
"""Upper ends of the buckets; one more holds what took longer."""

FAILURES = frozenset(
    {
        Code.INTERNAL_ERROR,
        Code.ALL_PROVIDERS_FAILED,
        Code.NO_PROVIDER,
        Code.STREAM_INTERRUPTED,
        Code.OVERLOADED,
        Code.DRAINING,
        Code.FIRST_TOKEN_TIMEOUT,
    }
)
"""Codes that are the service's fault, those of a 5xx; whatever else ends a request was refused to its client."""


class Path(enum.StrEnum):
    """Which way a request came."""

    SSE = "sse"
    WEBSOCKET = "websocket"


class Operation(enum.StrEnum):
    """What was asked for: the five things that both paths do."""

    CHAT = "chat"
    GENERATE = "generate"
    INTENT = "intent"
    OPTIMIZE = "optimize"
    SEARCH = "search"


_CALLS = {
    ("POST", "/api/v2/chat/completions/"): Operation.CHAT,
    ("POST", "/v1/chat/completions/"): Operation.CHAT,
    ("POST", "/api/v2/prompts/generate/"): Operation.GENERATE,
    ("POST", "/api/v2/prompts/intent/"): Operation.INTENT,
    ("POST", "/api/v2/prompts/optimize/"): Operation.OPTIMIZE,
    ("GET", "/api/v2/templates/search/"): Operation.SEARCH,
}
_MESSAGES = {
    "chat_message": Operation.CHAT,
    "generate_content": Operation.GENERATE,
    "process_intent": Operation.INTENT,
    "optimize_prompt": Operation.OPTIMIZE,
    "search": Operation.SEARCH,
}
_COMPLETIONS = frozenset({Operation.CHAT, Operation.GENERATE})
_WENT_AWAY = 499


class _Histogram:
    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_MS) + 1)

    def add(self, milliseconds: float) -> None:
        self.counts[bisect_left(BOUNDS_MS, milliseconds)] += 1

    def quantile(self, share: float) -> int | None:
        """Return the upper end of the bucket in which it lies; None if nothing was counted, or it lies past them."""
        due = share * sum(self.counts)
        below = list(accumulate(self.counts[:-1]))
        place = bisect_left(below, due)
        return BOUNDS_MS[place] if due and place < len(below) else None

    def as_json(self) -> dict[str, Any]:
        return {"counts": list(self.counts), "p50": self.quantile(0.5), "p95": self.quantile(0.95)}


class _Series:
    __slots__ = ("completed", "duration", "errors", "stopped", "ttft")

    def __init__(self) -> None:
        self.completed = 0
        self.stopped = 0
        self.errors: dict[Code, int] = {}
        self.ttft = _Histogram()
        self.duration = _Histogram()

    def as_json(self) -> dict[str, Any]:
        failed = sum(count for code, count in self.errors.items() if code in FAILURES)
        refused = sum(self.errors.values()) - failed
        return {
            "requests": self.completed + self.stopped + failed + refused,
            "completed": self.completed,
            "stopped": self.stopped,
            "refused": refused,
            "failed": failed,
            "errors": {code.value: count for code, count in sorted(self.errors.items())},
            "ttft_ms": self.ttft.as_json(),
            "duration_ms": self.duration.as_json(),
        }


class PathCounters:
    """The counters of one process. Any thread may count: some requests are served on the loop, some in threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._series = {(path, operation): _Series() for path in Path for operation in Operation}

    def count(
        self,
        path: Path,
        operation: Operation,
        *,
        duration_ms: float,
        ttft_ms: float | None = None,
        error_code: str | None = None,
        stopped: bool = False,
    ) -> None:
        """Count one request at its end.

        `duration_ms` is from its arrival to its last byte; `ttft_ms` from asking the provider to its first content,
        None if there was none. `error_code` is the one that its client was told; `stopped` says that its client
        cancelled it or went away. A code that is not on the list counts as a fault of ours.
        """
        series = self._series[path, operation]
        with self._lock:
            if error_code is not None:
                code = _known(error_code)
                series.errors[code] = series.errors.get(code, 0) + 1
            elif stopped:
                series.stopped += 1
            else:
                series.completed += 1
                series.duration.add(duration_ms)
            if ttft_ms is not None:
                series.ttft.add(ttft_ms)

    def as_json(self) -> dict[str, Any]:
        """Return all of it, by path and operation; durations are those of completed requests alone."""
        with self._lock:
            return {
                path.value: {operation.value: self._series[path, operation].as_json() for operation in Operation}
                for path in Path
            }


COUNTERS = PathCounters()
"""Those of this process."""


def count_line(fields: Mapping[str, Any]) -> None:
    """Count a request by the fields of its log line, if it is for one of the five operations.

    The line of a WebSocket's request has the `method` WEBSOCKET and a `message_type`; the rest is as over HTTP.
    """
    if fields["method"] == "WEBSOCKET":
        path, operation = Path.WEBSOCKET, _MESSAGES.get(fields["message_type"])
    else:
        path, operation = Path.SSE, _CALLS.get((fields["method"], fields["path"]))
    if operation is None:
        return
    status, error_code, ttft_ms = fields["status"], fields.get("error_code"), None
    if operation in _COMPLETIONS:
        attempts = fields.get("attempts")
        ttft_ms = attempts[-1]["ttft_ms"] if attempts else None
        stopped = fields.get("completion_status", "completed") not in ("completed", "failed")
    else:
        # A completion on the way to the answer may fail, or be stopped: the rules answer then.
        stopped = False
        error_code = error_code if status >= 400 else None
    COUNTERS.count(
        path,
        operation,
        duration_ms=fields["duration_ms"],
        ttft_ms=ttft_ms,
        error_code=error_code if status != _WENT_AWAY else None,
        stopped=stopped or status == _WENT_AWAY,
    )


def _known(error_code: str) -> Code:
    try:
        return Code(error_code)
    except ValueError:
        return Code.INTERNAL_ERROR
