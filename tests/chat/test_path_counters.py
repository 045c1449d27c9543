"""The counters of both paths: what counts as what, and that they stay as small as they begin."""

from __future__ import annotations

import sys
import threading
from typing import Any

import pytest

from apps.chat import path_counters
from apps.chat.path_counters import BOUNDS_MS, FAILURES, Operation, Path, PathCounters, count_line
from apps.llm.errors import Code
from tests.project.test_docs import _table


@pytest.fixture
def counters(monkeypatch: pytest.MonkeyPatch) -> PathCounters:
    """Fresh ones in the place of the process's."""
    fresh = PathCounters()
    monkeypatch.setattr(path_counters, "COUNTERS", fresh)
    return fresh


def line(path: str, *, method: str = "POST", status: int = 200, duration_ms: float = 40.0, **more: Any) -> None:
    """Have a request end, as its log line tells it."""
    count_line({"method": method, "path": path, "status": status, "duration_ms": duration_ms} | more)


def outcomes(counters: PathCounters, path: Path, operation: Operation) -> dict[str, Any]:
    """Return what is not zero of one series, histograms aside."""
    series = counters.as_json()[path.value][operation.value]
    return {name: value for name, value in series.items() if value and not name.endswith("_ms")}


class TestHistograms:
    def test_each_bound_holds_what_is_no_longer_than_it(self, counters: PathCounters) -> None:
        for duration_ms in (0, 5, 5.1, 60_000, 60_001, 1e9):
            counters.count(Path.SSE, Operation.CHAT, duration_ms=duration_ms)
        counts = counters.as_json()["sse"]["chat"]["duration_ms"]["counts"]
        assert (counts[0], counts[1], counts[-2], counts[-1]) == (2, 1, 1, 2)
        assert (sum(counts), len(counts)) == (6, len(BOUNDS_MS) + 1)

    @pytest.mark.parametrize(
        ("durations_ms", "p50", "p95"),
        [
            ([], None, None),
            ([3], 5, 5),
            ([3] * 95 + [900] * 5, 5, 5),
            ([3] * 94 + [900] * 6, 5, 1_000),
            ([3] * 49 + [900] * 51, 1_000, 1_000),
            ([90_000] * 10, None, None),
        ],
    )
    def test_quantiles_are_bounds(self, counters: PathCounters, durations_ms: Any, p50: Any, p95: Any) -> None:
        for duration_ms in durations_ms:
            counters.count(Path.WEBSOCKET, Operation.INTENT, duration_ms=duration_ms)
        histogram = counters.as_json()["websocket"]["intent"]["duration_ms"]
        assert (histogram["p50"], histogram["p95"]) == (p50, p95)

    def test_only_what_was_completed_says_how_long_it_takes(self, counters: PathCounters) -> None:
        counters.count(Path.SSE, Operation.CHAT, duration_ms=1, error_code="rate_limited")
        counters.count(Path.SSE, Operation.CHAT, duration_ms=1, stopped=True, ttft_ms=30)
        series = counters.as_json()["sse"]["chat"]
        assert sum(series["duration_ms"]["counts"]) == 0
        assert sum(series["ttft_ms"]["counts"]) == 1


class TestErrors:
    def test_failures_are_the_codes_of_a_5xx(self) -> None:
        rows = _table("docs/errors.md", "## Codes")
        # What is not implemented is nobody's failure: the request asks for it.
        failed = {code for code, cells in rows.items() if cells[1].startswith("5") and cells[1] != "501"}
        assert failed == FAILURES

    def test_whose_fault_it_was(self, counters: PathCounters) -> None:
        for code in ("rate_limited", "rate_limited", "token_expired", "all_providers_failed"):
            counters.count(Path.WEBSOCKET, Operation.GENERATE, duration_ms=1, error_code=code)
        assert outcomes(counters, Path.WEBSOCKET, Operation.GENERATE) == {
            "requests": 4,
            "refused": 3,
            "failed": 1,
            "errors": {"rate_limited": 2, "token_expired": 1, "all_providers_failed": 1},
        }

    def test_a_code_from_elsewhere_is_a_fault_of_ours(self, counters: PathCounters) -> None:
        for number in range(1000):
            counters.count(Path.WEBSOCKET, Operation.SEARCH, duration_ms=1, error_code=f"invented-{number}")
        assert outcomes(counters, Path.WEBSOCKET, Operation.SEARCH)["errors"] == {Code.INTERNAL_ERROR.value: 1000}


