"""The two programs in C, compiled when the bench starts: the upstream and the load generator."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from benchmarks.processes import CpuClock, Process

__all__ = ["Load", "LoadFailed", "Moment", "Native", "Plan", "Running", "Target"]

_SOURCES = Path(__file__).parent / "native"


class LoadFailed(Exception):
    """A program of the bench did not do its part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the upstream streams: it travels in the prompt."""

    tokens: int
    interval_us: int = 0
    hold: bool = False

    def __str__(self) -> str:
        return f"plan tokens={self.tokens} interval_us={self.interval_us} hold={int(self.hold)} ;"


class Target(Protocol):
    """What is measured. `pid` is None for the upstream itself."""

    name: str
    port: int

    @property
    def pid(self) -> int | None:
        """The process whose CPU and memory count."""

    def request(self, plan: Plan) -> bytes:
        """Return one whole HTTP request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """The clocks at one mark of a load."""

    at_s: float
    tokens: int
    target_cpu_s: float
    load_cpu_s: float
    """The upstream's and the load generator's, which share a core."""


@dataclass(slots=True, kw_only=True)
class Load:
    """One run of the load generator. `counts` is its last line."""

    moments: dict[str, Moment] = field(default_factory=dict)
    counts: dict[str, Any] = field(default_factory=dict)

    @property
    def faults(self) -> dict[str, int]:
        """What went wrong, by kind; empty if nothing did."""
        counted = {**self.counts["errors"], **{name: self.counts[name] for name in _TOKEN_FAULTS}}
        return {name: count for name, count in counted.items() if count}


_TOKEN_FAULTS = ("lost", "repeated", "reordered", "strange")


class Native:
    """The compiled programs and the running upstream; `stop` ends it."""

    def __init__(self, directory: Path, *, load_cores: set[int]) -> None:
        self._directory = directory
        self._cores = load_cores
        self.compiler = _compile(directory)
        self._upstream = Process([directory / "upstream"], cores=load_cores, piped=True)
        assert self._upstream.popen.stdout is not None
        self.upstream_port = int(self._upstream.popen.stdout.readline())
        self._upstream_clock = CpuClock(self._upstream.pid)

    def stop(self) -> None:
        """End the upstream."""
        self._upstream.stop()

    def run(self, target: Target, plan: Plan, **options: float) -> Load:
        """Put a load on a target until it is over; options are load.c's. Raises LoadFailed."""
        with self._running(target, plan, options) as running:
            return running.read_to("end")

    @contextmanager
    def held(self, target: Target, plan: Plan, *, streams: int, **options: float) -> Iterator[Running]:
        """Hold streams open inside the `with` block; its load has its counts afterwards.

        Raises LoadFailed if they cannot be opened.
        """
        with self._running(target, plan, {"streams": streams, "requests": streams, **options}) as running:
            running.read_to("open")
            yield running
            running.let_go()
            running.read_to("end")

    @contextmanager
    def _running(self, target: Target, plan: Plan, options: dict[str, float]) -> Iterator[Running]:
        request = self._directory / f"{target.name}.request"
        request.write_bytes(target.request(plan))
        command: list[str | Path] = [self._directory / "load", "--port", str(target.port), "--request", request]
        command += ["--tokens", str(plan.tokens)]
        for name, value in options.items():
            command += [f"--{name}", str(value)]
        running = Running(command, self._cores, self._upstream_clock, CpuClock(target.pid))
        try:
            yield running
        finally:
            running.process.stop()


class Running:
    """A load generator at work."""

    def __init__(self, command: list[str | Path], cores: set[int], upstream: CpuClock, target: CpuClock) -> None:
        self._clocks = (upstream, target)
        began = self._moment(0, None)
        self.process = Process(command, cores=cores, piped=True)
        self._own_clock = CpuClock(self.process.pid)
        self.load = Load(moments={"begin": began})

    def read_to(self, name: str) -> Load:
        """Read marks up to one, the clocks with each."""
        assert self.process.popen.stdout is not None
        for line in self.process.popen.stdout:
            counts = json.loads(line)
            self.load.moments[counts["mark"]] = self._moment(counts["tokens"], self._own_clock)
            if counts["mark"] == "end":
                self.load.counts = counts
            if counts["mark"] == name:
                return self.load
        raise LoadFailed(f"the load generator never said {name}: {self.load.counts}")

    def let_go(self) -> None:
        """Close its input, which it takes as the end of a hold."""
        assert self.process.popen.stdin is not None
        self.process.popen.stdin.close()

    def _moment(self, tokens: int, own: CpuClock | None) -> Moment:
        upstream, target = self._clocks
        return Moment(
            at_s=time.monotonic(),
            tokens=tokens,
            target_cpu_s=target.read_s(),
            load_cpu_s=upstream.read_s() + (own.read_s() if own is not None else 0.0),
        )


def _compile(directory: Path) -> str:
    compiler = shutil.which("cc")
    if compiler is None:
        raise LoadFailed("The bench needs a C compiler called cc (Debian: apt install gcc libc6-dev).")
    for name in ("upstream", "load"):
        subprocess.run([compiler, "-O2", "-o", str(directory / name), str(_SOURCES / f"{name}.c")], check=True)
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout
    return version.partition("\n")[0]
