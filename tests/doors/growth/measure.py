"""Measures everything that can grow, in one of the two ways; `python -m tests.doors.growth` starts it in both."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
from collections.abc import Iterable
from dataclasses import asdict
from functools import partial
from pathlib import Path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "promptcraft.settings")

import django

django.setup()

from tests.doors.growth.__main__ import EXPRESSIONS, LOG  # noqa: E402
from tests.doors.growth.answers import answer_doors, event_doors  # noqa: E402
from tests.doors.growth.counting import BlockCounter, Counter, LineCounter  # noqa: E402
from tests.doors.growth.growing import Growing, measured  # noqa: E402
from tests.doors.growth.patterns import found_patterns, pattern_doors  # noqa: E402
from tests.doors.growth.texts import text_functions  # noqa: E402

__all__: list[str] = []


async def _doors(chosen: str) -> None:
    # Not above: valgrind would take seconds to import them, and needs no application.
    from tests.doors.growth.application import opened
    from tests.doors.growth.described import described_doors
    from tests.doors.growth.heads import head_doors
    from tests.doors.growth.pages import page_doors
    from tests.doors.growth.sockets import socket_doors

    counter = LineCounter()
    async with opened() as application:
        for doors in (described_doors, head_doors, page_doors, socket_doors, answer_doors):
            await _measure(doors(application), counter, chosen)


async def _readers(log: Path, expressions: Path, chosen: str) -> None:
    readers = [
        reader
        for kind in (text_functions, event_doors, partial(pattern_doors, expressions))
        for reader in kind()
        if chosen in reader.name
    ]
    await _measure(readers, BlockCounter(log), chosen)


async def _measure(things: Iterable[Growing], counter: Counter, chosen: str) -> None:
    gc.collect()
    # It looks at more the more there is, whenever it likes.
    gc.disable()
    for thing in things:
        if chosen in thing.name:
            for result in await measured(thing, counter):
                print(json.dumps(asdict(result)), flush=True)


if __name__ == "__main__":
    _, way, directory, only = sys.argv
    if way == "lines":
        # Before there is a loop: it sets up what must not be set up on one. Nothing of it is needed to count blocks.
        import promptcraft.asgi  # noqa: F401

        asyncio.run(_doors(only))
    elif way == "expressions":
        # Nothing is counted: they are what is to be measured.
        for expression in found_patterns():
            print(json.dumps(asdict(expression)))
    else:
        asyncio.run(_readers(Path(directory, LOG), Path(directory, EXPRESSIONS), only))
