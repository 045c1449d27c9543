"""A server of the workbench and the simulator behind it, as tests ask them over HTTP."""

from __future__ import annotations

import json
import sqlite3
import uuid
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from tests.contract.limit_fixtures import add_user
from tests.server import USERNAME, ServerProcess
from tests.sse_client import SseEvent, SseStream
from tests.upstream import Answer, Gate, UpstreamServer, healthy

PROMPTS = "/api/v2/prompts/"
PATIENT = {
    "FIRST_TOKEN_TIMEOUT": "300",
    "GAP_TIMEOUT": "300",
    # One test's faults are not to be felt by the next.
    "BREAKER_FAILURES": "100000",
    "BREAKER_COOLDOWN": "0.000001",
}
"""Of the environment: no deadline does what the code under test is to do at once."""


@dataclass(frozen=True)
class Workbench:
    """A server, the simulator behind it, and what tests ask of it."""

    server: ServerProcess
    upstream: UpstreamServer

    def open(self, route: str, body: Any, *, user: str = USERNAME, **request: Any) -> SseStream:
        """Send a request to a route of the workbench and return the response, its head read."""
        return self.server.open(f"{PROMPTS}{route}/", user=user, json=body, **request)

    def leave(self, route: str, body: Any, *, at: Gate, user: str = USERNAME) -> None:
        """Send a request to a route of the workbench and hang up once a provider has been asked."""
        self.server.leave(f"{PROMPTS}{route}/", at=at, user=user, json=body)

    def ask(self, route: str, body: Any, *, user: str = USERNAME, **request: Any) -> tuple[int, dict[str, str], Any]:
        """Do the same and return status, headers and JSON body."""
        return self.server.call(f"{PROMPTS}{route}/", user=user, json=body, **request)

    def answer(self, route: str, body: Any, **request: Any) -> dict[str, Any]:
        """Do the same and return the body of a 200."""
        status, _, answer = self.ask(route, body, **request)
        assert status == 200, answer
        assert isinstance(answer, dict)
        return answer

    def says(self, *texts: str | Answer) -> None:
        """Have the model answer the next requests with these, one after the other."""
        for text in texts:
            answer = text if isinstance(text, Answer) else Answer(pieces=(text,))
            self.upstream.script("deepseek", healthy(answer=answer), 1)

    def asked(self) -> list[dict[str, Any]]:
        """Return the bodies that models have got, oldest first."""
        return [dict(exchange.json) for exchange in self.upstream.exchanges()]

    def completions(self, user: str = USERNAME) -> list[dict[str, Any]]:
        """Return the caller's completions, newest first."""
        page = self.server.call("/api/v2/chat/completions/?limit=100", user=user)[2]
        return list(page["data"])

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return rows of the server's database."""
        with closing(sqlite3.connect(self.server.database, timeout=5)) as database:
            return list(database.execute(query, values))

    def turn(self) -> None:
        """Have the server answer something that it answers at once."""
        self.server.call("/api/v2/chat/health/", user=None)

    def soon_hung_up(self) -> None:
        """Return when the server has left its model, a few turns of its own after now at the latest."""
        self.upstream.soon_hung_up(self.turn)

    def uses(self, slug: str) -> int:
        """Return how often a template was used."""
        ((uses,),) = self.rows("SELECT uses FROM prompt_templates_template WHERE slug = ?", slug)
        return int(uses)

    def new_user(self) -> str:
        """Return the name of a user who has asked for nothing yet."""
        return add_user(self.server, f"user-{uuid.uuid4().hex[:12]}")


def intent_of(category: str = "blog_article", confidence: float = 0.9, **members: Any) -> str:
    """Return what a model that was asked for an intent writes."""
    return json.dumps({"category": category, "confidence": confidence, "alternatives": [], "language": "en"} | members)


def events_of(stream: SseStream) -> list[tuple[str | None, Any]]:
    """Return the name and the data of every event, `[DONE]` as its text."""
    return [(event.event, _data(event)) for event in stream.events()]


def _data(event: SseEvent) -> Any:
    return event.data if event.data == "[DONE]" else event.json()
