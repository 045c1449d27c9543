"""What is measured: each row puts one load on one target and returns its figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from benchmarks.native import Load, Native, Plan
from benchmarks.processes import CpuClock, pause, pss_bytes, wait_until
from benchmarks.targets import StartedTarget

__all__ = ["Figure", "Outcome", "Row", "Sizes", "rows_for", "wait_quiet", "warm_up"]

# Streams start so far apart, a time that divides no interval between tokens: their tokens spread out.
_RAMP_US = 2017
# How long streams go on after the window at most, for those whose first token comes late.
_SLACK_S = 1.5
# For streams that are let go before their last.
_MANY = 20_000
# The answer goes on for a moment after its token, as a model's does: the first event is measured by itself.
_ONE_TOKEN = Plan(tokens=1, interval_us=2000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table: what it is called, and how targets compare in it."""

    key: str
    label: str
    digits: int = 1
    compare: Literal["ratio", "added", "plain"] = "plain"
    """ratio: to nginx; added: less what the same load takes directly."""


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What one row measured on one target. A figure that could not be measured is None."""

    figures: dict[str, float | None] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    load_core_share: float | None = None
    """How busy the upstream and the load generator kept their core."""


Measure = Callable[[Native, StartedTarget], Outcome]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A load. `once` rows start a fresh process for it and are not repeated in every round."""

    name: str
    group: str
    measure: Measure
    figures: tuple[Figure, ...]
    once: bool = False
    direct: bool = True
    """Whether it says anything of the upstream itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How long and how many."""

    seconds: float = 5.0
    streams: tuple[int, ...] = (100, 300, 1000)
    first_token_requests: int = 300
    growth_streams: tuple[int, int] = (100, 1500)
    growth_events_per_s: int = 2000
    idle_streams: int = 2500
    flowing_streams: int = 1000
    kept: Mapping[int, int] = field(default_factory=lambda: {200: 1000, 2000: 250})
    """Streams that hold so many events each."""
    workbench_requests: int = 200
    """Of each operation of the workbench."""


def rows_for(sizes: Sizes) -> tuple[Row, ...]:
    """Return all rows, in the order they are measured."""
    paced = dict.fromkeys([(20, 20), (100, 40), *((streams, 20) for streams in sizes.streams)])
    return (
        _first_token_row(sizes),
        _request_row(sizes),
        *(_paced_row(streams, rate, sizes) for streams, rate in paced),
        _burst_row(sizes),
        *(_growth_row(streams, sizes) for streams in sizes.growth_streams),
        _request_among_row(sizes),
        _memory_row("idle", sizes.idle_streams, 1, Plan(tokens=1, hold=True), "idle"),
        _memory_row("flowing", sizes.flowing_streams, 1, Plan(tokens=_MANY, interval_us=500_000), "2 tokens/s"),
        *(
            _memory_row(f"kept{events}", streams, events, Plan(tokens=events, hold=True), f"{events:,} events kept")
            for events, streams in sizes.kept.items()
        ),
    )


def wait_quiet(target: StartedTarget, timeout_s: float = 20.0) -> None:
    """Wait until a target has done what was left to do."""
    clock = CpuClock(target.pid)
    last_s = -1.0

    def is_quiet() -> bool:
        nonlocal last_s
        now_s = clock.read_s()
        used_s, last_s = now_s - last_s, now_s
        return used_s < 0.002

    wait_until(is_quiet, timeout_s=timeout_s, every_s=0.1)


def warm_up(native: Native, target: StartedTarget, sizes: Sizes) -> None:
    """Run the code that is about to be measured."""
    short = replace(sizes, seconds=min(0.7, sizes.seconds / 4))
    for row in (_request_row(short), _burst_row(short)):
        row.measure(native, target)


# --- the loads


def _first_token_row(sizes: Sizes) -> Row:
    def measure(native: Native, target: StartedTarget) -> Outcome:
        load = native.run(target, _ONE_TOKEN, streams=1, requests=sizes.first_token_requests, pause_us=5000)
        first = load.counts["first_token"]
        return Outcome(figures={"p50_ms": first["p50_ms"], "p99_ms": first["p99_ms"]}, faults=load.faults)

    label = "first event, one at a time: added ms"
    figures = tuple(Figure(key=f"p{nth}_ms", label=f"{label}, p{nth}", digits=2, compare="added") for nth in (50, 99))
    return Row(name="first", group="first", measure=measure, figures=figures)


