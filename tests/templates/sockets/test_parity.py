"""The same cases over HTTP and over a WebSocket: the same results and refusals, the same rows, the same counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.contract.limit_fixtures import rows_of
from tests.sse_answer import collect
from tests.templates.sockets.client import CHAT, PROCESSING, SEARCH, Client
from tests.templates.workbench import Workbench, intent_of
from tests.upstream import Answer, Gate, healthy
from tests.waiting import eventually

# The servers are fixtures whose names are in the table.
pytestmark = pytest.mark.outside

PIECES = ("The tide ", "turns ", "at six.")
QUERY = "a friendly newsletter for home bakers, about 200 words, by Friday"
# Differ between any two requests.
_VARYING = {"id", "request_id", "created_at", "finished_at", "body_sha256", "attempts", "user_id"}


@dataclass(frozen=True, kw_only=True)
class Way:
    """An operation over either transport: what its HTTP route and its message are called, and what both are told."""

    http: str
    message: str
    path: str = CHAT
    body: dict[str, Any]
    """Over HTTP."""
    members: dict[str, Any]
    """Over a WebSocket."""

    @property
    def streams(self) -> bool:
        """Whether the answer is a completion."""
        return self.message in ("chat_message", "generate_content")


WAYS = {
    "intent": Way(
        http="/api/v2/prompts/intent/", message="process_intent", body={"query": QUERY}, members={"query": QUERY}
    ),
    "optimize": Way(
        http="/api/v2/prompts/optimize/",
        message="optimize_prompt",
        path=PROCESSING,
        body={"prompt": "write something about {{ product }}", "intent_data": {"category": "product_description"}},
        members={"prompt": "write something about {{ product }}", "intent_data": {"category": "product_description"}},
    ),
    "generate": Way(
        http="/api/v2/prompts/generate/",
        message="generate_content",
        path=PROCESSING,
        body={"prompt": "Tell of the tide."},
        members={"prompt": "Tell of the tide."},
    ),
    "chat": Way(
        http="/api/v2/chat/completions/",
        message="chat_message",
        body={
            "messages": [{"role": "assistant", "content": "Ask."}, {"role": "user", "content": "When?"}],
            "stream": True,
        },
        members={"message": "When?", "history": [{"role": "assistant", "content": "Ask."}]},
    ),
    "search": Way(
        http="/api/v2/templates/search/",
        message="search",
        path=SEARCH,
        body={"q": "newsleter", "category": "marketing_email"},
        members={"query": "newsleter", "filters": {"category": "marketing_email"}},
    ),
}
AI = ("intent", "optimize", "generate", "chat")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A thing that may happen, to those operations that it may happen to."""

    ways: tuple[str, ...]
    prepare: Callable[[Workbench, str], None] = lambda workbench, way: None
    more: dict[str, Any] = field(default_factory=dict)
    """Added to what either transport sends; None takes a member away."""
    before: int = 0
    """Requests of the same user's that went before, all good."""
    server: str = "uvicorn"
    cancel: bool = False


def whole(workbench: Workbench, way: str) -> None:
    said = {"intent": intent_of("marketing_email", 0.9)}.get(way)
    answer = Answer(pieces=(said,) if said else PIECES, reasoning="")
    workbench.upstream.script("deepseek", healthy(answer=answer))


def always(scenario: str, vendors: tuple[str, ...] = ("deepseek", "zai", "openai")) -> Callable[[Workbench, str], None]:
    def prepare(workbench: Workbench, way: str) -> None:
        whole(workbench, way)
        for vendor in vendors:
            workbench.upstream.script(vendor, scenario)

    return prepare


def held(workbench: Workbench, way: str) -> None:
    answer = Answer(pieces=PIECES, reasoning="")
    workbench.upstream.script("deepseek", healthy(answer=answer, gate=Gate(), gate_after=1))


COMPLETION = ("generate", "chat")
CASES: dict[str, Case] = {
    "success": Case(ways=AI, prepare=whole),
    "success of a search": Case(ways=("search",)),
    "whole, with a model of its own": Case(ways=COMPLETION, prepare=whole, more={"model": "deepseek-v4-pro"}),
    "reasoning": Case(ways=COMPLETION, prepare=always("reasoning", ("deepseek",))),
    "by rules": Case(ways=("intent", "optimize"), server="rules"),
    "by the mock": Case(ways=COMPLETION, server="rules"),
    "search by rules": Case(ways=("search",), server="rules"),
    "bad temperature": Case(ways=COMPLETION, prepare=whole, more={"temperature": 9}),
    "bad token bound": Case(ways=COMPLETION, prepare=whole, more={"max_tokens": "many"}),
    "bad model": Case(ways=COMPLETION, prepare=whole, more={"model": 7}),
    "unknown members": Case(ways=(*AI, "search"), prepare=whole, more={"session_id": "s-1", "timestamp": 7}),
    "empty query": Case(ways=("intent",), prepare=whole, more={"query": " "}),
    "no query": Case(ways=("intent",), prepare=whole, more={"query": None}),
    "no prompt": Case(ways=("optimize", "generate"), prepare=whole, more={"prompt": None}),
    "no template of that name": Case(ways=("generate",), prepare=whole, more={"template": "nobody-has-it"}),
    "last slot": Case(ways=COMPLETION, prepare=whole, before=2, server="strict"),
    "rate limited": Case(ways=AI, prepare=whole, before=3, server="strict"),
    "rate limited search": Case(ways=("search",), prepare=whole, before=3, server="strict"),
    "server error": Case(ways=AI, prepare=always("status-500")),
    "provider's rate limit": Case(ways=AI, prepare=always("status-429")),
    "refused by the provider": Case(ways=COMPLETION, prepare=always("status-400")),
    "failure later": Case(ways=COMPLETION, prepare=always("error-event-later")),
    "fallback": Case(ways=AI, prepare=always("status-500", ("deepseek",))),
    "no fallback": Case(
        ways=COMPLETION,
        prepare=always("status-500", ("deepseek",)),
        more={"fallback": False, "model": "deepseek-flash"},
    ),
    "cancelled": Case(ways=COMPLETION, prepare=held, cancel=True),
}
TABLE = [(name, way) for name, case in CASES.items() for way in case.ways]


