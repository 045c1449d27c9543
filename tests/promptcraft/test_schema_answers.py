"""Real answers, held against what the OpenAPI document says of them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from promptcraft.schema.headers import COMPLETION_HEADERS, LIMIT_HEADERS
from tests.each import each
from tests.promptcraft.described import check_answer, check_stream, events_of, problems
from tests.server import PASSWORD, USERNAME, ServerProcess
from tests.upstream import UpstreamServer
from tests.upstream.samples import SAMPLES

CHAT = "/api/v2/chat/completions/"
ONE = f"{CHAT}{{completion_id}}/"
AUTH = "/api/v2/auth/"
HELLO = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 3}
MODELS = {"deepseek": "deepseek-flash", "zai": "glm-4-32b-0414-128k", "openai": "gpt-5-mini"}
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}


@pytest.fixture
def caller(production, clients):
    return clients(production, signed_in=True)


@pytest.fixture
def visitor(production, clients):
    return clients(production, signed_in=False)


@pytest.fixture(scope="module")
def bare(servers):
    """A process on the same database that has no provider and lets one request through."""
    database = f"sqlite:///{servers('0').database}"
    with ServerProcess(env={"DATABASE_URL": database, "CHAT_RATE_LIMIT": "1/m"}) as server:
        yield server


@pytest.fixture(scope="module")
def relayed():
    """A process, and the vendors that it asks."""
    with UpstreamServer() as upstream, ServerProcess(env={"BREAKER_FAILURES": "10000"}, upstream=upstream) as server:
        yield server, upstream


def complete(caller, *, stream=False, scenario="", **fields):
    """Ask for a completion, check the answer and return it."""
    headers = {"X-Mock-Scenario": scenario} if scenario else {}
    answer = caller.post(CHAT, json={**HELLO, "stream": stream, **fields}, headers=headers)
    check_answer("post", CHAT, answer)
    return answer


FORMS: dict[str, dict[str, Any]] = {
    "text": {},
    "reasoning": {"scenario": "reasoning", "max_tokens": 20},
    "a tool call": {"scenario": "tool_call", "tools": [TOOL], "max_tokens": 50},
    "no usage": {"scenario": "no_usage"},
    "usage": {"stream_options": {"include_usage": True}},
    "JSON": {"response_format": {"type": "json_object"}},
}


@each("form", FORMS)
@each("stream", [False, True], ids=["object", "stream"])
def test_a_completion(caller, form, stream):
    answer = complete(caller, stream=stream, **FORMS[form])
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/event-stream" if stream else "application/json")
    completion_id = answer.headers["X-PromptCraft-Completion-Id"]
    kept = caller.get(f"{CHAT}{completion_id}/")
    check_answer("get", ONE, kept)
    assert kept.json()["status"] == "completed"


@each("sample", [one for one in SAMPLES if not one.endless], ids=lambda sample: sample.name)
@each("stream", [False, True], ids=["object", "stream"])
def test_what_vendors_make_of_it(relayed, clients, sample, stream):
    server, upstream = relayed
    vendor = sample.vendors[0]
    upstream.script(vendor, sample, times=1)
    caller = clients(server, signed_in=True)
    complete(caller, stream=stream, model=MODELS[vendor], fallback=False, stream_options={"include_usage": True})
    check_answer("get", CHAT, caller.get(CHAT, params={"limit": 1}))


def test_the_documented_headers_are_there(caller):
    for stream in (False, True):
        # The mock heeds no seed.
        answer = complete(caller, stream=stream, seed=7)
        missing = {name for name in (*COMPLETION_HEADERS, *LIMIT_HEADERS) if name not in answer.headers}
        assert missing == {"Idempotent-Replay"}


@each("scenario", ["cut_after_2", "error_after_2"])
def test_a_stream_that_fails(caller, scenario):
    answer = complete(caller, stream=True, scenario=scenario, max_tokens=10)
    *chunks, last = check_stream(answer.text)
    assert chunks
    assert last["error"]["code"] == "stream_interrupted"
    kept = caller.get(f"{CHAT}{answer.headers['X-PromptCraft-Completion-Id']}/")
    check_answer("get", ONE, kept)
    assert (kept.json()["status"], kept.json()["error_code"]) == ("failed", "stream_interrupted")


def test_a_completion_that_nobody_answers(caller):
    assert complete(caller, scenario="error_first").json()["error"]["code"] == "all_providers_failed"


@each(
    ("sent", "status"),
    [
        ({"json": {}}, 400),
        ({"json": {**HELLO, "temperature": 3}}, 400),
        ({"json": HELLO, "headers": {"X-Mock-Scenario": "nonsense"}}, 400),
        ({"json": HELLO, "headers": {"Authorization": ""}}, 401),
        ({"content": b" " * (1024 * 1024 + 1)}, 413),
        ({"content": b"{}", "headers": {"Content-Type": "text/plain"}}, 415),
    ],
)
def test_a_refused_completion(caller, sent, status):
    answer = caller.post(CHAT, **sent)
    assert answer.status_code == status
    check_answer("post", CHAT, answer)


def test_a_replayed_completion(caller):
    key = {"Idempotency-Key": "test-a-replayed-completion"}
    first = caller.post(CHAT, json=HELLO, headers=key)
    again = caller.post(CHAT, json=HELLO, headers=key)
    for answer in (first, again):
        check_answer("post", CHAT, answer)
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["Idempotent-Replay"] == "true"
    conflict = caller.post(CHAT, json={**HELLO, "seed": 1}, headers=key)
    check_answer("post", CHAT, conflict)
    assert conflict.status_code == 409


def test_cancelling(caller):
    with caller.stream(
        "POST", CHAT, json={**HELLO, "stream": True, "max_tokens": 10_000}, headers={"X-Mock-Scenario": "long"}
    ) as stream:
        completion_id = stream.headers["X-PromptCraft-Completion-Id"]
        pieces = stream.iter_text()
        begun = next(pieces)
        running = caller.get(f"{CHAT}{completion_id}/")
        cancelled = caller.post(f"{CHAT}{completion_id}/cancel/")
        text = begun + "".join(pieces)
    check_answer("get", ONE, running)
    assert running.json()["status"] == "in_progress"
    check_answer("post", f"{ONE}cancel/", cancelled)
    assert cancelled.status_code == 200
    assert check_stream(text)[-1]["choices"][0]["finish_reason"] == "cancelled"
    kept = caller.get(f"{CHAT}{completion_id}/")
    check_answer("get", ONE, kept)
    assert kept.json()["status"] == "cancelled"


def test_cancelling_what_is_finished_or_absent(caller):
    finished = complete(caller).json()["id"]
    for completion_id, status in ((finished, 409), ("nothing", 404)):
        answer = caller.post(f"{CHAT}{completion_id}/cancel/")
        assert answer.status_code == status
        check_answer("post", f"{ONE}cancel/", answer)


def test_following(caller, bare, clients):
    completion_id = complete(caller).json()["id"]
    path = f"{CHAT}{completion_id}/events/"
    whole = caller.get(path)
    resumed = caller.get(path, headers={"Last-Event-ID": "1"})
    assert len(check_stream(whole.text)) > len(check_stream(resumed.text)) > 0
    nothing_new = caller.get(path, params={"after": 1000})
    malformed = caller.get(path, params={"after": "x"})
    absent = caller.get(f"{CHAT}nothing/events/")
    # Another process does not have its events; the row it has.
    gone = clients(bare, signed_in=True).get(path)
    answers = [whole, resumed, nothing_new, malformed, absent, gone]
    assert [answer.status_code for answer in answers] == [200, 200, 204, 400, 404, 410]
    for answer in answers:
        check_answer("get", f"{ONE}events/", answer)


def test_pages_of_completions(caller):
    for _ in range(2):
        complete(caller)
    first = caller.get(CHAT, params={"limit": 1})
    check_answer("get", CHAT, first)
    second = caller.get(CHAT, params={"limit": 100, "after": first.json()["next"]})
    check_answer("get", CHAT, second)
    assert first.json()["has_more"]
    assert first.json()["data"][0]["id"] not in [one["id"] for one in second.json()["data"]]
    for refused in (caller.get(CHAT, params={"limit": 0}), caller.get(CHAT, params={"after": "nothing"})):
        assert refused.status_code == 400
        check_answer("get", CHAT, refused)


def test_models(caller):
    check_answer("get", "/api/v2/models/", caller.get("/api/v2/models/"))
    for name, status in (("mock", 200), ("nothing", 404)):
        answer = caller.get(f"/api/v2/models/{name}/")
        assert answer.status_code == status
        check_answer("get", "/api/v2/models/{model}/", answer)


@each("path", ["", "live/", "ready/"])
def test_health(visitor, path):
    answer = visitor.get(f"/api/v2/chat/health/{path}")
    assert answer.status_code == 200
    check_answer("get", f"/api/v2/chat/health/{path}", answer)


def test_a_process_without_providers(bare, clients):
    caller = clients(bare, signed_in=True)
    health = caller.get("/api/v2/chat/health/")
    check_answer("get", "/api/v2/chat/health/", health)
    assert (health.status_code, health.json()["status"]) == (503, "down")
    answers = [caller.post(CHAT, json=body) for body in (HELLO, {}, HELLO)]
    # Nobody to ask is our fault and gives the slot back; the bad request takes it.
    assert [answer.status_code for answer in answers] == [502, 400, 429]
    for answer in answers:
        check_answer("post", CHAT, answer)


def test_a_life_of_tokens(visitor, caller):
    credentials = {"username": USERNAME, "password": PASSWORD}
    pair = visitor.post(f"{AUTH}token/", json=credentials)
    refreshed = visitor.post(f"{AUTH}token/refresh/", json={"refresh": pair.json()["refresh"]})
    verified = visitor.post(f"{AUTH}token/verify/", json={"token": pair.json()["access"]})
    left = visitor.post(f"{AUTH}logout/", json={"refresh": refreshed.json()["refresh"]})
    answers = [(pair, "token/", 200), (refreshed, "token/refresh/", 200), (verified, "token/verify/", 200)]
    for answer, path, status in [*answers, (left, "logout/", 205)]:
        assert answer.status_code == status
        check_answer("post", f"{AUTH}{path}", answer)
    check_answer("get", f"{AUTH}me/", caller.get(f"{AUTH}me/"))


@each("path", ["token/", "token/refresh/", "token/verify/", "logout/", "register/"])
def test_refused_accounts(visitor, path):
    answers: list[httpx.Response] = [
        visitor.post(f"{AUTH}{path}", json={}),
        visitor.post(f"{AUTH}{path}", content=b"{", headers={"Content-Type": "application/json"}),
        visitor.post(f"{AUTH}{path}", content=b"{}", headers={"Content-Type": "text/plain"}),
        visitor.post(f"{AUTH}{path}", content=b" " * (1024 * 1024 + 1)),
    ]
    if path not in ("token/", "register/"):
        answers.append(visitor.post(f"{AUTH}{path}", json={"refresh": "x", "token": "x"}))
    assert [answer.status_code for answer in answers] == [400, 400, 415, 413, 401][: len(answers)]
    for answer in answers:
        check_answer("post", f"{AUTH}{path}", answer)


def test_registering(visitor):
    body = {"username": "grace", "email": "grace@example.org", "password": "nine-lives-of-a-moth"}
    answers = [visitor.post(f"{AUTH}register/", json=body) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 400]
    for answer in answers:
        check_answer("post", f"{AUTH}register/", answer)
    failed = visitor.post(f"{AUTH}token/", json={"username": "grace", "password": "wrong"})
    assert failed.status_code == 401
    check_answer("post", f"{AUTH}token/", failed)


def test_the_documentation_of_itself(visitor):
    for path in ("schema/", "schema/?format=yaml", "schema/?format=nonsense", "docs/"):
        check_answer("get", f"/api/v2/{path.partition('?')[0]}", visitor.get(f"/api/v2/{path}"))


STEPS: dict[str, dict[str, Any]] = {
    "intent": {"query": "a newsletter for home bakers, friendly, about 200 words"},
    "optimize": {"prompt": "write something about {{ product }} for my shop"},
    "generate": {"prompt": "Say hello", "max_tokens": 3},
    "run": {"query": "product description of a rain coat for my shop", "max_tokens": 3},
}


@each("step", STEPS)
@each("stream", [False, True], ids=["object", "stream"])
def test_a_step_of_the_workbench(caller, step, stream):
    path = f"/api/v2/prompts/{step}/"
    answer = caller.post(path, json={**STEPS[step], "stream": stream})
    check_answer("post", path, answer)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/event-stream" if stream else "application/json")


def test_an_event_that_is_not_as_described_is_seen(caller):
    answer = caller.post("/api/v2/prompts/intent/", json={**STEPS["intent"], "stream": True})
    schema = {"$ref": "#/components/schemas/IntentEvent"}
    first, *_ = events_of(answer.text)
    assert problems(first, schema) == []
    assert problems({**first, "data": first["data"].replace('"confidence":', '"certainty":')}, schema)
    assert problems({**first, "event": "templates"}, schema)


@each("form", ["json", "yaml"])
def test_an_exported_template(caller, form):
    made = caller.post(
        "/api/v2/templates/",
        json={
            "title": "Tides",
            "category": "seo",
            "text": "Say when: {{ port }}.",
            "variables": [{"name": "port", "type": "string", "required": True}],
        },
    )
    path = "/api/v2/templates/{slug}/export/"
    answer = caller.get(path.format(slug=made.json()["slug"]), params={"format": form})
    check_answer("get", path, answer)
    assert form in answer.headers["Content-Type"]
