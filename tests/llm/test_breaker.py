from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.llm.breaker import BreakerPolicy, Change, Permit, ProcessBreaker, Window
from apps.llm.errors import BreakerVerdict

FAILURE, OPEN_NOW, NOTHING = BreakerVerdict.FAILURE, BreakerVerdict.OPEN_NOW, BreakerVerdict.NOTHING
POLICY = BreakerPolicy(consecutive_failures=5, cooldown_s=30, probe_timeout_s=90)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock) -> ProcessBreaker:
    return ProcessBreaker(POLICY, clock)


def permit(breaker: ProcessBreaker) -> Permit:
    granted = breaker.permit()
    assert granted is not None
    return granted


def fail(breaker: ProcessBreaker, times: int = 1) -> None:
    for _ in range(times):
        permit(breaker).failure(FAILURE, "server_error")


def opened(breaker: ProcessBreaker) -> ProcessBreaker:
    permit(breaker).failure(OPEN_NOW, "out_of_funds")
    assert breaker.state == "open"
    return breaker


# --- opening


def test_is_unknown_before_any_traffic_and_closed_after(breaker):
    assert breaker.state == "unknown"
    granted = permit(breaker)
    assert breaker.state == "unknown"
    granted.success()
    assert breaker.state == "closed"


def test_opens_at_consecutive_failures(breaker):
    fail(breaker, 4)
    assert breaker.state == "closed"
    fail(breaker)
    assert breaker.state == "open"
    assert breaker.permit() is None


def test_a_success_between_them_starts_again(breaker):
    fail(breaker, 4)
    permit(breaker).success()
    fail(breaker, 4)
    assert breaker.state == "closed"


def test_out_of_money_opens_at_once(breaker):
    permit(breaker).success()
    opened(breaker)


def test_nothing_never_opens_and_never_resets(breaker):
    for _ in range(100):
        permit(breaker).failure(NOTHING, "rate_limited")
    assert breaker.state == "unknown"
    fail(breaker, 4)
    permit(breaker).failure(NOTHING, "request_rejected")
    fail(breaker)
    assert breaker.state == "open"


def test_opens_at_a_ratio_of_enough_attempts(breaker):
    for _ in range(9):
        permit(breaker).success()
        fail(breaker)
    permit(breaker).success()
    # 19 attempts, 9 failures.
    assert breaker.state == "closed"
    fail(breaker)
    assert breaker.state == "open"


def test_ratio_below_a_half_does_not_open(breaker):
    for _ in range(50):
        permit(breaker).success()
        permit(breaker).success()
        fail(breaker)
    assert breaker.state == "closed"


def test_ratio_forgets_after_a_minute(breaker, clock):
    for _ in range(9):
        permit(breaker).success()
        fail(breaker)
    clock.forward(61)
    permit(breaker).success()
    fail(breaker, 2)
    assert breaker.state == "closed"


# --- half open


def test_lets_one_probe_through_after_the_cooldown(breaker, clock):
    opened(breaker)
    clock.forward(29.9)
    assert breaker.permit() is None
    assert breaker.state == "open"
    clock.forward(0.1)
    assert breaker.state == "half_open"
    permit(breaker)
    assert breaker.permit() is None
    assert breaker.state == "half_open"


def test_probe_success_closes(breaker, clock):
    opened(breaker)
    clock.forward(30)
    permit(breaker).success()
    assert breaker.state == "closed"
    assert breaker.permit() is not None
    # What opened it is forgotten.
    fail(breaker, 4)
    assert breaker.state == "closed"


def test_a_ratio_that_opened_is_forgotten_when_it_closes(clock):
    breaker = ProcessBreaker(BreakerPolicy(consecutive_failures=100, cooldown_s=1), clock)
    fail(breaker, 20)
    assert breaker.state == "open"
    clock.forward(1)
    permit(breaker).success()
    fail(breaker)
    assert breaker.state == "closed"


