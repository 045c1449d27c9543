"""The table and the profile from outcomes written out."""

from __future__ import annotations

from benchmarks.native import LoadFailed
from benchmarks.profile import from_folded
from benchmarks.report import Results
from benchmarks.rows import Figure, Outcome, Row


def measure(native, target):
    raise LoadFailed("never called")


ROW = Row(
    name="paced",
    group="paced",
    measure=measure,
    figures=(
        Figure(key="cpu_us", label="CPU", compare="ratio"),
        Figure(key="first_ms", label="added", compare="added"),
    ),
)
TARGETS = ("direct", "nginx", "relay", "promptcraft")


def results_of(*rounds: dict[str, Outcome | None]) -> Results:
    results = Results([ROW], TARGETS)
    for outcomes in rounds:
        for target in TARGETS:
            results.add(ROW, target, outcomes[target])
    return results


def outcome(cpu_us: float | None, first_ms: float, **faults: int) -> Outcome:
    return Outcome(figures={"cpu_us": cpu_us, "first_ms": first_ms}, faults=faults)


def a_round(speed: float, **faults: int) -> dict[str, Outcome | None]:
    """Return a round on a machine of that speed: figures move, ratios do not."""
    return {
        "direct": outcome(None, 1),
        "nginx": outcome(10 * speed, 2),
        "relay": outcome(20 * speed, 3),
        "promptcraft": outcome(30 * speed, 5, **faults),
    }


def test_ratios_are_of_the_same_round():
    results = results_of(a_round(1), a_round(2), a_round(9))
    assert results.median(ROW, "promptcraft", "cpu_us") == 60
    assert results.ratio(ROW, "promptcraft", "nginx", "cpu_us") == 3
    assert results.ratio(ROW, "promptcraft", "relay", "cpu_us") == 1.5
    assert results.added(ROW, "promptcraft", "first_ms") == 4


def test_table_has_values_ratios_and_faults():
    lines = results_of(a_round(1), a_round(1, lost=2), a_round(1, lost=3, cut=1)).table().split("\n")
    assert lines[0] == "| figure | direct | nginx | relay | promptcraft | promptcraft ÷ relay |"
    assert lines[2] == "| CPU | – | 10.0 | 20.0 (2.00 ×) | 30.0 (3.00 ×) | 1.50 |"
    assert lines[3] == "| added | (1.0) | 1.0 | 2.0 | 4.0 |  |"
    assert lines[4].split(" | ")[4] == "5 lost, 1 cut"


def test_a_load_that_failed_leaves_the_other_rounds():
    failed = {**a_round(5), "promptcraft": None}
    results = results_of(a_round(1), failed)
    assert results.median(ROW, "promptcraft", "cpu_us") == 30
    assert results.ratio(ROW, "promptcraft", "nginx", "cpu_us") == 3
    assert "1 loads failed" in results.table()


def test_threads_share_out_the_time_they_used():
    stacks = "thread (7): MainThread;run (a.py:1);feed (apps/chat/engine/x.py:2) 3\n"
    stacks += "thread (7): MainThread;run (a.py:1) 1\nthread (8): writer;wait (b.py:1) 400\n"
    profile = from_folded(stacks, {7: 2.0, 8: 0.0})
    assert profile.own == {"feed (apps/chat/engine/x.py:2)": 1_500_000, "run (a.py:1)": 500_000, "wait (b.py:1)": 0}
    assert profile.total["run (a.py:1)"] == 2_000_000
    assert " 75.0%  apps/chat" in profile.table(5)
