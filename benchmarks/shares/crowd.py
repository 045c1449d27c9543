"""One user's worst: so many connections, each asking again as soon as it is answered. A process of its own.

Reads one JSON object from its input and runs until that is closed; then it prints how many answers of each status
it got.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import sys
from collections import Counter
from typing import Any

import uvloop

from benchmarks.shares.wire import Connection

_PAUSE_AFTER_NOTHING_S = 0.05
"""Before another try where the server hung up without an answer."""


async def main() -> None:
    """Do as told."""
    told = json.loads(sys.stdin.readline())
    answers: Counter[str] = Counter()
    numbers = itertools.count()
    send = _over_websocket if told["websocket"] else _over_http
    tasks = [asyncio.ensure_future(send(told, answers, numbers)) for _ in range(told["connections"])]
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    print(json.dumps(answers))


async def _over_http(told: dict[str, Any], answers: Counter[str], numbers: itertools.count[int]) -> None:
    connection = Connection(told["port"], told["source"])
    request = base64.b64decode(told["request"])
    try:
        while True:
            # Of a length that stays the same, so that the declared one does.
            numbered = request.replace(b"NUMBER--", b"%08d" % next(numbers))
            try:
                status, _, _ = await connection.ask(numbered)
            except (OSError, TimeoutError, asyncio.IncompleteReadError):
                connection.close()
                status = 0
            answers[str(status)] += 1
            if not status:
                await asyncio.sleep(_PAUSE_AFTER_NOTHING_S)
    finally:
        connection.close()


async def _over_websocket(told: dict[str, Any], answers: Counter[str], numbers: itertools.count[int]) -> None:
    from websockets.asyncio.client import connect
    from websockets.exceptions import WebSocketException

    path, message = told["websocket"]
    while True:
        try:
            async with connect(
                f"ws://127.0.0.1:{told['port']}{path}", subprotocols=["promptcraft.v1", f"bearer.{told['token']}"]
            ) as socket:
                await socket.recv()
                while True:
                    await socket.send(json.dumps({**message, "request_id": str(next(numbers))}))
                    kind = ""
                    while kind not in ("error", "intent_result", "search_results", "optimization_result"):
                        kind = json.loads(await socket.recv())["type"]
                    answers[kind] += 1
        except (OSError, WebSocketException):
            answers["closed"] += 1
            await asyncio.sleep(_PAUSE_AFTER_NOTHING_S)


if __name__ == "__main__":
    # What it takes of the processor is not the server's doing.
    os.nice(15)
    uvloop.run(main())
