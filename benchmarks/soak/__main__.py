"""`python -m benchmarks.soak --help`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import shlex
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.database import Databases
from benchmarks.machine import describe_machine, load_average
from benchmarks.processes import ROOT
from benchmarks.server import Server
from benchmarks.soak.churn import Churn
from benchmarks.soak.client import Client
from benchmarks.soak.samples import kib_per_minute, left_over, outside, table
from benchmarks.soak.upstream import SoakUpstream
from benchmarks.soak.users import keep_signed_in, sign_up

_SETTINGS = {
    "PROVIDER_CHAIN": "deepseek,openai",
    "OPENAI_API_KEY": "soak",
    "REGISTRATION_OPEN": "1",
    # Short enough for everything to come and go many times.
    "DISCONNECT_GRACE": "5",
    "CHAT_RATE_LIMIT": "100000/10s",
    "FIRST_TOKEN_TIMEOUT": "6",
    "GAP_TIMEOUT": "4",
    "KEEPALIVE_INTERVAL": "2",
    "HEADER_HOLD": "8",
    # The faults are the soak's own doing.
    "BREAKER_FAILURES": "1000000",
    "BREAKER_COOLDOWN": "0.001",
}
_IDLE_AFTER_S = 31.0
"""The service keeps idle connections to a provider for 30 s."""
_SETTLE_S = 40.0
_REFRESH_S = 300.0
_AT_ONCE = 12


@dataclass(slots=True)
class Measured:
    """What a soak found. It passed if there are no problems."""

    base: dict[str, float] = field(default_factory=dict)
    samples: list[dict[str, float]] = field(default_factory=list)
    last: dict[str, float] = field(default_factory=dict)
    trimmed: dict[str, float] = field(default_factory=dict)
    """As `last`, once the C library has given back what it keeps of freed memory."""
    objects: list[dict[str, int]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class WatchedServer(Server):
    """The Procfile's command with a window into the process."""

    def command(self) -> list[str]:
        """Put the watched application in the place of the service's own."""
        return [word.replace("promptcraft.asgi:", "benchmarks.watched:") for word in super().command()]


def main() -> int:
    """Soak, print the table, write the JSON; the exit code says whether it passed."""
    options = _arguments().parse_args()
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    before = load_average()
    with tempfile.TemporaryDirectory(prefix="promptcraft-soak-") as name:
        measured, churn = uvloop.run(_soak(options, Path(name)))
    slopes = {key: round(kib_per_minute(measured.samples, key), 1) for key in ("rss_kib", "pss_kib", "anon_kib")}
    print(table([measured.base, *measured.samples, measured.last, measured.trimmed]))
    print()
    print("turns:", ", ".join(f"{count} {turn}" for turn, count in sorted(churn.turns.items())))
    print(
        f"{sum(churn.turns.values())} turns, {churn.tokens} tokens of whole answers checked; an abandoned upstream was"
        f" closed after {churn.slowest_close_s:.2f} s at the most, {churn.slow_to_close} of them after more than 1 s"
    )
    print("slope of the last two thirds, KiB/min:", ", ".join(f"{key} {value:+.1f}" for key, value in slopes.items()))
    print("\n".join(measured.problems) or "passed: no faults, and everything is back where it was")
    path = options.json or ROOT / "var" / "soak" / f"{datetime.now(UTC):%Y%m%d-%H%M%S}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    report = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", "-m", "benchmarks.soak", *sys.argv[1:]]),
        "machine": describe_machine(),
        "load_average_before": before,
        "turns": churn.turns,
        "tokens": churn.tokens,
        "slow_to_close": churn.slow_to_close,
        "slowest_close_s": churn.slowest_close_s,
        "kib_per_minute": slopes,
        "problems": measured.problems,
        "base": measured.base,
        "last": measured.last,
        "trimmed": measured.trimmed,
        "samples": measured.samples,
        "objects": measured.objects,
    }
    path.write_text(json.dumps(report, indent=1) + "\n")
    print(f"# every sample: {path}", file=sys.stderr)
    return 1 if measured.problems else 0


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description="Load the service until it leaks.")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--users", type=int, default=16, help="at most 20: an address may register so many a minute")
    parser.add_argument("--longest", type=float, default=30.0, help="seconds of the longest answer")
    parser.add_argument("--warm", type=float, default=20.0, help="seconds of load before the base line is taken")
    parser.add_argument("--retention", type=float, default=20.0, help="seconds for which finished answers are kept")
    parser.add_argument("--every", type=float, default=10.0, help="seconds between samples")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="do not wait until idle connections have expired")
    parser.add_argument("--slope", type=float, default=200.0, help="KiB a minute that anonymous memory may grow by")
    parser.add_argument("--database", type=Path, help="made by benchmarks/database.py before: copied instead")
    parser.add_argument("--json", type=Path, help="default var/soak/DATE-TIME.json")
    return parser


