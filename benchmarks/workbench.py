"""How long the workbench takes to answer: one request after the other over one connection, by rules and by a model.

A server with the starter library, started twice. First it has no model, so the rules answer. Then its model is the
simulator of the tests, which answers at once: what is measured is all that goes on around a model's answer.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

from benchmarks.database import Databases
from benchmarks.native import LoadFailed, Native
from benchmarks.rows import Figure, Outcome, Row, Sizes
from benchmarks.search.relevance import read_judged
from benchmarks.server import Server
from benchmarks.targets import StartedTarget

__all__ = ["workbench_row"]

_MOST_WARM_REQUESTS = 20
_RENDERED = "linkedin-post-lesson-from-experience"
_VARIABLES = {
    "author": "a shipwright in her forties",
    "what_happened": "A launch failed because nobody had asked the harbour master about the tide.",
    "readers": "people who lead small teams",
}
_PROMPT = "Write a product description of a rain coat for hikers."
_REWRITTEN = (
    "You are a copywriter for an outdoor shop.\n\nWrite a product description of a rain coat for hikers. Name the "
    "material, the weight and the water column. Format: one paragraph of 120 to 150 words. Use plain sentences without "
    "superlatives, and end with one sentence that says who should buy it."
)
_INTENT = json.dumps({"category": "product_description", "confidence": 0.9, "alternatives": [], "language": "en"})
_SAID = {"intent": _INTENT, "optimise": _REWRITTEN}
"""By the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Operation:
    name: str
    requests: Sequence[tuple[str, Mapping[str, object] | None]]
    """Path and body (None: a GET), sent in turn."""
    source: str | None = None
    """Who has to have answered: `rules` or `model`."""

    @property
    def key(self) -> str:
        return f"{self.name}_{self.source}" if self.source else self.name

    @property
    def label(self) -> str:
        return f"{self.name} by {'the ' if self.source == 'model' else ''}{self.source}" if self.source else self.name


def _operations() -> tuple[tuple[_Operation, ...], tuple[_Operation, ...]]:
    """Return what is asked of the server without a model, and of the one with it."""
    queries = [judged.query for judged in read_judged()]
    intents = [("/api/v2/prompts/intent/", {"query": query}) for query in queries]
    prompts = [("/api/v2/prompts/optimize/", {"prompt": f"Write a {query}."}) for query in queries]
    one_prompt = [("/api/v2/prompts/optimize/", {"prompt": _PROMPT})]
    searches = [(f"/api/v2/templates/search/?q={quote(query)}", None) for query in queries]
    renders = [(f"/api/v2/templates/{_RENDERED}/render/", {"variables": _VARIABLES})]
    by_rules = (
        _Operation(name="intent", requests=intents, source="rules"),
        _Operation(name="optimise", requests=prompts, source="rules"),
        _Operation(name="search", requests=searches),
        _Operation(name="render", requests=renders),
    )
    by_model = (
        _Operation(name="intent", requests=intents, source="model"),
        _Operation(name="optimise", requests=one_prompt, source="model"),
    )
    return by_rules, by_model


def workbench_row(sizes: Sizes, directory: Path, databases: Databases, cores: set[int]) -> Row:
    """Return the row; it measures servers only."""
    by_rules, by_model = _operations()

    def measure(native: Native, target: StartedTarget) -> Outcome:
        outcome = Outcome()
        if isinstance(target, Server):
            # The tests' own; nothing else of the bench needs it.
            from tests.upstream import Answer, UpstreamServer, healthy

            server = Server(
                name=f"{target.name}-workbench",
                directory=directory,
                databases=databases,
                upstream_port=native.upstream_port,
                cores=cores,
                root=target.root,
            )
            settings = server.environment
            with _Client(server, settings | {"PROVIDER_CHAIN": "mock", "DEEPSEEK_API_KEY": ""}) as client:
                for operation in by_rules:
                    outcome.figures |= client.measure(operation, sizes.workbench_requests)
            with UpstreamServer() as model, _Client(server, settings | model.environment("deepseek")) as client:
                for operation in by_model:
                    model.script("deepseek", healthy(answer=Answer(pieces=(_SAID[operation.name],))))
                    outcome.figures |= client.measure(operation, sizes.workbench_requests)
        return outcome

    figures = tuple(
        Figure(key=f"{operation.key}_p{nth}_ms", label=f"{operation.label}: ms, p{nth}", digits=2)
        for operation in (*by_rules, *by_model)
        for nth in (50, 95)
    )
    return Row(name="workbench", group="workbench", measure=measure, figures=figures, once=True, direct=False)


class _Client:
    """The server, started anew with these settings and the starter library, and one connection to it."""

    def __init__(self, server: Server, environment: Mapping[str, str]) -> None:
        self._server = server
        self._server.environment = dict(environment)

    def __enter__(self) -> _Client:
        try:
            self._server.start()
        except BaseException:
            self._server.stop()
            raise
        self._connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=30)
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._server.stop()

    def measure(self, operation: _Operation, requests: int) -> dict[str, float | None]:
        """Return the times of that many requests, after up to 20 more. Raises LoadFailed for a wrong answer."""
        turns = cycle(operation.requests)
        for path, body in islice(turns, min(requests, _MOST_WARM_REQUESTS)):
            self._timed_ms(operation, path, body)
        times = sorted(self._timed_ms(operation, path, body) for path, body in islice(turns, requests))
        return {f"{operation.key}_p{nth}_ms": times[min(requests * nth // 100, requests - 1)] for nth in (50, 95)}

    def _timed_ms(self, operation: _Operation, path: str, body: Mapping[str, object] | None) -> float:
        headers = {"Authorization": f"Bearer {self._server.access()}", "Content-Type": "application/json"}
        method, data = ("GET", None) if body is None else ("POST", json.dumps(body).encode())
        began_s = time.perf_counter()
        self._connection.request(method, path, data, headers)
        response = self._connection.getresponse()
        answered = response.read()
        took_s = time.perf_counter() - began_s
        answer: dict[str, Any] = json.loads(answered)
        if response.status != 200 or answer.get("source") != operation.source:
            raise LoadFailed(f"{operation.label}: {response.status} {answered[:300]!r}")
        return took_s * 1000
