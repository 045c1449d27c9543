"""`make bench`, or `python -m benchmarks --help`."""

from __future__ import annotations

import argparse
import json
import os
import resource
import shlex
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.database import Databases
from benchmarks.machine import describe_machine, load_average
from benchmarks.native import LoadFailed, Native
from benchmarks.processes import ROOT
from benchmarks.report import Results
from benchmarks.rows import Outcome, Row, Sizes, rows_for, wait_quiet, warm_up
from benchmarks.server import Server
from benchmarks.start import start_row
from benchmarks.targets import BareRelay, Direct, Nginx, StartedTarget, nginx_path
from benchmarks.workbench import workbench_row

_TARGETS = ("direct", "nginx", "relay", "promptcraft")


def main() -> int:
    """Measure, print the table, write the JSON."""
    options = _arguments().parse_args()
    if sys.platform != "linux":
        print("The bench reads /proc and pins processes to cores: it needs Linux.", file=sys.stderr)
        return 2
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    target_core, load_core = _cores(options.cores)
    os.sched_setaffinity(0, {load_core})
    sizes, rounds = _sizes(options), options.rounds or (1 if options.quick else 3)
    with tempfile.TemporaryDirectory(prefix="promptcraft-bench-") as name:
        directory = Path(name)
        databases = Databases(directory, options.database)
        workbench = workbench_row(sizes, directory, databases, {target_core})
        rows = _chosen((*rows_for(sizes), start_row(directory, {target_core}), workbench), sizes, options)
        if options.list:
            print("\n".join(f"{row.name:14}{row.group}" for row in rows))
            return 0
        began_load = load_average()
        if began_load > 0.5:
            _say(f"load average {began_load:.2f}: other work will show in the figures")
        native = Native(directory, load_cores={load_core})
        targets: list[StartedTarget] = []
        try:
            targets = _targets(options, directory, databases, native.upstream_port, {target_core})
            for target in targets:
                target.start()
                warm_up(native, target, sizes)
            results = _measure(native, rows, targets, rounds)
        except LoadFailed as error:
            print(error, file=sys.stderr)
            return 1
        finally:
            for target in targets:
                target.stop()
            native.stop()
        about = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
            "machine": describe_machine(),
            "compiler": native.compiler,
            "targets": {target.name: target.version() for target in targets},
            "settings": {
                "rounds": rounds,
                "seconds": sizes.seconds,
                "target_core": target_core,
                "load_core": load_core,
                "load_average_before": began_load,
                "open_files": files,
                "server": _public_settings(targets),
            },
        }
    print("\n".join(_heading(about)), "", results.table(), "", results.check(), sep="\n")
    path = options.json or ROOT / "var" / "bench" / f"{datetime.now(UTC):%Y%m%d-%H%M%S}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**about, "rows": results.as_json()}, indent=1) + "\n")
    _say(f"every figure of every round: {path}")
    return 0


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the service beside others.")
    parser.add_argument("--targets", default=",".join(_TARGETS), help=f"of {', '.join(_TARGETS)}")
    parser.add_argument("--against", type=Path, help="another working tree, measured as the target `against`")
    parser.add_argument("--rounds", type=int, help="default 3")
    parser.add_argument("--seconds", type=float, help="of each load, default 5")
    parser.add_argument("--streams", type=_counts, help="of the loads at 20 tokens/s, default 100,300,1000")
    parser.add_argument("--requests", type=int, help="to each operation of the workbench, default 200")
    parser.add_argument("--only", default="", help="rows or groups of rows, see --list")
    parser.add_argument("--list", action="store_true", help="name the rows and their groups")
    parser.add_argument("--json", type=Path, help="default var/bench/DATE-TIME.json")
    parser.add_argument("--cores", type=_counts, default=(0, 1), help="the target's, the load's; default 0,1")
    parser.add_argument("--database", type=Path, help="made by benchmarks/database.py before: copied instead")
    parser.add_argument("--quick", action="store_true", help="one round of the main rows in about a minute")
    return parser


