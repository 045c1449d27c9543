"""`POST prompts/generate/`: the same completion as one that is asked for with the text as its only message."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.sse_answer import collect
from tests.sse_client import SseStream
from tests.templates.workbench import Workbench
from tests.upstream import Gate, healthy

COMPLETIONS = "/api/v2/chat/completions/"
SAID = "Write of ebb in a loud tone."
OWN = {"prompt": "Write of {{ what }} in a {{ how }} tone.", "variables": {"what": "ebb", "how": "loud"}}
_VARYING = re.compile(
    r"chatcmpl-[0-9a-f]+|req_[0-9a-f]+|\"created\":\s?\d+|\"(?:created|started_at|ended_at|ttft_ms)\": ?[\d.]+"
)


def told(stream: SseStream) -> tuple[int, dict[str, str], str]:
    """Return status, headers and body of an answer, without what no two answers have in common."""
    body = _VARYING.sub("*", stream.read().decode())
    unlike = ("date", "x-request-id", "traceparent", "content-length", "x-promptcraft-completion-id")
    headers = {name: value for name, value in stream.headers.items() if name not in unlike and "ratelimit" not in name}
    return stream.status, headers, body


class TestParity:
    """The body of either route, the same script behind it: the same bytes in front."""

    @pytest.mark.parametrize(
        "chat",
        [
            {},
            {"stream": False},
            {"stream_options": {"include_usage": True}},
            {"model": "deepseek-v4-pro", "temperature": 0.2, "max_tokens": 4},
            {"model": "nobody-7"},
            {"temperature": "warm"},
            {"max_tokens": 0},
            {"stop": 7},
            {"on_disconnect": "stay"},
            {"stream": True, "fallback": False},
            {"tools": [{"type": "function", "function": {"name": "tide"}}], "response_format": {"type": "text"}},
            {"session_id": "s-1", "timestamp": 7, "presence_penalty": 0.5},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("scenario", ["healthy", "status-500", "error-event-later", "reasoning"])
    def test_answers_and_refusals(self, workbench: Workbench, chat: dict[str, Any], scenario: str):
        workbench.upstream.script("deepseek", scenario)
        plain = {"messages": [{"role": "user", "content": SAID}], "stream": True} | chat
        with workbench.server.open(COMPLETIONS, json=plain) as stream:
            expected = told(stream)
        with workbench.open("generate", OWN | chat) as stream:
            assert told(stream) == expected
        bodies = workbench.asked()
        assert bodies[: len(bodies) // 2] == bodies[len(bodies) // 2 :]

    def test_rows(self, workbench: Workbench):
        user = workbench.new_user()
        workbench.server.call(COMPLETIONS, user=user, json={"messages": [{"role": "user", "content": SAID}]})
        workbench.ask("generate", OWN | {"stream": False}, user=user)
        rows = [
            {name: value for name, value in row.items() if name not in ("id", "created", "attempts")}
            for row in workbench.completions(user)
        ]
        assert rows[0] == rows[1]

    def test_rate_window(self, strict: Workbench):
        user = strict.new_user()
        lefts = []
        for _ in range(3):
            with strict.open("generate", OWN, user=user) as stream:
                assert stream.status == 200
                stream.read()
                lefts.append(stream.headers["x-ratelimit-remaining"])
        assert lefts == ["2", "1", "0"]
        status, headers, answer = strict.ask("generate", OWN, user=user)
        assert (status, answer["error"]["code"]) == (429, "rate_limited")
        assert headers["x-ratelimit-remaining"] == "0"
        assert len(strict.asked()) == 3
        # What was done before the completion was refused is the workbench's, and counts there.
        again = strict.ask("generate", OWN, user=user)[1]
        assert workbench_left(again["ratelimit"]) == workbench_left(headers["ratelimit"]) - 1


def workbench_left(ratelimit: str) -> int:
    return int(ratelimit.partition('"workbench";r=')[2].partition(";")[0])


class TestStream:
    def test_is_the_default(self, workbench: Workbench):
        with workbench.open("generate", {"prompt": "When does the tide turn?"}) as stream:
            assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
            assert stream.headers["x-promptcraft-provider"] == "deepseek"
            answer = collect(stream)
        assert answer.done
        assert answer.finish == "stop"

    def test_resumes_where_completions_do(self, workbench: Workbench):
        with workbench.open("generate", {"prompt": "Tell me."}) as stream:
            completion_id = stream.headers["x-promptcraft-completion-id"]
            whole = collect(stream)
        with workbench.server.open(f"{COMPLETIONS}{completion_id}/events/?after=3") as stream:
            rest = collect(stream)
        assert rest.ids[0] > 3
        assert whole.text.endswith(rest.text)
        assert rest.text

    def test_is_cancelled_where_completions_are(self, workbench: Workbench):
        gate = Gate()
        workbench.upstream.script("deepseek", healthy(gate=gate, gate_after=2))
        with workbench.open("generate", {"prompt": "Tell me."}) as stream:
            completion_id = stream.headers["x-promptcraft-completion-id"]
            status, _, _ = workbench.server.call(f"{COMPLETIONS}{completion_id}/cancel/", method="POST")
            answer = collect(stream)
        assert (status, answer.finish, answer.done) == (200, "cancelled", True)

    def test_client_that_leaves_stops_the_model(self, workbench: Workbench):
        workbench.upstream.script("deepseek", healthy(gate=Gate(), gate_after=2))
        workbench.open("generate", {"prompt": "Tell me."}).close()
        workbench.soon_hung_up()

    def test_same_key_same_completion(self, workbench: Workbench):
        body = {"template": "public", "variables": {"topic": "ebb"}}
        key = {"Idempotency-Key": "generate-once"}
        user, before = workbench.new_user(), workbench.uses("public")
        with workbench.open("generate", body, user=user, headers=key) as stream:
            first, first_id = collect(stream).text, stream.headers["x-promptcraft-completion-id"]
        with workbench.open("generate", body, user=user, headers=key) as stream:
            assert stream.headers["idempotent-replay"] == "true"
            assert stream.headers["x-promptcraft-completion-id"] == first_id
            assert collect(stream).text == first
        assert workbench.uses("public") == before + 1
        status, _, answer = workbench.ask("generate", body | {"prompt": "Shorter."}, user=user, headers=key)
        assert (status, answer["error"]["code"]) == (409, "idempotency_conflict")


class TestTexts:
    def said(self, workbench: Workbench, body: dict[str, Any]) -> str:
        workbench.answer("generate", body | {"stream": False})
        (message,) = workbench.asked()[-1]["messages"]
        assert message["role"] == "user"
        return str(message["content"])

    @pytest.mark.parametrize(
        ("body", "text"),
        [
            ({}, "A: write of ebb in a calm tone."),
            ({"label": "staging"}, "B: write of ebb in a calm tone."),
            ({"version": 3}, "C: write of ebb in a calm tone."),
            ({"prompt": "Two lines, {{ topic }}."}, "A: write of ebb in a calm tone.\n\nTwo lines, {{ topic }}."),
        ],
        ids=str,
    )
    def test_template(self, workbench: Workbench, body: dict[str, Any], text: str):
        assert self.said(workbench, {"template": "mine", "variables": {"topic": "ebb"}} | body) == text
        assert workbench.uses("mine") == 1

    def test_template_without_a_label_is_its_newest_version(self, workbench: Workbench):
        said = self.said(workbench, {"template": "unlabelled", "variables": {"topic": "ebb", "tone": "loud"}})
        assert said == "B: write of ebb in a loud tone."

    def test_public_template_of_another(self, workbench: Workbench):
        assert self.said(workbench, {"template": "public", "variables": {"topic": "ebb"}}).startswith("A: ")

    def test_prompt_without_variables_is_as_it_is(self, workbench: Workbench):
        hostile = "{{ topic }} {% load %} {0.__class__} ${x} {{ constructor }}"
        assert self.said(workbench, {"prompt": hostile}) == hostile

    def test_variables_of_a_prompt(self, workbench: Workbench):
        body = {
            "prompt": "{{ a }}|{{ b }}|{{ c }}|{{ d }}|{{ a }}",
            "variables": {"a": "x\n{{ b }}", "b": 3, "c": True, "d": ["p", "q"]},
        }
        assert self.said(workbench, body) == "x\n{{ b }}|3|yes|- p\n- q|x\n{{ b }}"

    @pytest.mark.parametrize(
        ("body", "status", "param"),
        [
            ({"template": "nothing"}, 404, None),
            ({"template": "theirs", "variables": {"topic": "ebb"}}, 404, None),
            ({"template": "../mine"}, 404, None),
            ({"template": "mine"}, 400, "variables.topic"),
            ({"template": "mine", "variables": {"topic": "ebb", "tone": "shrill"}}, 400, "variables.tone"),
            ({"template": "mine", "variables": {"topic": "ebb", "moon": "new"}}, 400, "variables.moon"),
            ({"template": "mine", "variables": {"topic": "ebb"}, "version": 9}, 400, "version"),
            ({"template": "unlabelled", "variables": {"topic": "ebb"}, "label": "staging"}, 400, "label"),
            ({"prompt": "{{ a }}" * 2, "variables": {"a": "x" * 400_000}}, 400, "variables"),
        ],
        ids=lambda value: str(value)[:60],
    )
    def test_what_cannot_be_filled_in(self, workbench: Workbench, body: dict[str, Any], status: int, param: str | None):
        answer = workbench.ask("generate", body)
        assert (answer[0], answer[2]["error"]["param"]) == (status, param)
        assert "x-ratelimit-remaining" in answer[1]
        assert not workbench.asked()

    def test_refused_completion_is_no_use_of_the_template(self, workbench: Workbench):
        before = workbench.uses("public")
        body = {"template": "public", "variables": {"topic": "ebb"}, "temperature": 9}
        status, _, _ = workbench.ask("generate", body, user=workbench.new_user())
        assert status == 400
        assert workbench.uses("public") == before