def test_probe_content_closes_before_its_stream_ends(breaker, clock):
    opened(breaker)
    clock.forward(30)
    probe = permit(breaker)
    probe.first_content(80)
    assert breaker.state == "closed"
    fail(breaker, 4)
    probe.failure(FAILURE, "stream_cut")
    assert breaker.state == "open"


def test_time_may_be_given(breaker, clock):
    opened(breaker)
    assert breaker.permit(clock.now + 29) is None
    assert breaker.permit(clock.now + 30) is not None


def test_probe_failure_opens_for_another_cooldown(breaker, clock):
    opened(breaker)
    clock.forward(30)
    permit(breaker).failure(FAILURE, "server_error")
    assert breaker.state == "open"
    clock.forward(29)
    assert breaker.permit() is None
    clock.forward(1)
    permit(breaker)


@pytest.mark.parametrize("give_back", [Permit.release, lambda probe: probe.failure(NOTHING, "rate_limited")])
def test_probe_that_says_nothing_is_given_back(breaker, clock, give_back):
    opened(breaker)
    clock.forward(30)
    give_back(permit(breaker))
    assert breaker.state == "half_open"
    permit(breaker)
    assert breaker.permit() is None


def test_probe_that_never_reports_does_not_wedge(breaker, clock):
    opened(breaker)
    clock.forward(30)
    lost = permit(breaker)
    clock.forward(89)
    assert breaker.permit() is None
    clock.forward(1)
    second = permit(breaker)
    lost.failure(FAILURE, "server_error")
    lost.release()
    assert breaker.permit() is None
    second.success()
    assert breaker.state == "closed"


def test_reports_from_before_an_opening_do_not_count(breaker, clock):
    slow = [permit(breaker) for _ in range(10)]
    opened(breaker)
    slow.pop().success()
    assert breaker.state == "open"
    clock.forward(20)
    slow.pop().failure(FAILURE, "stream_cut")
    clock.forward(10)
    # The failure did not prolong the cooldown.
    permit(breaker).success()
    for late in slow:
        late.failure(OPEN_NOW, "out_of_funds")
    assert breaker.state == "closed"


def test_only_the_first_report_counts(breaker):
    for _ in range(10):
        granted = permit(breaker)
        granted.success()
        granted.failure(OPEN_NOW, "out_of_funds")
        granted.release()
        granted.success()
        granted.first_content(5)
    assert breaker.state == "closed"
    assert breaker.health().last_error_code is None
    assert breaker.health().ttft_p50_ms is None


# --- health


def test_health_without_traffic(breaker):
    health = breaker.health()
    assert health.state == "unknown"
    assert health.last_success_s is None
    assert health.success_ratio_5m is None
    assert health.ttft_p50_ms is None
    assert health.ttft_p95_ms is None
    assert health.last_error_code is None


def test_health_figures(breaker, clock):
    for ttft_ms in range(1, 101):
        granted = permit(breaker)
        granted.first_content(float(ttft_ms))
        granted.success()
    fail(breaker, 1)
    clock.forward(12)
    health = breaker.health()
    assert health.last_success_s == 12
    assert health.success_ratio_5m == 100 / 101
    assert (health.ttft_p50_ms, health.ttft_p95_ms) == (50, 95)
    assert health.last_error_code == "server_error"
    clock.forward(301)
    assert breaker.health().success_ratio_5m is None
    assert breaker.health().last_success_s == 313


def test_clients_faults_are_no_error_of_the_provider(breaker):
    permit(breaker).failure(NOTHING, "request_rejected")
    assert breaker.health().last_error_code is None
    permit(breaker).failure(NOTHING, "rate_limited")
    assert breaker.health().last_error_code == "rate_limited"


def test_one_sample_is_every_percentile(breaker):
    permit(breaker).first_content(7)
    assert (breaker.health().ttft_p50_ms, breaker.health().ttft_p95_ms) == (7, 7)