def _counts(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _cores(named: tuple[int, ...]) -> tuple[int, int]:
    allowed = sorted(os.sched_getaffinity(0))
    if len(named) == 2 and set(named) <= set(allowed):
        return named[0], named[1]
    if len(allowed) == 1:
        _say("one core for everything: the load generator takes from what it measures")
    return allowed[0], allowed[-1]


def _sizes(options: argparse.Namespace) -> Sizes:
    sizes = Sizes(seconds=2.0, first_token_requests=150, workbench_requests=50) if options.quick else Sizes()
    if options.seconds:
        sizes = replace(sizes, seconds=options.seconds)
    if options.streams:
        sizes = replace(sizes, streams=options.streams)
    if options.requests:
        sizes = replace(sizes, workbench_requests=options.requests)
    return sizes


def _chosen(rows: tuple[Row, ...], sizes: Sizes, options: argparse.Namespace) -> list[Row]:
    only = [name for name in options.only.split(",") if name]
    if options.quick and not only:
        only = ["first", "request", f"{sizes.streams[0]}x20", "burst", "start"]
    unknown = set(only) - {row.name for row in rows} - {row.group for row in rows}
    if unknown:
        raise SystemExit(f"No such rows: {', '.join(sorted(unknown))}. See --list.")
    return [row for row in rows if not only or row.name in only or row.group in only]


def _targets(
    options: argparse.Namespace, directory: Path, databases: Databases, upstream_port: int, cores: set[int]
) -> list[StartedTarget]:
    def server(name: str, root: Path) -> Server:
        return Server(
            name=name, directory=directory, databases=databases, upstream_port=upstream_port, cores=cores, root=root
        )

    makers: dict[str, Callable[[], StartedTarget]] = {
        "direct": lambda: Direct(upstream_port),
        "nginx": lambda: Nginx(directory=directory, upstream_port=upstream_port, cores=cores),
        "relay": lambda: BareRelay(directory=directory, upstream_port=upstream_port, cores=cores),
        "promptcraft": lambda: server("promptcraft", ROOT),
    }
    names = [name for name in options.targets.split(",") if name]
    unknown = set(names) - set(makers)
    if unknown:
        raise SystemExit(f"No such targets: {', '.join(sorted(unknown))}.")
    if "nginx" in names and nginx_path() is None:
        _say("nginx is not installed (Debian: apt install nginx-light): measured without it")
        names.remove("nginx")
    targets = [makers[name]() for name in names]
    if options.against:
        targets.append(server("against", options.against.resolve()))
    return targets


def _measure(native: Native, rows: list[Row], targets: list[StartedTarget], rounds: int) -> Results:
    results = Results(rows, [target.name for target in targets])
    for number in range(1, rounds + 1):
        for row in rows:
            if row.once:
                continue
            for target in targets:
                if row.direct or target.name != "direct":
                    results.add(row, target.name, _attempt(native, row, target, f"{number}/{rounds}"))
    for row in rows:
        for target in targets:
            if row.once and target.name != "direct":
                results.add(row, target.name, _attempt(native, row, target, "once"))
    return results


def _attempt(native: Native, row: Row, target: StartedTarget, turn: str) -> Outcome | None:
    wait_quiet(target)
    try:
        outcome = row.measure(native, target)
    except LoadFailed as error:
        _say(f"{turn} {row.name} {target.name}: {error}")
        return None
    if outcome.figures:
        figures = "  ".join(f"{key} {value:.4g}" for key, value in outcome.figures.items() if value is not None)
        faults = "  ".join(f"{count} {kind}" for kind, count in outcome.faults.items())
        _say(f"{turn} {row.name:12} {target.name:12} {figures}  {faults}")
    return outcome


def _public_settings(targets: list[StartedTarget]) -> dict[str, str]:
    settings = next((target.environment for target in targets if isinstance(target, Server)), {})
    return {name: value for name, value in settings.items() if name != "SECRET_KEY"}


def _heading(about: dict[str, Any]) -> list[str]:
    machine, settings = about["machine"], about["settings"]
    versions = ", ".join(f"{name} {machine[name]}" for name in ("python", "django", "uvicorn", "uvloop", "httptools"))
    cores = f"target on core {settings['target_core']}, upstream and load on core {settings['load_core']}"
    method = f"medians of {settings['rounds']} interleaved rounds, {settings['seconds']:g} s a load"
    return [
        f"{about['date']}  {about['command']}",
        f"{machine['cores']} cores {machine['cpu']}, Linux {machine['kernel']}: {cores}",
        versions,
        "  ".join(f"{name}: {version}" for name, version in about["targets"].items()),
        f"{method}; in brackets the ratio to nginx",
    ]


def _say(line: str) -> None:
    print(f"# {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