class TestLines:
    @pytest.mark.parametrize(
        ("method", "path", "operation"),
        [
            ("POST", "/api/v2/chat/completions/", Operation.CHAT),
            ("POST", "/api/v2/prompts/generate/", Operation.GENERATE),
            ("POST", "/api/v2/prompts/intent/", Operation.INTENT),
            ("POST", "/api/v2/prompts/optimize/", Operation.OPTIMIZE),
            ("GET", "/api/v2/templates/search/", Operation.SEARCH),
        ],
    )
    def test_the_operations_of_both_paths_count(
        self, counters: PathCounters, method: str, path: str, operation: Operation
    ) -> None:
        line(path, method=method)
        assert outcomes(counters, Path.SSE, operation) == {"requests": 1, "completed": 1}

    @pytest.mark.parametrize(
        ("message_type", "operation"),
        [
            ("chat_message", Operation.CHAT),
            ("generate_content", Operation.GENERATE),
            ("process_intent", Operation.INTENT),
            ("optimize_prompt", Operation.OPTIMIZE),
            ("search", Operation.SEARCH),
        ],
    )
    def test_so_do_those_that_a_websocket_asked_for(
        self, counters: PathCounters, message_type: str, operation: Operation
    ) -> None:
        line("/ws/prompt-chat/", method="WEBSOCKET", message_type=message_type)
        assert outcomes(counters, Path.WEBSOCKET, operation) == {"requests": 1, "completed": 1}
        assert outcomes(counters, Path.SSE, operation) == {}

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/api/v2/chat/completions/"),
            ("OPTIONS", "/api/v2/chat/completions/"),
            ("GET", "/api/v2/chat/completions/chatcmpl-1/events/"),
            ("POST", "/api/v2/chat/completions/chatcmpl-1/cancel/"),
            ("GET", "/api/v2/chat/health/"),
            ("POST", "/api/v2/auth/token/"),
            ("POST", "/" + "x" * 256),
        ],
    )
    def test_nothing_else_does(self, counters: PathCounters, method: str, path: str) -> None:
        before = counters.as_json()
        line(path, method=method, status=500, error_code="internal_error")
        line("/ws/prompt-chat/", method="WEBSOCKET", message_type="unheard_of", status=400, error_code="invalid_value")
        assert counters.as_json() == before

    @pytest.mark.parametrize(
        ("told", "outcome"),
        [
            ({"completion_status": "completed", "error_code": None}, {"completed": 1}),
            ({"completion_status": "cancelled", "error_code": None}, {"stopped": 1}),
            ({"completion_status": "in_progress", "error_code": None}, {"stopped": 1}),
            ({"status": 499}, {"stopped": 1}),
            (
                {"completion_status": "failed", "error_code": "stream_interrupted"},
                {"failed": 1, "errors": {"stream_interrupted": 1}},
            ),
            ({"status": 429, "error_code": "rate_limited"}, {"refused": 1, "errors": {"rate_limited": 1}}),
            ({"status": 502, "error_code": "no_provider"}, {"failed": 1, "errors": {"no_provider": 1}}),
        ],
    )
    def test_a_completion(self, counters: PathCounters, told: dict[str, Any], outcome: dict[str, Any]) -> None:
        line("/api/v2/prompts/generate/", **told)
        assert outcomes(counters, Path.SSE, Operation.GENERATE) == {"requests": 1} | outcome

    def test_the_first_content_is_that_of_the_provider_that_answered(self, counters: PathCounters) -> None:
        attempts = [{"provider": "deepseek", "ttft_ms": None}, {"provider": "zai", "ttft_ms": 240.0}]
        line("/api/v2/chat/completions/", attempts=attempts, completion_status="completed", error_code=None)
        line("/api/v2/chat/completions/", attempts=[], completion_status="failed", error_code="no_provider")
        ttft = counters.as_json()["sse"]["chat"]["ttft_ms"]
        assert (ttft["p50"], sum(ttft["counts"])) == (250, 1)

    def test_a_model_that_failed_on_the_way_is_not_the_answer(self, counters: PathCounters) -> None:
        told: dict[str, Any] = {
            "completion_status": "failed",
            "error_code": "all_providers_failed",
            "attempts": [{"ttft_ms": 9.0}],
        }
        line("/api/v2/prompts/optimize/", **told)
        assert outcomes(counters, Path.SSE, Operation.OPTIMIZE) == {"requests": 1, "completed": 1}
        assert sum(counters.as_json()["sse"]["optimize"]["ttft_ms"]["counts"]) == 0


def count_many(counters: PathCounters) -> None:
    for _ in range(2_000):
        counters.count(Path.SSE, Operation.SEARCH, duration_ms=7)


def test_threads_lose_nothing(counters: PathCounters) -> None:
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=count_many, args=(counters,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval_s)
    assert outcomes(counters, Path.SSE, Operation.SEARCH) == {"requests": 8_000, "completed": 8_000}
