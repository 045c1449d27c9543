"""The log: one JSON line for each request at its end, with what became of it and nothing of what was said."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import pytest

from tests.contract.limit_fixtures import COMPLETIONS, HEALTH, KEY, PROMPT, Door, eventually
from tests.each import each
from tests.server import PASSWORD, USERNAME
from tests.sse_answer import collect
from tests.upstream import Gate, healthy

PROMPT_CANARY = "canary-prompt-8821"
ANSWER_CANARY = "canary-answer-3350"
Line = dict[str, Any]


@pytest.fixture
def door(talkative: Door) -> Door:
    talkative.upstream.reset()
    return talkative


def named() -> tuple[str, dict[str, str]]:
    """Return a request id of our own and the header that gives it."""
    request_id = f"test-{uuid.uuid4().hex}"
    return request_id, {"X-Request-Id": request_id}


def lines_of(door: Door, request_id: str) -> list[Line]:
    return [json.loads(line) for line in door.server.output().splitlines() if f'"{request_id}"' in line]


def line_of(door: Door, request_id: str) -> Line:
    """Wait for the one line of a request."""
    (line,) = eventually(lambda: lines_of(door, request_id), f"a line of {request_id}")
    assert line["logger"] == "promptcraft.request"
    assert line["level"] == "INFO"
    return line


ROUTES = {f"{COMPLETIONS}absent/": f"{COMPLETIONS}{{completion_id}}/", "/nowhere/": "/{unknown}/"}
"""What is logged of a path that is not its own route."""
REQUESTS: dict[str, tuple[int, str, str, dict[str, Any]]] = {
    "list": (200, "GET", COMPLETIONS, {}),
    "no body": (400, "POST", COMPLETIONS, {"body": b""}),
    "form": (415, "POST", COMPLETIONS, {"body": b"a=1", "headers": {"Content-Type": "text/plain"}}),
    "too large": (413, "POST", COMPLETIONS, {"body": b" " * (1024 * 1024 + 1)}),
    "nobody": (401, "GET", COMPLETIONS, {"user": None}),
    "bad token": (401, "GET", COMPLETIONS, {"user": None, "headers": {"Authorization": "Bearer a.b.c"}}),
    "absent": (404, "GET", f"{COMPLETIONS}absent/", {}),
    "method": (405, "PUT", COMPLETIONS, {}),
    "health": (200, "GET", HEALTH, {"user": None}),
    "nowhere": (404, "GET", "/nowhere/", {"user": None}),
    "log-in": (401, "POST", "/api/v2/auth/token/", {"user": None, "json": {"username": "x", "password": "y"}}),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_every_request_leaves_one_line(door: Door, name: str) -> None:
    expected, method, path, request = REQUESTS[name]
    request = dict(request)
    request_id, header = named()
    user = request.pop("user", USERNAME)
    headers = header | request.pop("headers", {})
    status = door.call(path, user, method=method, headers=headers, **request)[0]
    assert status == expected
    line = line_of(door, request_id)
    assert (line["method"], line["path"], line["status"]) == (method, ROUTES.get(path, path), expected)
    assert (line["user_id"] is None) == (status in (401, 405) or user is None)
    assert 0 <= line["duration_ms"] < 10_000
    assert line["time"].endswith("+00:00")


class TestCompletions:
    def test_a_whole_one(self, door: Door) -> None:
        request_id, headers = named()
        _, answered, body = door.whole(headers=headers)
        line = line_of(door, request_id)
        assert line["completion_id"] == body["id"] == answered["x-promptcraft-completion-id"]
        assert (line["status"], line["user_id"], line["completion_status"]) == (200, 1, "completed")
        assert (line["provider"], line["model"]) == ("deepseek", "deepseek-flash")
        assert line["prompt_tokens"] == body["usage"]["prompt_tokens"]
        assert line["completion_tokens"] == body["usage"]["completion_tokens"] > 0
        assert line["cost_nano_usd"] == pytest.approx(body["usage"]["cost"] * 1e9)
        assert line["usage_source"] == "provider"
        (attempt,) = line["attempts"]
        assert (attempt["provider"], attempt["end"]) == ("deepseek", "complete")
        assert 0 < attempt["ttft_ms"] < 10_000

    def test_the_completion_that_a_path_names(self, door: Door) -> None:
        stored = door.whole()[2]["id"]
        for path, status in ((f"{COMPLETIONS}{stored}/", 200), (f"{COMPLETIONS}{stored}/events/", 200)):
            request_id, headers = named()
            with door.server.open(path, method="GET", headers=headers) as stream:
                assert stream.status == status
                stream.read()
            line = line_of(door, request_id)
            assert (line["completion_id"], stored in line["path"]) == (stored, False)

    def test_a_stream_leaves_it_when_it_ends(self, door: Door) -> None:
        request_id, headers = named()
        gate = Gate()
        door.upstream.script("deepseek", healthy(gate=gate, gate_after=1))
        with door.begin(headers=headers) as stream:
            events = stream.events()
            next(events)
            # Another request has come and gone meanwhile.
            other_id, other = named()
            door.call(HEALTH, None, headers=other)
            line_of(door, other_id)
            assert not lines_of(door, request_id)
            held_ms = (time.monotonic() - stream.headed_at_s) * 1000
            gate.release()
            assert [event.data for event in events][-1] == "[DONE]"
        line = line_of(door, request_id)
        assert (line["status"], line["completion_status"]) == (200, "completed")
        assert line["completion_tokens"] > 0
        assert line["duration_ms"] >= held_ms

    def test_a_failover_shows_both(self, door: Door) -> None:
        request_id, headers = named()
        door.upstream.script("deepseek", "status-500", times=1)
        assert door.whole(headers=headers)[0] == 200
        attempts = line_of(door, request_id)["attempts"]
        assert [(one["provider"], one["end"]) for one in attempts] == [
            ("deepseek", "server_error"),
            ("zai", "complete"),
        ]

    def test_one_that_broke_off(self, door: Door) -> None:
        request_id, headers = named()
        with door.begin(headers=headers, model="deepseek-flash@cut-by-reset") as stream:
            assert collect(stream).error is not None
        line = line_of(door, request_id)
        assert (line["completion_status"], line["error_code"]) == ("failed", "stream_interrupted")
        assert [one["end"] for one in line["attempts"]] == ["stream_cut"]
        assert line["completion_tokens"] > 0

    @pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
    def test_one_that_nobody_answered(self, door: Door, stream: bool) -> None:
        request_id, headers = named()
        for vendor in ("deepseek", "zai", "openai"):
            door.upstream.script(vendor, "status-500")
        assert door.whole(headers=headers, stream=stream)[0] == 502
        line = line_of(door, request_id)
        assert line["error_code"] == "all_providers_failed"
        assert [(one["provider"], one["end"]) for one in line["attempts"]] == [
            (vendor, "server_error") for vendor in ("deepseek", "zai", "openai")
        ]

    def test_a_refused_one_says_why(self, door: Door) -> None:
        request_id, headers = named()
        assert door.whole(headers=headers, temperature=9)[0] == 400
        assert line_of(door, request_id)["error_code"] == "invalid_value"

    def test_a_cancelled_one(self, door: Door) -> None:
        request_id, headers = named()
        gate = Gate()
        door.upstream.script("deepseek", healthy(gate=gate, gate_after=1))
        with door.begin(headers=headers) as stream:
            completion = f"{COMPLETIONS}{stream.headers['x-promptcraft-completion-id']}"
            assert door.call(f"{completion}/cancel/", method="POST")[0] == 200
            assert collect(stream).done
        line = line_of(door, request_id)
        assert line["completion_status"] == "cancelled"
        assert [one["end"] for one in line["attempts"]] == ["cancelled"]

    def test_one_whose_client_vanished_while_it_streamed(self, door: Door) -> None:
        request_id, headers = named()
        gate = Gate()
        door.upstream.script("deepseek", healthy(gate=gate, gate_after=2))
        with door.begin(headers=headers) as stream:
            next(stream.events())
            gate.wait_reached(1)
            stream.reset()
        line = line_of(door, request_id)
        assert (line["user_id"], line["completion_status"]) == (1, "cancelled")
        assert [one["end"] for one in line["attempts"]] == ["client_gone"]
        assert line["completion_tokens"] > 0
        assert line["cost_nano_usd"] > 0

    @pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
    def test_one_whose_client_vanished_before_any_content(self, door: Door, stream: bool) -> None:
        request_id, headers = named()
        gate = Gate()
        door.upstream.script("deepseek", healthy(gate=gate))
        door.server.leave(COMPLETIONS, at=gate, headers=headers, json={"messages": PROMPT, "stream": stream})
        line = line_of(door, request_id)
        assert (line["status"], line["user_id"]) == (499, 1)
        assert [one["end"] for one in line["attempts"]] == ["client_gone"]


class TestWhatIsNeverSaid:
    def test_over_every_way_a_request_can_go(self, door: Door) -> None:
        said = [{"role": "user", "content": f"Keep this: {PROMPT_CANARY}"}]
        answer = healthy(f"Of course: {ANSWER_CANARY}.")
        door.upstream.script("deepseek", answer)
        assert ANSWER_CANARY in door.whole(messages=said)[2]["choices"][0]["message"]["content"]
        with door.begin(messages=said, user=USERNAME) as stream:
            assert ANSWER_CANARY in collect(stream).text
        with door.begin(messages=said) as stream:
            next(stream.events())
            stream.reset()
        for scenario in (
            "cut-by-reset",
            "status-500",
            "deepseek-401-key",
            "deepseek-422-parameters",
            "malformed-later",
        ):
            door.whole(messages=said, model=f"deepseek-flash@{scenario}", fallback=False)
        for body in (
            f'{{"messages":[{{"role":"user","content":"{PROMPT_CANARY}\\ud800"}}]}}',
            f'{{"messages":"{PROMPT_CANARY}"}}',
            f'{{"messages":[{{"role":"{PROMPT_CANARY}","content":"x"}}]}}',
            f'{{"messages":[],"{PROMPT_CANARY}":1',
        ):
            assert door.call(COMPLETIONS, body=body.encode())[0] == 400
        credentials = {"username": USERNAME, "password": PASSWORD}
        tokens = door.call("/api/v2/auth/token/", None, json=credentials)[2]
        door.call("/api/v2/auth/token/", None, json=credentials | {"password": PASSWORD + "!"})
        door.call("/api/v2/auth/token/refresh/", None, json={"refresh": tokens["refresh"]})
        door.call("/api/v2/auth/token/verify/", None, json={"token": tokens["access"]})
        door.call(COMPLETIONS, None, headers={"Authorization": f"Bearer {tokens['access']}"})
        door.call(COMPLETIONS, None, headers={"Authorization": f"Bearer {tokens['access']}x"})
        door.call("/api/v2/auth/logout/", None, json={"refresh": tokens["refresh"]})
        door.wait_active(0)

        output = door.server.output()
        for secret in (KEY, KEY[-4:], PASSWORD, PROMPT_CANARY, ANSWER_CANARY, *tokens.values()):
            assert secret not in output
        # A token is told by its signature as well.
        assert not any(token.rpartition(".")[2] in output for token in tokens.values())
        assert door.server.env["SECRET_KEY"] not in output
        assert "Traceback" not in output

    def test_nothing_breaks_out_of_its_line(self, door: Door) -> None:
        request_id, headers = named()
        forged = '%0A{"logger":"promptcraft.request","message":"forged"}%0A'
        door.call(f"{COMPLETIONS}{forged}/", headers=headers)
        assert line_of(door, request_id)["path"] == f"{COMPLETIONS}{{completion_id}}/"
        for line in door.server.output().splitlines():
            if line.startswith("{"):
                assert json.loads(line)["message"] != "forged"


@each("given", ["", "x" * 129, "a b", "a/b", "é", '"', "a,b"])
def test_a_request_id_that_is_no_good_is_replaced(door: Door, given: str) -> None:
    _, headers, _ = door.call(HEALTH, None, headers={"X-Request-Id": given})
    replaced = headers["x-request-id"]
    assert replaced != given
    assert line_of(door, replaced)["path"] == HEALTH


def test_a_trace_goes_on(door: Door) -> None:
    request_id, header = named()
    trace_id = uuid.uuid4().hex
    parent = f"00-{trace_id}-{'b' * 16}-01"
    _, headers, _ = door.call(HEALTH, None, headers=header | {"traceparent": parent})
    assert headers["traceparent"].startswith(f"00-{trace_id}-")
    assert headers["traceparent"] != parent
    assert line_of(door, request_id)["trace_id"] == trace_id
