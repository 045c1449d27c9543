"""The event loop of the server under load: nothing holds it for long, whatever is asked of it beside the streams."""

from __future__ import annotations

import itertools
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.native import Native, Plan
from tests.load.conftest import Watched, needs_native
from tests.server import PASSWORD, USERNAME
from tests.waiting import HANG_S, eventually

pytestmark = needs_native

STREAMS = 50
TOKENS_PER_S = 20
MOST_MS = 100.0
AT_LEAST = {"signs_in 200": 4, "registers 201": 2, "lists 200": 10, "refreshes 200": 10, "reads_the_schema 200": 3}
"""What the visitors have done before it is over."""
COMPLETIONS = "/api/v2/chat/completions/"
AUTH = "/api/v2/auth/"


class Visitors:
    """What people do beside reading streams. Each method does it once and returns what was answered."""

    def __init__(self, watched: Watched) -> None:
        self._server = watched.server
        self._refresh = self._signed_in()["refresh"]

    def signs_in(self) -> int:
        return 200 if self._signed_in() else 0

    def registers(self) -> int:
        name = f"visitor-{uuid.uuid4().hex[:12]}"
        return self._post("register/", {"username": name, "email": f"{name}@example.org", "password": PASSWORD})[0]

    def refreshes(self) -> int:
        status, body = self._post("token/refresh/", {"refresh": self._refresh})
        self._refresh = body["refresh"]
        return status

    def lists(self) -> int:
        return self._server.call(COMPLETIONS)[0]

    def asks_for_models(self) -> int:
        return self._server.call("/api/v2/models/")[0]

    def looks_at_health(self) -> int:
        return self._server.call("/api/v2/chat/health/", user=None)[0]

    def reads_the_schema(self) -> int:
        with self._server.open("/api/v2/schema/", user=None) as answer:
            answer.read()
        return answer.status

    def _signed_in(self) -> Any:
        return self._post("token/", {"username": USERNAME, "password": PASSWORD})[1]

    def _post(self, path: str, body: dict[str, str]) -> tuple[int, Any]:
        status, _, answer = self._server.call(AUTH + path, user=None, json=body)
        return status, answer


def test_nothing_holds_the_loop(native: Native, watched: Watched):
    visitors = Visitors(watched)
    done: Counter[str] = Counter()
    over = threading.Event()

    def keep(*actions: Callable[[], int], pause_s: float = 0.0, most: int = 100_000) -> None:
        for action in itertools.islice(itertools.cycle(actions), most):
            if over.wait(pause_s):
                return
            done[f"{action.__name__} {action()}"] += 1

    # Whatever is made at the first call is made before: the first of each is not load.
    visitors.reads_the_schema()
    plan = Plan(tokens=100_000, interval_us=1_000_000 // TOKENS_PER_S)
    with ThreadPoolExecutor(5) as pool, native.held(watched, plan, streams=STREAMS, hold=1, limit_s=60) as held:
        watched.look("reset")
        running = [
            # Two hash at a time: one more than that waits always.
            *(pool.submit(keep, visitors.signs_in) for _ in range(2)),
            # An address may register 20 in a minute.
            pool.submit(keep, visitors.registers, most=15),
            pool.submit(keep, visitors.lists, visitors.asks_for_models, visitors.refreshes, pause_s=0.01),
            pool.submit(keep, visitors.looks_at_health, visitors.reads_the_schema, pause_s=0.1),
        ]
        try:
            eventually(lambda: all(done[name] >= count for name, count in AT_LEAST.items()), "all that is done")
        finally:
            over.set()
        for one in running:
            one.result(timeout=HANG_S)
        seen = watched.look()
    assert held.load.faults == {}
    loop = seen["loop"]
    # It did look, and there was something to see.
    assert loop["turns"] > 50
    assert seen["counts"]["running"] == STREAMS
    assert held.load.counts["tokens"] > 2 * STREAMS
    assert {name.split()[1] for name in done} == {"200", "201"}, done
    assert loop["worst_held_ms"] < MOST_MS, (loop, done)