@dataclass
class Outcome:
    """What became of a request, whichever way it came."""

    content: str | None = None
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


def over_http(workbench: Workbench, way: Way, case: Case, user: str, request_id: str) -> Outcome:
    headers = {"X-Request-Id": request_id}
    body = {name: value for name, value in (way.body | case.more).items() if value is not None}
    if way.message == "search":
        status, _, answer = workbench.server.call(f"{way.http}?{urlencode(body)}", user=user, headers=headers)
        return Outcome(result=answer) if status == 200 else Outcome(error=answer["error"])
    if not way.streams:
        status, _, answer = workbench.server.call(way.http, user=user, headers=headers, json=body)
        return Outcome(result=answer) if status == 200 else Outcome(error=answer["error"])
    with workbench.server.open(way.http, user=user, headers=headers, json=body) as stream:
        if stream.status != 200:
            return Outcome(error=stream.json()["error"])
        completion_id = stream.headers["x-promptcraft-completion-id"]
        path = f"/api/v2/chat/completions/{completion_id}/"
        if case.cancel:
            next(stream.events())
            assert workbench.server.call(f"{path}cancel/", user=user, method="POST")[0] == 200
        answer = collect(stream)
    if answer.error is not None:
        return Outcome(content=answer.text, error=answer.error)
    completion = workbench.server.call(path, user=user)[2]
    message = completion["choices"][0]["message"]
    result = {
        "content": message["content"],
        "completion_id": "*",
        "model": completion["model"],
        "provider": completion["provider"],
        "finish_reason": completion["choices"][0]["finish_reason"],
        "usage": completion["usage"],
    }
    extra = {name: message[name] for name in ("reasoning_content",) if name in message}
    labels = {name: completion[name] for name in ("promptcraft",) if name in completion}
    return Outcome(content=None if case.cancel else message["content"], result=result | extra | labels)


def over_websocket(workbench: Workbench, way: Way, case: Case, user: str, request_id: str) -> Outcome:
    with Client(workbench.server, way.path, user=user) as client:
        members = {name: value for name, value in (way.members | case.more).items() if value is not None}
        client.say(way.message, request_id, **members)
        if case.cancel:
            client.until("content_chunk")
            client.say("cancel", request_id)
        answer = client.answer()
    content = None if case.cancel or not way.streams else "".join(answer.pieces)
    if answer.kind == "error":
        return Outcome(content=content or None, error=answer.error)
    result = answer.result()
    if way.streams:
        result["completion_id"] = "*"
    return Outcome(content=content, result=result)


@pytest.fixture
def of_case(request: pytest.FixtureRequest) -> Callable[[str], Workbench]:
    fixtures = {"uvicorn": "workbench", "strict": "strict", "rules": "by_rules"}
    return lambda name: request.getfixturevalue(fixtures[name])


@pytest.mark.parametrize(("name", "way_name"), TABLE)
def test_same(of_case: Callable[[str], Workbench], name: str, way_name: str):
    case, way = CASES[name], WAYS[way_name]
    workbench = of_case(case.server)
    seen = []
    for transport in (over_http, over_websocket):
        workbench.upstream.reset()
        user = workbench.new_user()
        for _ in range(case.before):
            workbench.server.call(
                "/api/v2/chat/completions/", user=user, json={"messages": [{"role": "user", "content": "x"}]}
            )
        case.prepare(workbench, way_name)
        before = len(workbench.asked())
        outcome = transport(workbench, way, case, user, f"same-{case.before}")
        if outcome.error is not None:
            # Whole seconds, counted down.
            outcome.error["retry_after"] = outcome.error["retry_after"] is not None
        window = workbench.server.call("/api/v2/chat/completions/", user=user)[1]["x-ratelimit-remaining"]
        were_asked = asked(workbench)[before:]
        if were_asked:
            # The row of one that failed may come after its answer.
            eventually(partial(rows, workbench, user), "the row")
        seen.append((outcome, rows(workbench, user), were_asked, window))
    http, websocket = seen
    assert websocket[0] == http[0]
    assert websocket[1] == http[1]
    assert websocket[2] == http[2]
    if case.server == "strict":
        assert websocket[3] == http[3]


def asked(workbench: Workbench) -> list[dict[str, Any]]:
    """Return what models were asked, without whom they were asked for."""
    return [
        {name: value for name, value in body.items() if name not in ("user", "user_id", "safety_identifier")}
        for body in workbench.asked()
    ]


def rows(workbench: Workbench, user: str) -> list[dict[str, Any]]:
    """Return a user's completions as the database has them, without what no two rows have in common."""
    workbench.completions(user)
    names = [name for _, name, *_ in rows_of(workbench.server, "PRAGMA table_info(chat_completion)")]
    found = rows_of(
        workbench.server,
        "SELECT completion.* FROM chat_completion AS completion JOIN auth_user ON auth_user.id = user_id"
        " WHERE username = ? ORDER BY completion.created_at",
        user,
    )
    return [{name: value for name, value in zip(names, row, strict=True) if name not in _VARYING} for row in found]