def _request_row(sizes: Sizes) -> Row:
    def measure(native: Native, target: StartedTarget) -> Outcome:
        return _requests(native, target, sizes.seconds)

    return Row(
        name="request",
        group="request",
        measure=measure,
        figures=(Figure(key="cpu_us", label="CPU µs per streaming request of 1 token", digits=0, compare="ratio"),),
        direct=False,
    )


def _request_among_row(sizes: Sizes) -> Row:
    open_streams = sizes.growth_streams[-1]

    def measure(native: Native, target: StartedTarget) -> Outcome:
        with native.held(target, Plan(tokens=1, hold=True), streams=open_streams, hold=1, limit_s=600) as held:
            wait_quiet(target)
            outcome = _requests(native, target, sizes.seconds)
        outcome.faults |= held.load.faults
        return outcome

    label = f"CPU µs per streaming request, {open_streams:,} idle streams open"
    return Row(
        name=f"request{open_streams}",
        group="growth",
        measure=measure,
        figures=(Figure(key="cpu_us", label=label, digits=0, compare="ratio"),),
        direct=False,
    )


def _requests(native: Native, target: StartedTarget, seconds: float) -> Outcome:
    load = native.run(target, _ONE_TOKEN, streams=16, seconds=seconds)
    begin, end = load.moments["begin"], load.moments["end"]
    per_request_s = (end.target_cpu_s - begin.target_cpu_s) / max(1, load.counts["requests"])
    rate = load.counts["requests"] / load.counts["wall_s"]
    return Outcome(figures={"cpu_us": per_request_s * 1e6, "requests_per_s": rate}, faults=load.faults)


def _paced_row(streams: int, tokens_per_s: float, sizes: Sizes) -> Row:
    def measure(native: Native, target: StartedTarget) -> Outcome:
        return _paced(native, target, streams=streams, tokens_per_s=tokens_per_s, seconds=sizes.seconds)

    name = f"{streams}x{tokens_per_s:g}"
    what = f"{streams:,} streams × {tokens_per_s:g} tokens/s"
    return Row(
        name=name,
        group="paced",
        measure=measure,
        figures=(
            Figure(key="cpu_us", label=f"{what}: CPU µs per event", compare="ratio"),
            Figure(key="core_percent", label=f"{what}: % of the core", digits=0),
            Figure(key="gap_p50_ms", label=f"{what}: gap p50 ms"),
            Figure(key="gap_p99_ms", label=f"{what}: gap p99 ms"),
            Figure(key="gap_all_p99_ms", label=f"{what}: gap p99 ms, while streams arrive too"),
            Figure(key="first_p50_ms", label=f"{what}: first event p50 ms, as they arrive"),
        ),
    )


def _growth_row(streams: int, sizes: Sizes) -> Row:
    rate = sizes.growth_events_per_s / streams

    def measure(native: Native, target: StartedTarget) -> Outcome:
        # Opened a few at a time and let go after the window: how fast they can be opened is another row's question.
        plan = Plan(tokens=_MANY, interval_us=round(1e6 / rate))
        with native.held(
            target, plan, streams=streams, hold=1, ramp_us=_RAMP_US, window_ms=sizes.seconds * 1000, limit_s=600
        ) as held:
            held.read_to("window")
        outcome = Outcome(faults=held.load.faults)
        _add_window(outcome, held.load, sizes.seconds)
        return outcome

    label = f"{sizes.growth_events_per_s:,} events/s over {streams:,} streams: CPU µs per event"
    return Row(
        name=f"grow{streams}",
        group="growth",
        measure=measure,
        figures=(Figure(key="cpu_us", label=label, compare="ratio"),),
        direct=False,
    )