async def _soak(options: argparse.Namespace, directory: Path) -> tuple[Measured, Churn]:
    async with SoakUpstream() as upstream:
        server = WatchedServer(
            name="soak",
            directory=directory,
            databases=Databases(directory, options.database),
            upstream_port=upstream.port,
            cores=os.sched_getaffinity(0),
        )
        for vendor in ("deepseek", "openai"):
            server.environment[f"{vendor.upper()}_BASE_URL"] = f"http://127.0.0.1:{upstream.port}/{vendor}/v1"
        server.environment |= {**_SETTINGS, "STREAM_RETENTION": str(options.retention)}
        await asyncio.to_thread(server.start)
        try:
            return await _run(options, upstream, server)
        finally:
            await asyncio.to_thread(server.stop)


async def _run(options: argparse.Namespace, upstream: SoakUpstream, server: Server) -> tuple[Measured, Churn]:
    client, measured = Client(server.port), Measured()
    churn = Churn(
        client,
        upstream,
        seed=options.seed,
        longest_s=options.longest,
        stuck_s=2.0 if options.quick else 8.0,
        # Whoever comes back later than its answer is kept finds nothing.
        away_s=min(2.0, options.retention / 3),
    )
    users = await sign_up(client, options.users)
    signed_in = asyncio.ensure_future(keep_signed_in(client, users, _REFRESH_S))

    async def sample(began_s: float) -> dict[str, float]:
        assert server.pid is not None
        _, seen = await client.call("GET", "/__process?reset=1")
        minute = (time.monotonic() - began_s) / 60
        return {
            "minute": round(minute, 3),
            **outside(server.pid),
            **seen["counts"],
            **seen["loop"],
            "upstream_active": upstream.active,
            "upstream_connections": upstream.connections,
        }

    async def load(seconds: float, each: Callable[[], Any]) -> None:
        until_s = time.monotonic() + seconds
        workers = [
            asyncio.ensure_future(churn.work(users[number % len(users)], until_s)) for number in range(options.streams)
        ]
        while time.monotonic() < until_s - options.every / 2:
            await asyncio.sleep(options.every)
            await each()
        await asyncio.gather(*workers)

    async def settled(began_s: float, base: dict[str, float] | None) -> dict[str, float]:
        """Wait until nothing runs and nothing finished is kept, and return how things stand."""
        until_s = time.monotonic() + _SETTLE_S
        if not options.quick:
            await asyncio.sleep(_IDLE_AFTER_S)
        while True:
            # Users whose window is empty are forgotten as others come.
            for user in users:
                await client.call("GET", "/api/v2/auth/me/", token=user.access)
            now = await sample(began_s)
            done = not now["running"] and not now["kept"] and (options.quick or not now["idle_connections"])
            if base is None and done:
                return now
            if base is not None and done and not left_over(base, now):
                return now
            if time.monotonic() > until_s:
                return now
            await asyncio.sleep(0.5)

    async def nothing() -> None:
        return

    try:
        await asyncio.gather(*(churn.turn(turn, users[0]) for turn in churn.names))
        # Threads and their database connections come with need and stay: all of them, before anything is counted.
        await asyncio.gather(*(churn.turn("look", user) for user in users * _AT_ONCE))
        await load(options.warm, nothing)
        measured.base = await settled(time.monotonic(), None)
        _, seen = await client.call("GET", "/__process?objects=1")
        measured.objects.append(seen["objects"])
        measured.base = {**await sample(time.monotonic()), "minute": 0.0}
        began_s = time.monotonic()
        churn.gone_s = 2.0 if options.quick else 63.0

        async def keep() -> None:
            measured.samples.append(await sample(began_s))
            _say(measured.samples[-1], churn)

        await load(options.minutes * 60, keep)
        measured.last = await settled(began_s, measured.base)
        _, seen = await client.call("GET", "/__process?objects=1")
        measured.objects.append(seen["objects"])
        measured.trimmed = await sample(began_s)
    finally:
        signed_in.cancel()
    _judge(measured, churn, options)
    return measured, churn


def _judge(measured: Measured, churn: Churn, options: argparse.Namespace) -> None:
    measured.problems += [f"{count} faults in {turn}" for turn, count in churn.faults.items()]
    measured.problems += churn.first_faults
    measured.problems += left_over(measured.base, measured.last)
    # Of files a process has the fewer pages to answer for, the more others map them: that says nothing of it.
    slope = kib_per_minute(measured.samples, "anon_kib")
    # A few minutes say nothing of a slope: memory is still finding its level.
    if options.minutes >= 10 and slope > options.slope:
        measured.problems.append(f"memory grows by {slope:.0f} KiB a minute")


def _say(sample: dict[str, float], churn: Churn) -> None:
    keys = ("minute", "anon_kib", "open_files", "tasks", "running", "kept", "worst_held_ms")
    line = "  ".join(f"{key} {sample[key]:g}" for key in keys)
    done, faults = sum(churn.turns.values()), sum(churn.faults.values())
    print(f"# {line}  turns {done}  faults {faults}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
