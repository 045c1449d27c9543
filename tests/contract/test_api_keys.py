"""API keys against a real server: what they open, what they do not, and what is said of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from openai import OpenAI

from tests.server import USERNAME, ServerProcess
from tests.waiting import eventually

CHAT = "/api/v2/chat/completions/"
HELLO = {"messages": [{"role": "user", "content": "Say hello"}], "max_tokens": 3}
# One path for each scope, and what a key without it must not see.
PATHS = {"chat": "/api/v2/models/", "templates": "/api/v2/templates/"}


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with ServerProcess({"PROVIDER_CHAIN": "mock", "CHAT_RATE_LIMIT": "100/m"}) as server:
        yield server


def made(server: ServerProcess, user: str = USERNAME, **fields: Any) -> dict[str, Any]:
    status, _, body = server.call("/api/v2/auth/keys/", user=user, json={"name": "test", **fields})
    assert status == 201, body
    server.canaries.secrets.add(body["key"])
    return dict(body)


def ask(server: ServerProcess, path: str, key: str, **call: Any) -> tuple[int, Any]:
    status, _, body = server.call(path, user=None, headers={"Authorization": f"Bearer {key}"}, **call)
    return status, body


def test_openais_client_streams_with_one(server: ServerProcess) -> None:
    key = made(server)["key"]
    with OpenAI(base_url=server.url("/api/v2"), api_key=key, max_retries=0) as client:
        stream = client.chat.completions.create(
            model="auto", messages=[{"role": "user", "content": "Say hello"}], stream=True
        )
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


@pytest.mark.parametrize("scope", PATHS)
def test_a_key_opens_what_its_scope_says(server: ServerProcess, scope: str) -> None:
    key = made(server, scopes=[scope])["key"]
    statuses = {name: ask(server, path, key)[0] for name, path in PATHS.items()}
    assert statuses == {name: 200 if name == scope else 403 for name in PATHS}
    assert ask(server, "/api/v2/auth/me/", key)[0] == 200


def test_a_key_without_the_scope_is_told_which(server: ServerProcess) -> None:
    status, body = ask(server, CHAT, made(server, scopes=["usage"])["key"], json=HELLO)
    assert (status, body["error"]["code"]) == (403, "forbidden")
    assert "`chat`" in body["error"]["message"]


@pytest.mark.parametrize("model", [None, "auto", "mock"])
def test_a_key_asks_for_its_models_alone(server: ServerProcess, model: str | None) -> None:
    body = HELLO if model is None else {**HELLO, "model": model}
    status, answer = ask(server, CHAT, made(server, models=["mock"])["key"], json=body)
    assert (status, answer["model"]) == (200, "mock")
    status, answer = ask(server, CHAT, made(server, models=["deepseek-v4-pro"])["key"], json=body)
    assert (status, answer["error"]["param"]) == (403, "model")


def test_a_key_for_another_user_is_absent(server: ServerProcess) -> None:
    key_id = made(server)["id"]
    eve = server.add_user("eve")

    def refusal(key_id: str) -> dict[str, Any]:
        status, _, body = server.call(f"/api/v2/auth/keys/{key_id}/", user=eve, method="DELETE")
        assert status == 404
        return {name: value for name, value in body["error"].items() if name != "request_id"}

    assert refusal(key_id) == refusal("0b2f6e5a-d1c9-4c0e-9b7d-3c1f8a6e4d20")
    assert server.call("/api/v2/auth/keys/", user=eve)[2]["results"] == []


def test_a_revoked_key_is_out_at_once(server: ServerProcess) -> None:
    key = made(server)
    assert ask(server, CHAT, key["key"], json=HELLO)[0] == 200
    assert server.call(f"/api/v2/auth/keys/{key['id']}/", method="DELETE")[0] == 204
    status, body = ask(server, CHAT, key["key"], json=HELLO)
    assert (status, body["error"]["code"]) == (401, "invalid_token")


def test_what_ends_in_one_process_ends_in_the_other(server: ServerProcess) -> None:
    env = {"PROVIDER_CHAIN": "mock", "DATABASE_URL": server.env["DATABASE_URL"]}
    revoked, by_command, lives = made(server), made(server), made(server)
    disabled = made(server, server.add_user("bea"))
    with ServerProcess(env) as other:
        keys = {one["key"] for one in (revoked, by_command, disabled, lives)}
        other.canaries.secrets |= keys

        def refused() -> set[str]:
            return {key for key in keys if ask(other, "/api/v2/models/", key)[0] == 401}

        assert refused() == set()
        assert server.call(f"/api/v2/auth/keys/{revoked['id']}/", method="DELETE")[0] == 204
        server.manage("revoke_api_key", by_command["id"])
        server.manage("disable_user", "bea")
        eventually(lambda: refused() == keys - {lives["key"]}, "the other process has heard of it")
        assert ask(server, "/api/v2/models/", lives["key"])[0] == 200
        server.manage("enable_user", "bea")
        eventually(lambda: disabled["key"] not in refused(), "the key is no longer suspended")


def test_its_requests_count_for_its_user() -> None:
    with ServerProcess({"PROVIDER_CHAIN": "mock", "CHAT_RATE_LIMIT": "2/m"}) as server:
        keys = [made(server)["key"] for _ in range(3)]
        assert [ask(server, CHAT, key, json=HELLO)[0] for key in keys] == [200, 200, 429]


def test_no_key_is_in_the_log(server: ServerProcess) -> None:
    key = made(server)["key"]
    ask(server, CHAT, key, json=HELLO)
    ask(server, f"/api/v2/models/{key}/", key)
    ask(server, f"/api/v2/models/?api_key={key}", "pc-nothing")
    output = server.output()
    assert key not in output
    assert key[8:] not in output
    assert hashlib.sha256(key.encode()).hexdigest() not in output


def test_keys_are_in_no_list(server: ServerProcess) -> None:
    key = made(server)["key"]
    listed = json.dumps(server.call("/api/v2/auth/keys/")[2])
    assert key[:8] in listed
    assert key not in listed
