"""Nothing that is done for a request grows with the streams that are open."""

from __future__ import annotations

from benchmarks.native import Native, Plan
from benchmarks.rows import wait_quiet
from tests.load.conftest import Watched, needs_native

pytestmark = needs_native

FEW, MANY = 50, 800
MOST_RATIO = 1.5
"""A step for each open stream of a twentieth of a request's cost in all would show as 1.8."""


def cpu_per_request_s(native: Native, watched: Watched, streams: int) -> float:
    """Return the least processor time for a request of three tries, while so many silent streams are open."""
    asked = Plan(tokens=1, interval_us=2000)
    with native.held(watched, Plan(tokens=1, hold=True), streams=streams, hold=1, limit_s=60) as held:
        wait_quiet(watched)  # type: ignore[arg-type]
        costs_s: list[float] = []
        for _ in range(3):
            load = native.run(watched, asked, streams=8, requests=300, limit_s=30)
            assert load.faults == {}
            used_s = load.moments["end"].target_cpu_s - load.moments["begin"].target_cpu_s
            costs_s.append(used_s / load.counts["requests"])
        assert watched.look()["counts"]["running"] == streams
    assert held.load.faults == {}
    return min(costs_s)


def test_cost_of_a_request_is_the_same_for_few_and_for_many(native: Native, watched: Watched):
    native.run(watched, Plan(tokens=1, interval_us=2000), streams=8, requests=300, limit_s=30)
    few_s = cpu_per_request_s(native, watched, FEW)
    many_s = cpu_per_request_s(native, watched, MANY)
    assert many_s < MOST_RATIO * few_s, f"{few_s * 1e6:.0f} µs among {FEW}, {many_s * 1e6:.0f} µs among {MANY}"
