"""What is measured while a soak runs, and what it has to be at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.processes import pss_bytes

__all__ = ["COLUMNS", "kib_per_minute", "left_over", "outside", "table"]

Sample = Mapping[str, float]

_EXACT = ("open_files", "tasks", "running", "leases", "readers", "busy_connections", "kept", "keys", "kept_bytes")
COLUMNS = (
    "minute",
    "rss_kib",
    "pss_kib",
    "anon_kib",
    "open_files",
    "threads",
    "tasks",
    "running",
    "leases",
    "readers",
    "busy_connections",
    "idle_connections",
    "python_blocks",
    "kept",
    "keys",
    "rate_users",
    "rate_times",
    "worst_held_ms",
    "worst_collection_ms",
)


def outside(pid: int) -> dict[str, float]:
    """Return what the kernel says of a process."""
    status = Path(f"/proc/{pid}/status").read_text().split("\n")
    values = {name: rest.split()[0] for name, _, rest in (line.partition(":") for line in status) if rest.strip()}
    return {
        "rss_kib": int(values["VmRSS"]),
        "pss_kib": pss_bytes(pid) // 1024,
        "anon_kib": pss_bytes(pid, "Pss_Anon") // 1024,
        "open_files": sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()),
        "threads": int(values["Threads"]),
    }


def kib_per_minute(samples: Sequence[Sample], key: str) -> float:
    """Return the slope of memory over the last two thirds of the samples, by least squares; 0 for fewer than two."""
    points = [(sample["minute"], sample[key]) for sample in samples[len(samples) // 3 :]]
    middle = sum(minute for minute, _ in points) / max(1, len(points))
    spread = sum((minute - middle) ** 2 for minute, _ in points)
    return sum((minute - middle) * value for minute, value in points) / spread if spread else 0.0


def left_over(base: Sample, last: Sample) -> list[str]:
    """Say what did not return to where it was. Idle connections are files that may stay for a while."""
    problems = [
        f"{key}: {_without_idle(last, key):g}, {_without_idle(base, key):g} before"
        for key in _EXACT
        if _without_idle(last, key) != _without_idle(base, key)
    ]
    if last["upstream_active"]:
        problems.append(f"{last['upstream_active']:g} answers of the upstream still run")
    return problems


def table(samples: Sequence[Sample], most_lines: int = 24) -> str:
    """Return a table with a few of the samples, the first and the last among them."""
    step = max(1, -(-len(samples) // most_lines))
    chosen = [*samples[:-1:step], samples[-1]]
    rows = [COLUMNS, *([_cell(column, sample[column]) for column in COLUMNS] for sample in chosen)]
    widths = [max(len(row[number]) for row in rows) for number in range(len(COLUMNS))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def _without_idle(sample: Sample, key: str) -> float:
    return sample[key] - (sample["idle_connections"] if key == "open_files" else 0)


def _cell(column: str, value: Any) -> str:
    return f"{value:.1f}" if column in ("minute", "worst_held_ms", "worst_collection_ms") else f"{value:,.0f}"
