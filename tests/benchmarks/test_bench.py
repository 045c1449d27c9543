"""The bench itself, for a moment, against the real server."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

import pytest

from benchmarks.targets import nginx_path
from tests.benchmarks.conftest import needs_compiler
from tests.prepared import bench_database

pytestmark = [needs_compiler, pytest.mark.skipif(sys.platform != "linux", reason="the bench needs Linux")]


@dataclass(frozen=True, slots=True)
class Run:
    """What a short run of some rows printed and wrote."""

    targets: list[str]
    printed: str
    written: str


@pytest.fixture(scope="module")
def run(bench, tmp_path_factory) -> Run:
    targets = ["direct", "promptcraft"] if nginx_path() is None else ["direct", "nginx", "relay", "promptcraft"]
    path = tmp_path_factory.mktemp("bench") / "bench.json"
    done = bench(
        *("--targets", ",".join(targets), "--rounds", 1, "--seconds", 0.5, "--requests", 4),
        *("--streams", 2, "--only", "request,2x20,workbench", "--database", bench_database(), "--json", path),
    )
    assert done.returncode == 0, done.stderr
    return Run(targets, done.stdout, path.read_text())


def test_it_prints_a_table_and_writes_json(run):
    heading = next(line for line in run.printed.split("\n") if line.startswith("| figure |"))
    assert [cell.strip() for cell in heading.split("|")[2 : 2 + len(run.targets)]] == run.targets
    assert "| CPU µs per streaming request of 1 token |" in run.printed
    assert "| 2 streams × 20 tokens/s: CPU µs per event |" in run.printed
    report = json.loads(run.written)
    assert {"date", "command", "machine", "settings", "targets"} <= report.keys()
    assert "SECRET_KEY" not in run.written
    for row in ("request", "2x20"):
        ours = report["rows"][row]["promptcraft"]["rounds"]
        assert len(ours) == 1
        assert ours[0]["faults"] == {}
        assert 10 < ours[0]["cpu_us"] < 100_000
    direct = report["rows"]["2x20"]["direct"]["rounds"][0]
    assert direct["faults"] == {}
    assert 20 < direct["gap_p50_ms"] < 100


def test_the_workbench_answers_by_rules_and_by_a_model(run):
    (figures,) = json.loads(run.written)["rows"]["workbench"]["promptcraft"]["rounds"]
    for operation in ("intent_rules", "optimise_rules", "search", "render", "intent_model", "optimise_model"):
        assert 0.1 < figures[f"{operation}_p50_ms"] <= figures[f"{operation}_p95_ms"] < 5_000
    assert "| intent by rules: ms, p50 |" in run.printed


def test_rows_are_listed(bench):
    listed = bench("--list").stdout
    rows = ("first", "request", "100x20", "300x20", "1000x20", "burst", "grow100", "grow1500", "idle", "start")
    for row in (*rows, "workbench"):
        assert f"\n{row} " in f"\n{listed}"


@pytest.mark.parametrize("wrong", [("--only", "nothing"), ("--targets", "apache")])
def test_wrong_names_are_refused(bench, wrong):
    done = bench(*wrong)
    assert done.returncode == 1
    assert "No such" in done.stderr
