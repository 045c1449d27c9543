"""Circuit breakers through real failures: what opens them, what does not, and the way back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.contract.limit_fixtures import CALM, COMPLETIONS, HEALTH, PROMPT, Door, error_of, eventually, started
from tests.server import ServerProcess
from tests.sse_answer import collect
from tests.upstream import Gate, UpstreamServer, healthy, scripted
from tests.upstream.framing import response
from tests.upstream.steps import Hold, Send
from tests.waiting import HANG_S

FAILURES = 3
MODELS = {"deepseek": "deepseek-flash", "zai": "glm-4.7", "openai": "gpt-6-luna"}


@pytest.fixture(scope="module")
def shared() -> Iterator[Door]:
    with UpstreamServer() as upstream:
        # With DEBUG=1 the mock would serve, if real keys did not stand in its way.
        policy = {"BREAKER_FAILURES": str(FAILURES), "BREAKER_COOLDOWN": "0.08", "DEBUG": "1"}
        server = ServerProcess(CALM | policy, upstream=upstream)
        with started(server):
            yield Door(server, upstream)


@pytest.fixture
def quick(shared: Door) -> Door:
    """Three failures open a breaker for a moment; all are closed and their counts at nought."""
    door = shared
    door.upstream.reset()
    for model in MODELS.values():
        eventually(lambda model=model: door.whole(model=model, fallback=False)[0] == 200, f"{model} answers")  # type: ignore[misc]
    door.upstream.reset()
    return door


def state_of(door: Door, name: str) -> str:
    state: str = next(one["state"] for one in door.health()["providers"] if one["name"] == name)
    return state


def ask(door: Door, vendor: str, scenario: str | None = None, **fields: Any) -> int:
    """Ask one vendor alone and return the status."""
    suffix = "" if scenario is None else f"@{scenario}"
    return door.whole(model=MODELS[vendor] + suffix, **({"fallback": False} | fields))[0]


def open_by_failing(door: Door, vendor: str) -> None:
    for _ in range(FAILURES):
        assert ask(door, vendor, "status-500") == 502
    assert state_of(door, vendor) in ("open", "half_open")


class TestOpening:
    def test_takes_that_many_failures_in_a_row(self, quick: Door) -> None:
        for count in range(1, FAILURES + 1):
            assert ask(quick, "deepseek", "status-500") == 502
            assert (state_of(quick, "deepseek") == "closed") == (count < FAILURES)
        assert state_of(quick, "zai") == "closed"

    def test_a_success_between_starts_the_count_again(self, quick: Door) -> None:
        for _ in range(2):
            for _ in range(FAILURES - 1):
                assert ask(quick, "deepseek", "status-500") == 502
            assert ask(quick, "deepseek") == 200
        assert state_of(quick, "deepseek") == "closed"

    @pytest.mark.parametrize(
        "scenario",
        [
            "cut-by-reset",
            "close-before-answer",
            "error-event-first",
            "html-in-200",
            "insufficient-system-resource",
            "deepseek-401-key",
            "status-503",
        ],
    )
    def test_is_done_by_every_failure_of_the_provider(self, quick: Door, scenario: str) -> None:
        for _ in range(FAILURES):
            assert ask(quick, "deepseek", scenario) == 502
        assert state_of(quick, "deepseek") in ("open", "half_open")

    @pytest.mark.parametrize(
        ("vendor", "scenario"),
        [
            ("deepseek", "deepseek-402-insufficient-balance"),
            ("zai", "zai-429-1113"),
            ("openai", "openai-429-insufficient-quota"),
            ("openai", "openai-429-credit-balance-exhausted"),
        ],
    )
    def test_is_done_at_once_by_an_empty_account(self, quick: Door, vendor: str, scenario: str) -> None:
        assert ask(quick, vendor, scenario) == 502
        assert state_of(quick, vendor) in ("open", "half_open")
        listed = next(one for one in quick.health()["providers"] if one["name"] == vendor)
        assert listed["last_error_code"] == "out_of_funds"


class TestNotOpening:
    @pytest.mark.parametrize(
        ("vendor", "scenario", "status"),
        [
            ("deepseek", "deepseek-400-bad-request", 400),
            ("deepseek", "deepseek-422-parameters", 400),
            ("zai", "zai-400-1301", 400),
            ("openai", "openai-400-context-length-exceeded", 400),
            ("openai", "openai-429-rate-limit-exceeded", 502),
            ("zai", "zai-429-1302", 502),
            ("deepseek", "deepseek-429-concurrency", 502),
            # Whoever names a model that is not there must not close the provider to everybody.
            ("openai", "openai-404-model-not-found", 502),
        ],
    )
    def test_by_the_clients_fault_or_a_rate_limit(self, quick: Door, vendor: str, scenario: str, status: int) -> None:
        for _ in range(FAILURES + 2):
            assert ask(quick, vendor, scenario) == status
        assert state_of(quick, vendor) == "closed"

    def test_by_a_client_that_leaves(self, quick: Door) -> None:
        gate = Gate()
        quick.upstream.script("deepseek", healthy(gate=gate))
        for number in range(FAILURES + 1):
            quick.server.leave(COMPLETIONS, at=gate, times=number + 1, json={"messages": PROMPT})
        quick.wait_active(0)
        assert state_of(quick, "deepseek") == "closed"


def spend(door: Door, *vendors: str) -> None:
    """Open breakers at once: their accounts are empty."""
    empty = {
        "deepseek": "deepseek-402-insufficient-balance",
        "zai": "zai-429-1113",
        "openai": "openai-429-insufficient-quota",
    }
    for vendor in vendors:
        assert ask(door, vendor, empty[vendor]) == 502


def before_the_cooldown_is_over(look: Callable[[], bool]) -> None:
    """Do it until it went quickly enough: breakers are open for a moment only."""
    eventually(look, "an answer while the breakers were open")


class TestOpen:
    def test_it_is_passed_over(self, quick: Door) -> None:
        def passed_over() -> bool:
            quick.upstream.reset()
            spend(quick, "deepseek")
            called = len(quick.upstream.exchanges("deepseek"))
            with quick.begin() as stream:
                assert collect(stream).done
            return stream.headers["x-promptcraft-provider"] == "zai" and (
                stream.headers["x-promptcraft-fallback-count"],
                len(quick.upstream.exchanges("deepseek")),
            ) == ("1", called)

        before_the_cooldown_is_over(passed_over)

    def test_it_is_seen(self, quick: Door) -> None:
        def seen() -> bool:
            spend(quick, "deepseek")
            health = quick.health()
            models = quick.call("/api/v2/models/")[2]["data"]
            available = {model["provider"]: model["available"] for model in models}
            return (health["status"], health["serving"], available) == (
                "degraded",
                "zai",
                {"deepseek": False, "zai": True, "openai": True},
            )

        before_the_cooldown_is_over(seen)

    def test_one_asked_for_by_name_and_alone_is_not_asked_either(self, quick: Door) -> None:
        def refused() -> bool:
            spend(quick, "deepseek")
            called = len(quick.upstream.journal)
            status, _, body = quick.whole(model=MODELS["deepseek"], fallback=False)
            return status == 502 and (
                error_of(body)["code"],
                body["error"]["attempts"][0]["end_reason"],
                len(quick.upstream.journal),
            ) == ("all_providers_failed", "breaker_open", called)

        before_the_cooldown_is_over(refused)

    def test_when_all_are_nobody_is_asked_and_nobody_stands_in(self, quick: Door) -> None:
        def refused() -> bool:
            spend(quick, *MODELS)
            called = len(quick.upstream.journal)
            status, _, body = quick.whole()
            health = quick.call(HEALTH, None)
            if status == 200:
                return False
            error = error_of(body)
            assert (status, error["code"]) == (502, "all_providers_failed")
            # The mock would, where a key does not stand in its way.
            assert [one["provider"] for one in error["attempts"]] == list(MODELS)
            return (
                [one["end_reason"] for one in error["attempts"]] == ["breaker_open"] * 3
                and error["retryable"] is True
                and len(quick.upstream.journal) == called
                and (health[0], health[2]["status"], health[2]["serving"]) == (503, "down", None)
            )

        before_the_cooldown_is_over(refused)


class TestTheWayBack:
    def test_one_probe_goes_and_the_others_are_passed_over_meanwhile(self, quick: Door) -> None:
        open_by_failing(quick, "deepseek")
        eventually(lambda: state_of(quick, "deepseek") == "half_open", "half open")
        gate = Gate()
        quick.upstream.script("deepseek", healthy(gate=gate))
        with ThreadPoolExecutor(5) as pool:
            probe = pool.submit(quick.whole)
            gate.wait_reached(1)
            others = list(pool.map(lambda _: quick.whole()[1]["x-promptcraft-provider"], range(4)))
            assert others == ["zai"] * 4
            assert state_of(quick, "deepseek") == "half_open"
            gate.release()
            assert probe.result(HANG_S)[1]["x-promptcraft-provider"] == "deepseek"
        assert state_of(quick, "deepseek") == "closed"
        assert quick.whole()[1]["x-promptcraft-provider"] == "deepseek"

    def test_a_probe_closes_it_by_its_first_content(self, quick: Door) -> None:
        open_by_failing(quick, "deepseek")
        eventually(lambda: state_of(quick, "deepseek") == "half_open", "half open")
        gate = Gate()
        quick.upstream.script("deepseek", healthy(gate=gate, gate_after=1))
        with quick.begin(fallback=False) as probe:
            next(probe.events())
            assert state_of(quick, "deepseek") == "closed"
            gate.release()

    def test_a_probe_that_fails_opens_it_again(self, quick: Door) -> None:
        open_by_failing(quick, "deepseek")
        eventually(lambda: state_of(quick, "deepseek") == "half_open", "half open")
        gate = Gate()
        quick.upstream.script("deepseek", scripted(Hold(gate), Send(response(500, b"{}"))))
        with ThreadPoolExecutor(1) as pool:
            probe = pool.submit(quick.whole, fallback=False)
            gate.wait_reached(1)
            gate.release()
            assert probe.result(HANG_S)[0] == 502
        assert state_of(quick, "deepseek") != "closed"

    @pytest.mark.parametrize("scenario", ["deepseek-422-parameters", "deepseek-429-concurrency"])
    def test_a_probe_that_says_nothing_lets_the_next_go(self, quick: Door, scenario: str) -> None:
        open_by_failing(quick, "deepseek")
        eventually(lambda: state_of(quick, "deepseek") == "half_open", "half open")
        assert ask(quick, "deepseek", scenario) in (400, 502)
        assert state_of(quick, "deepseek") == "half_open"
        assert ask(quick, "deepseek") == 200
        assert state_of(quick, "deepseek") == "closed"

    def test_a_probe_whose_client_leaves_lets_the_next_go(self, quick: Door) -> None:
        open_by_failing(quick, "deepseek")
        eventually(lambda: state_of(quick, "deepseek") == "half_open", "half open")
        gate = Gate()
        quick.upstream.script("deepseek", healthy(gate=gate), times=1)
        quick.server.leave(COMPLETIONS, at=gate, json={"messages": PROMPT})
        quick.wait_active(0)
        assert ask(quick, "deepseek") == 200