def test_memory_is_bounded(breaker, clock):
    for number in range(5_000):
        granted = permit(breaker)
        granted.first_content(number)
        granted.success()
        clock.forward(0.5)
    assert len(breaker._ttft_ms) == 200
    assert len(breaker._recent._counts) == 60
    assert len(breaker._five_minutes._counts) == 60


def test_window_forgets_without_being_added_to():
    window = Window(buckets=6, bucket_s=10)
    window.add(100.0, success=True)
    assert window.totals(159.9) == (1, 0)
    assert window.totals(160.0) == (0, 0)


@given(
    steps=st.lists(st.tuples(st.integers(min_value=0, max_value=40), st.booleans()), max_size=60),
    start=st.sampled_from([0.0, 5.0, 1e6]),
)
def test_window_counts_what_is_recent(steps, start):
    window = Window(buckets=6, bucket_s=10)
    now, seen = start, []
    for seconds, success in steps:
        now += seconds
        window.add(now, success=success)
        seen.append((int(now / 10), success))
    live = [success for tick, success in seen if tick > int(now / 10) - 6]
    assert window.totals(now) == (live.count(True), live.count(False))
    window.clear()
    assert window.totals(now) == (0, 0)


@given(st.lists(st.sampled_from(["permit", "success", "failure", "release", "content", "wait"]), max_size=80))
def test_never_more_than_one_probe_and_never_wedged(steps):
    clock = Clock()
    breaker = ProcessBreaker(POLICY, clock)
    opened(breaker)
    clock.forward(30)
    running: list[Permit] = []
    for step in steps:
        was_half_open = breaker.state == "half_open"
        if step == "permit":
            granted = breaker.permit()
            if granted is not None:
                if was_half_open:
                    assert breaker.permit() is None
                running.append(granted)
        elif step == "wait":
            clock.forward(31)
        elif running:
            one = running.pop(0)
            if step == "content":
                one.first_content(1)
            elif step == "failure":
                one.failure(FAILURE, "server_error")
            else:
                getattr(one, step)()
    clock.forward(POLICY.cooldown_s + POLICY.probe_timeout_s)
    assert breaker.permit() is not None


# --- what an operator is told


@pytest.fixture
def told() -> list[tuple[str, str | None]]:
    return []


@pytest.fixture
def telling(clock, told) -> ProcessBreaker:
    return ProcessBreaker(POLICY, clock, lambda change, code: told.append((change.name, code)))


def test_each_change_is_told_once_however_long_it_lasts(telling, clock, told):
    fail(telling, 5)
    assert told == [("OPEN", "server_error")]
    for _ in range(3):
        clock.forward(30)
        fail(telling)
    assert told[1:] == [("HALF_OPEN", "server_error")]
    clock.forward(30)
    permit(telling).success()
    assert told[2:] == [("CLOSED", "server_error")]


def test_the_next_time_is_told_again(telling, clock, told):
    for _ in range(2):
        fail(telling, 5)
        clock.forward(30)
        permit(telling).success()
    assert [change for change, _ in told] == ["OPEN", "HALF_OPEN", "CLOSED"] * 2


@pytest.mark.parametrize("code", ["key_refused", "out_of_funds"])
@pytest.mark.parametrize("verdict", [FAILURE, NOTHING])
def test_what_the_operator_sees_to_is_told_at_once(telling, told, code, verdict):
    for _ in range(3):
        permit(telling).failure(verdict, code)
    assert [change for change, _ in told] == [code.upper()]
    permit(telling).success()
    permit(telling).failure(verdict, code)
    assert [change for change, _ in told] == [code.upper()] * 2


def test_of_a_provider_that_answers_nothing_is_told(telling, told):
    for _ in range(3):
        permit(telling).success()
        permit(telling).failure(NOTHING, "rate_limited")
    assert told == []
    assert len(Change) == 5