def _paced(native: Native, target: StartedTarget, *, streams: int, tokens_per_s: float, seconds: float) -> Outcome:
    interval_us = round(1e6 / tokens_per_s)
    last_s = streams * _RAMP_US / 1e6 + seconds + min(_SLACK_S, seconds)
    plan = Plan(tokens=math.ceil(last_s * tokens_per_s), interval_us=interval_us)
    load = native.run(
        target,
        plan,
        streams=streams,
        requests=streams,
        ramp_us=_RAMP_US,
        window_ms=seconds * 1000,
        limit_s=60 + 10 * last_s,
    )
    gaps, every_gap = load.counts["window_gap"], load.counts["gap"]
    figures: dict[str, float | None] = {
        "gap_p50_ms": gaps["p50_ms"] if gaps["count"] else None,
        "gap_p99_ms": gaps["p99_ms"] if gaps["count"] else None,
        "gap_max_ms": gaps["max_ms"] if gaps["count"] else None,
        "gap_all_p99_ms": every_gap["p99_ms"],
        "first_p50_ms": load.counts["first_token"]["p50_ms"],
        "first_p99_ms": load.counts["first_token"]["p99_ms"],
    }
    # Not comparable with the CPU per event below, which is free of requests; all there is where there was no window.
    cpu_s = load.moments["end"].target_cpu_s - load.moments["begin"].target_cpu_s
    figures["cpu_us_with_requests"] = cpu_s / max(1, load.counts["tokens"]) * 1e6
    outcome = Outcome(figures=figures, faults=load.faults)
    _add_window(outcome, load, seconds)
    return outcome


def _add_window(outcome: Outcome, load: Load, seconds: float) -> None:
    """Add what the clocks said while every stream was open; nothing if that was too short a time."""
    opened, closed = load.moments.get("open"), load.moments.get("window")
    if opened is None or closed is None or closed.at_s - opened.at_s < seconds / 2:
        return
    wall_s, tokens = closed.at_s - opened.at_s, closed.tokens - opened.tokens
    cpu_s = closed.target_cpu_s - opened.target_cpu_s
    if cpu_s and tokens:
        outcome.figures["cpu_us"] = cpu_s / tokens * 1e6
        outcome.figures["core_percent"] = cpu_s / wall_s * 100
        outcome.figures["events_per_s"] = tokens / wall_s
    outcome.load_core_share = (closed.load_cpu_s - opened.load_cpu_s) / wall_s


def _burst_row(sizes: Sizes) -> Row:
    def measure(native: Native, target: StartedTarget) -> Outcome:
        load = native.run(target, Plan(tokens=500), streams=32, seconds=sizes.seconds)
        cpu_s = load.moments["end"].target_cpu_s - load.moments["begin"].target_cpu_s
        tokens = max(1, load.counts["tokens"])
        figures: dict[str, float | None] = {"events_per_s": tokens / load.counts["wall_s"]}
        if cpu_s:
            figures["cpu_us"] = cpu_s / tokens * 1e6
        return Outcome(figures=figures, faults=load.faults)

    return Row(
        name="burst",
        group="burst",
        measure=measure,
        figures=(
            Figure(key="events_per_s", label="burst, 32 streams of 500: events/s", digits=0, compare="ratio"),
            Figure(key="cpu_us", label="burst: CPU µs per event, requests included", digits=2, compare="ratio"),
        ),
    )


def _memory_row(name: str, streams: int, ready_tokens: int, plan: Plan, what: str) -> Row:
    def measure(native: Native, target: StartedTarget) -> Outcome:
        # Memory that was freed stays with a process: only a fresh one shows what a stream takes.
        target.stop()
        target.start()
        native.run(target, _ONE_TOKEN, streams=32, requests=200)
        wait_quiet(target)
        assert target.pid is not None
        before = pss_bytes(target.pid)
        with native.held(target, plan, streams=streams, hold=ready_tokens, limit_s=600) as held:
            if plan.hold:
                wait_quiet(target)
            else:
                pause(3.0)
            per_stream = (pss_bytes(target.pid) - before) / streams
        return Outcome(figures={"kb": per_stream / 1024, "base_mb": before / 1024**2}, faults=held.load.faults)

    return Row(
        name=name,
        group="memory",
        measure=measure,
        figures=(Figure(key="kb", label=f"KB per open stream, {streams:,} with {what}", compare="ratio"),),
        once=True,
        direct=False,
    )
