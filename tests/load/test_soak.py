"""A soak for a moment: every kind of client and fault, every byte checked, and everything back where it was."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.prepared import bench_database

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a soak reads /proc")


def test_everything_is_back_where_it_was(tmp_path: Path):
    report = tmp_path / "soak.json"
    options = "--quick --minutes 0.05 --streams 30 --users 2 --warm 1 --retention 1 --longest 2 --every 1"
    command = [sys.executable, "-m", "benchmarks.soak", *options.split(), "--database", str(bench_database())]
    command += ["--json", str(report)]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(report.read_text())
    assert found["problems"] == []
    assert sum(found["turns"].values()) > 150
    # Every kind of turn is done once before the base line at the least.
    assert len(found["turns"]) == 14
    assert max(sample["running"] for sample in found["samples"]) > 20
    assert found["last"]["busy_connections"] == found["last"]["running"] == found["last"]["leases"] == 0
