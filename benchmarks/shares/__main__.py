"""`python -m benchmarks.shares --help`: a table of doors and victims.

While one user asks through one door over so many connections, another logs in, searches, and waits for the first event
of a stream. A figure is the ratio of the median to that on the idle server, measured just before.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.database import Databases
from benchmarks.machine import load_average
from benchmarks.native import LoadFailed
from benchmarks.processes import ROOT
from benchmarks.server import Server
from benchmarks.shares.doors import ATTACKER_PASSWORD, Door, doors_of
from benchmarks.shares.upstream import QuickUpstream
from benchmarks.shares.wire import Connection, request_bytes

_API = "/api/v2/"
_SETTINGS = {"REGISTRATION_OPEN": "1", "LEGACY_WEBSOCKETS": "1"}
_LIFTED = {"CHAT_RATE_LIMIT": "999999/m", "WORKBENCH_RATE_LIMIT": "999999/m", "MAX_STREAMS_PER_USER": "1000"}
_USUAL = {"CHAT_RATE_LIMIT": "5/m", "WORKBENCH_RATE_LIMIT": "60/m", "MAX_STREAMS_PER_USER": "5"}
_VICTIM, _ATTACKER = "127.0.9.1", "127.0.9.2"
_PASSWORD = "eleven-lamps-along-a-quay"
_MOST = 3.0
_SETTLE_S = 1.0
"""For a crowd to connect, and for what it asked for to end."""


class Person:
    """Somebody with an account and an address."""

    def __init__(self, port: int, name: str, password: str, source: str) -> None:
        self.name = name
        self.password = password
        self.connection = Connection(port, source)
        self.access = self.refresh = ""

    async def sign_up(self) -> None:
        """Register and log in. Raises LoadFailed."""
        credentials = {"username": self.name, "password": self.password}
        await self.call("POST", "auth/register/", {**credentials, "email": f"{self.name}@example.org"}, expected=201)
        tokens = await self.call("POST", "auth/token/", credentials, expected=200)
        self.access, self.refresh = tokens["access"], tokens["refresh"]

    async def call(self, method: str, path: str, body: Any, *, expected: int) -> Any:
        """Return the JSON answer. Raises LoadFailed."""
        asked = request_bytes(method, _API + path, body, token=self.access or None)
        status, _, answer = await self.connection.ask(asked)
        if status != expected:
            raise LoadFailed(f"{path} answered {status}: {answer[:300]!r}")
        return json.loads(answer)


class Victims:
    """Does three things, again and again, each as another user where a limit would be reached."""

    def __init__(self, people: Sequence[Person], port: int) -> None:
        self._people = people
        self._next = 0
        self._port = port
        self.deeds: dict[str, tuple[Callable[[str], Awaitable[None]], int]] = {
            "log-in": (self._log_in, 4),
            "search": (self._search, 30),
            "stream": (self._stream, 30),
        }
        """What is done, and how often for one median."""

    async def medians_ms(self, source: str) -> dict[str, float]:
        """Return the median time of each deed, done in turns."""
        taken: dict[str, list[float]] = {name: [] for name in self.deeds}
        for number in range(max(times for _, times in self.deeds.values())):
            for name, (deed, times) in self.deeds.items():
                if number % -(-30 // times) == 0:
                    began_s = time.perf_counter()
                    await deed(source)
                    taken[name].append((time.perf_counter() - began_s) * 1000)
        return {name: statistics.median(times) for name, times in taken.items()}

    def _person(self) -> Person:
        self._next += 1
        return self._people[self._next % len(self._people)]

    async def _log_in(self, source: str) -> None:
        person = self._person()
        await self._done(
            request_bytes("POST", f"{_API}auth/token/", {"username": person.name, "password": person.password}), source
        )

    async def _search(self, source: str) -> None:
        asked = request_bytes("GET", f"{_API}templates/search/?q=blog+post+on+rivers", token=self._person().access)
        await self._done(asked, source)

    async def _stream(self, source: str) -> None:
        body = {"messages": [{"role": "user", "content": "Say two words."}], "stream": True}
        await self._done(
            request_bytes("POST", f"{_API}chat/completions/", body, token=self._person().access), source, first=True
        )

    async def _done(self, request: bytes, source: str, *, first: bool = False) -> None:
        connection = Connection(self._port, source)
        try:
            status, _, body = await connection.ask(request, first_event_only=first)
        except TimeoutError:
            return
        finally:
            connection.close()
        if status != 200:
            print(f"    a victim was answered {status}: {body[:160]!r}", file=sys.stderr)


async def _attacked(door: Door, port: int, attacker: Person, connections: int, victims: Victims) -> tuple[Any, ...]:
    source = _ATTACKER if door.same_address else _VICTIM
    idle = await victims.medians_ms(source)
    crowd = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.shares.crowd"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    told = {
        "port": port,
        "source": _ATTACKER,
        "connections": connections,
        "request": base64.b64encode(door.request).decode(),
        "websocket": door.websocket,
        "token": attacker.access,
    }
    assert crowd.stdin is not None
    crowd.stdin.write(json.dumps(told).encode() + b"\n")
    try:
        await asyncio.sleep(_SETTLE_S)
        busy = await victims.medians_ms(source)
    finally:
        crowd.stdin.close()
        answers, _ = await crowd.communicate()
    await asyncio.sleep(_SETTLE_S)
    return idle, busy, json.loads(answers or b"{}")


async def _measure(options: argparse.Namespace, directory: Path) -> int:
    async with QuickUpstream() as upstream:
        cores = os.sched_getaffinity(0)
        server = Server(
            name="shares",
            directory=directory,
            databases=Databases(directory),
            upstream_port=upstream.port,
            cores=cores,
        )
        server.environment |= _SETTINGS | (_USUAL if options.usual_limits else _LIFTED)
        await asyncio.to_thread(server.start)
        try:
            return await _table(options, server)
        finally:
            server.stop()


async def _table(options: argparse.Namespace, server: Server) -> int:
    people = [Person(server.port, f"victim-{number}", _PASSWORD, f"127.0.8.{number}") for number in range(1, 41)]
    attacker = Person(server.port, "attacker", ATTACKER_PASSWORD, _ATTACKER)
    for person in (attacker, *(people if options.usual_limits else people[:4])):
        await person.sign_up()
    slug = "mine"
    template = {"slug": slug, "title": "Mine", "category": "summarization", "text": "word " * 3_000}
    await attacker.call("POST", "templates/", template, expected=201)
    victims = Victims(people if options.usual_limits else people[:4], server.port)
    await victims.medians_ms(_VICTIM)
    doors = doors_of(name=attacker.name, token=attacker.access, refresh=attacker.refresh, slug=slug)
    worst = 0.0
    print(f"{options.connections} connections; load {load_average():.1f}; ratio of medians, (idle -> busy in ms)\n")
    print(f"{'door':22}" + "".join(f"{name:>26}" for name in victims.deeds) + "   answers of the crowd")
    for door in doors:
        if options.only and door.name not in options.only.split(","):
            continue
        idle, busy, answers = await _attacked(door, server.port, attacker, options.connections, victims)
        ratios = {name: busy[name] / idle[name] for name in idle}
        worst = max(worst, *ratios.values())
        cells = "".join(f"{f'{ratios[name]:.2f} ({idle[name]:.1f} -> {busy[name]:.1f})':>26}" for name in victims.deeds)
        print(f"{door.name:22}{cells}   {answers}", flush=True)
    print(f"\nworst {worst:.2f}; load {load_average():.1f}")
    return int(worst > _MOST)


def main() -> int:
    """Measure and print; the exit code says whether every ratio is within the bound."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shares", description=__doc__)
    parser.add_argument("--connections", type=int, default=50, help="of the crowd (50)")
    parser.add_argument("--usual-limits", action="store_true", help="the limits of the settings, rather than none")
    parser.add_argument("--only", default="", help="doors by name, with commas")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="promptcraft-shares-") as directory:
        return uvloop.run(_measure(options, Path(directory)))


if __name__ == "__main__":
    raise SystemExit(main())
