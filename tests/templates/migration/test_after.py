"""What the guide says to write instead of the WebSocket, run as it stands there."""

from __future__ import annotations

import base64
import time
from typing import Any

import pytest

from tests.accounts.forgery import claims_of, forge
from tests.frontend.code_blocks import modules
from tests.server import PASSWORD, USERNAME
from tests.templates.migration.conftest import GUIDE, FrontEnd

EVENTS = "GET /api/v2/chat/completions/{id}/events/"
GENERATE = "POST /api/v2/prompts/generate/"
QUERY = "a friendly newsletter for home bakers, about 200 words, by Friday"
PROMPT = "write something about {{ product }} for my shop"


def test_the_guide_has_every_module() -> None:
    assert sorted(modules(GUIDE)) == [
        "after/app.mjs",
        "after/shadow.mjs",
        "after/switch.mjs",
        "before/app.mjs",
        "before/socket.mjs",
    ]


def test_both_clients_have_the_same_calls() -> None:
    calls = [
        {line.split("function ")[1].split("(")[0] for line in modules(GUIDE)[name].splitlines() if "export" in line}
        for name in ("before/app.mjs", "after/app.mjs")
    ]
    assert calls[0] == calls[1] == {"connect", "chat", "generate", "intent", "optimize", "search"}


class TestEvents:
    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    def test_wherever_the_bytes_are_cut(self, page: FrontEnd, end: str) -> None:
        lines = [
            "\ufeff: ping",
            "id: 1",
            'data: {"a": "déjà \u2028\x85 東京 🦉"}',
            "",
            ": ping",
            "event: intent",
            "data:one",
            "data",
            "data:  two:three",
            "",
            "id: bad\0",
            "retry: 10",
            "",
            "data: [DONE]",
            "",
            # A CR at the end of all that has come could be half a CRLF.
            ": the end" + end,
            "data: not whole",
        ]
        outcomes = page.run("parse", bytes=base64.b64encode(end.join(lines).encode()).decode())
        assert len(outcomes) > 100
        for seen in outcomes:
            assert seen == [
                {"id": "1", "event": "message", "data": '{"a": "déjà \u2028\x85 東京 🦉"}'},
                {"id": "1", "event": "intent", "data": "one\n\n two:three"},
                {"id": "1", "event": "message", "data": "[DONE]"},
            ]

    def test_who_stops_listening_closes_the_connection(self, page: FrontEnd) -> None:
        assert page.run("leaving") is True


def test_the_five_calls(page: FrontEnd) -> None:
    outcome = page.run("after", query=QUERY, prompt=PROMPT, search="newsleter", filters={"category": "marketing_email"})
    assert outcome["content"] == outcome["shown"]
    assert "You wrote: “Say hello”" in outcome["content"]
    intent = page.server.call("/api/v2/prompts/intent/", json={"query": QUERY})[2]
    assert outcome["intent"] == intent
    body = {"prompt": PROMPT, "intent_data": intent}
    assert outcome["optimization"] == page.server.call("/api/v2/prompts/optimize/", json=body)[2]
    found = page.server.call("/api/v2/templates/search/?q=newsleter&category=marketing_email")[2]["results"]
    assert outcome["results"] == found
    assert found


class TestLostConnections:
    @pytest.mark.parametrize("bytes_kept", [600, 1500])
    def test_what_broke_off_is_resumed(self, page: FrontEnd, user: str, bytes_kept: int) -> None:
        outcome = page.run("broken", user=user, bytes=bytes_kept)
        assert outcome["content"] == outcome["kept"] == content_of(page.stored(outcome["id"], user))
        assert outcome["finish"] == "stop"
        assert outcome["asked"][0] == GENERATE
        assert len(outcome["asked"]) > 2
        assert set(outcome["asked"][1:]) == {EVENTS}
        assert len(page.completions(user)) == 1

    def test_what_was_not_heard_is_asked_for_again_and_begins_once(self, page: FrontEnd, user: str) -> None:
        outcome = page.run("unheard", user=user)
        assert outcome["asked"] == [GENERATE, GENERATE]
        assert outcome["content"] == content_of(page.stored(outcome["id"], user))
        assert len(page.completions(user)) == 1

    def test_what_is_no_longer_kept_comes_from_the_records(self, hasty_page: FrontEnd) -> None:
        outcome = hasty_page.run("late", bytes=900)
        assert outcome["asked"] == [GENERATE, EVENTS, "GET /api/v2/chat/completions/{id}/"]
        assert outcome["content"] == outcome["kept"] == content_of(hasty_page.stored(outcome["id"]))
        assert outcome["finish"] == "stop"

    def test_a_server_that_is_started_again_is_asked_again(self, page: FrontEnd) -> None:
        outcome = page.run("away")
        assert outcome["asked"] == [GENERATE, GENERATE]
        assert outcome["finish"] == "stop"


class TestStop:
    def test_it_ends_by_itself(self, page: FrontEnd) -> None:
        outcome = page.run("stopped", headers={"X-Mock-Scenario": "long"})
        assert outcome["finish_reason"] == "cancelled"
        stored = page.stored(outcome["completion_id"])
        assert (stored["status"], content_of(stored)) == ("cancelled", outcome["content"])

    def test_before_anything_was_heard(self, page: FrontEnd) -> None:
        outcome = page.run("stoppedAtOnce", headers={"X-Mock-Scenario": "long"})
        assert outcome["finish_reason"] == "cancelled"
        assert page.stored(outcome["completion_id"])["status"] == "cancelled"


class TestErrors:
    def test_a_refusal_says_what_is_wrong(self, page: FrontEnd) -> None:
        outcome = page.run("refused", body={"prompt": "Hello", "temperature": 9})
        assert (outcome["status"], outcome["code"], outcome["param"]) == (400, "invalid_value", "temperature")
        assert outcome["requestId"]
        assert "temperature" in outcome["message"]

    def test_a_stream_that_breaks_off_says_so(self, page: FrontEnd) -> None:
        outcome = page.run("refused", body={"prompt": "Hello"}, headers={"X-Mock-Scenario": "error_after_5"})
        assert outcome["code"] == "stream_interrupted"


class TestTokens:
    def test_one_refresh_serves_all(self, page: FrontEnd) -> None:
        credentials = {"username": USERNAME, "password": PASSWORD}
        pair = page.server.call("/api/v2/auth/token/", user=None, json=credentials)[2]
        claims = claims_of(pair["access"]) | {"exp": int(time.time()) - 1}
        expired = forge(claims, key=page.server.env["SECRET_KEY"].encode())
        outcome = page.run("refreshed", tokens=pair | {"access": expired})
        assert outcome["names"] == [USERNAME] * 3
        asked: list[str] = outcome["asked"]
        assert asked.count("POST /api/v2/auth/token/refresh/") == 1
        assert asked.count("GET /api/v2/auth/me/") == 6


class TestShadow:
    def test_it_sees_the_same_as_it_comes(self, page: FrontEnd, user: str) -> None:
        outcome = page.run("shadow", user=user, headers={"X-Mock-Scenario": "long"})
        assert outcome == {"same": True, "live": True}
        assert len(page.completions(user)) == 1

    def test_another_request_in_between_is_not_compared(self, page: FrontEnd, user: str) -> None:
        assert page.run("shadowOfAnother", user=user) is None


def content_of(completion: dict[str, Any]) -> str:
    return str(completion["choices"][0]["message"]["content"])
