"""Servers of the workbench: one with models behind it, one without any, one that lets nobody ask often."""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest

from tests.contract.limit_fixtures import add_user, started
from tests.server import USERNAME, ServerProcess
from tests.sse_client import SseEvent, SseStream
from tests.upstream import Answer, UpstreamServer, healthy

PROMPTS = "/api/v2/prompts/"
_PATIENT = {
    "FIRST_TOKEN_TIMEOUT": "20",
    "GAP_TIMEOUT": "20",
    # One test's faults are not to be felt by the next.
    "BREAKER_FAILURES": "100000",
    "BREAKER_COOLDOWN": "0.000001",
    "KEEPALIVE_INTERVAL": "0.3",
}
_APPLICATION = "tests.templates.prompts.hasty_application:application"

_LIBRARY = """
from django.contrib.auth import get_user_model
from apps.accounts.identity import Caller
from apps.templates.drafts import template_draft
from apps.templates.services import label_move, template_create, version_create
from apps.templates.drafts import version_draft

def draft(slug, *texts, labels={}, public=False):
    variables = [
        {"name": "topic", "type": "string", "required": True},
        {"name": "tone", "type": "choice", "required": False, "default": "calm", "choices": ["calm", "loud"]},
    ]
    versions = [{"text": text, "variables": variables, "note": ""} for text in texts]
    return template_draft({
        "slug": slug, "title": f"Tide table {slug}", "description": "Tells when the tide turns.",
        "category": "blog_article", "is_public": public, "versions": versions, "labels": labels,
    })

users = get_user_model().objects
mine = Caller(user_id=users.get(username="tester").pk, username="tester")
theirs = Caller(user_id=users.create_user("somebody-else").pk, username="somebody-else")
first, second, third = (f"{ordinal}: write of {{{{ topic }}}} in a {{{{ tone }}}} tone." for ordinal in "ABC")
template_create(caller=mine, draft=draft("mine", first, second, third, labels={"production": 1, "staging": 2}))
template_create(caller=mine, draft=draft("unlabelled", first, second))
template_create(caller=mine, draft=draft("to-save", first, labels={"production": 1}))
template_create(caller=theirs, draft=draft("theirs", first))
template_create(caller=theirs, draft=draft("public", first, public=True))
"""
"""What the library of two servers holds: versions say A, B and C."""


@dataclass(frozen=True)
class Workbench:
    """A server, the simulator behind it, and what tests ask of it."""

    server: ServerProcess
    upstream: UpstreamServer

    def open(self, route: str, body: Any, *, user: str = USERNAME, **request: Any) -> SseStream:
        """Send a request to a route of the workbench and return the response, its head read."""
        return self.server.open(f"{PROMPTS}{route}/", user=user, json=body, **request)

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


@pytest.fixture(scope="package")
def simulator() -> Iterator[UpstreamServer]:
    with UpstreamServer() as server:
        yield server


@pytest.fixture(scope="package")
def servers(simulator: UpstreamServer) -> Iterator[dict[str, ServerProcess]]:
    """The three, by their manner."""
    manners: dict[str, tuple[dict[str, str], bool]] = {
        "model": ({}, True),
        "strict": ({"CHAT_RATE_LIMIT": "3/m"}, True),
        "rules": ({"PROVIDER_CHAIN": "mock"}, False),
    }
    made = {
        name: ServerProcess(
            _PATIENT | env, upstream=simulator if with_models else None, vendors=["deepseek"], application=_APPLICATION
        )
        for name, (env, with_models) in manners.items()
    }
    with started(*made.values()):
        for name in ("model", "rules"):
            made[name].manage("shell", "-v", "0", "-c", _LIBRARY)
        yield made


@pytest.fixture
def upstream(simulator: UpstreamServer) -> UpstreamServer:
    """The simulator, its scripts and its journal empty."""
    simulator.reset()
    return simulator


@pytest.fixture
def workbench(servers: dict[str, ServerProcess], upstream: UpstreamServer) -> Workbench:
    """One with a model."""
    return Workbench(servers["model"], upstream)


@pytest.fixture
def strict(servers: dict[str, ServerProcess], upstream: UpstreamServer) -> Workbench:
    """One with a model, and three completions a minute."""
    return Workbench(servers["strict"], upstream)


@pytest.fixture
def by_rules(servers: dict[str, ServerProcess], upstream: UpstreamServer) -> Workbench:
    """One without a model: the mock alone."""
    return Workbench(servers["rules"], upstream)
