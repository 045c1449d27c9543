"""`POST prompts/intent/`: by a model where there is one, by rules where there is none or it does not do its job."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apps.templates.answers import Entities
from apps.templates.categories import CATEGORIES, UNKNOWN
from tests.templates.workbench import Workbench, events_of, intent_of
from tests.upstream import Answer, Gate, healthy

QUERY = "write a cheerful blog post about sourdough for home bakers, 600 words, by Friday"
MEMBERS = {"category", "confidence", "alternatives", "language", "entities", "suggested_templates", "source"}
ENTITIES = set(Entities.__dataclass_fields__)


def check(answer: dict[str, Any], source: str) -> None:
    """Check what every answer is, whoever made it."""
    assert set(answer) == MEMBERS
    assert answer["source"] == source
    assert answer["category"] in (*CATEGORIES, UNKNOWN)
    assert 0 <= answer["confidence"] <= 1
    assert set(answer["entities"]) == ENTITIES
    assert all(set(one) == {"category", "confidence"} for one in answer["alternatives"])
    assert answer["category"] not in [one["category"] for one in answer["alternatives"]]


class TestRules:
    def test_answer_at_once_and_count_nothing(self, by_rules: Workbench):
        user = by_rules.new_user()
        answer = by_rules.answer("intent", {"query": QUERY}, user=user)
        check(answer, "rules")
        assert answer["category"] == "blog_article"
        assert not by_rules.completions(user)

    def test_suggest_nothing_for_what_is_no_request(self, by_rules: Workbench):
        answer = by_rules.answer("intent", {"query": "hi, how are you today?"})
        check(answer, "rules")
        assert (answer["category"], answer["suggested_templates"]) == (UNKNOWN, [])

    def test_stream(self, by_rules: Workbench):
        with by_rules.open("intent", {"query": QUERY, "stream": True}) as stream:
            assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
            assert stream.headers["x-accel-buffering"] == "no"
            (name, answer), done = events_of(stream)
        assert (name, done) == ("intent", (None, "[DONE]"))
        check(answer, "rules")


class TestModel:
    def test_answers(self, workbench: Workbench):
        workbench.says(
            intent_of(
                "blog_article",
                0.93,
                alternatives=[{"category": "social_post", "confidence": 0.2}],
                entities={"audience": "HOME BAKERS", "deadline": "by Monday", "length": "600 words", "tone": None},
            )
        )
        user = workbench.new_user()
        answer = workbench.answer("intent", {"query": QUERY}, user=user, headers={"X-Request-Id": "intent-1"})
        check(answer, "model")
        assert (answer["category"], answer["confidence"]) == ("blog_article", 0.93)
        assert answer["alternatives"] == [{"category": "social_post", "confidence": 0.2}]
        # What the query does not say is not there, what it says is in its own words.
        assert {name: said for name, said in answer["entities"].items() if said} == {
            "audience": "home bakers",
            "length": "600 words",
        }
        (row,) = workbench.completions(user)
        assert (row["status"], row["provider"]) == ("completed", "deepseek")
        assert workbench.rows("SELECT request_id FROM chat_completion WHERE id = ?", row["id"]) == [("intent-1",)]

    def test_is_asked_for_json_without_warmth_and_shortly(self, workbench: Workbench):
        workbench.says(intent_of())
        workbench.answer("intent", {"query": QUERY})
        (asked,) = workbench.asked()
        assert asked["response_format"] == {"type": "json_object"}
        assert asked["temperature"] == 0
        assert asked["max_tokens"] <= 500
        assert asked["thinking"] == {"type": "disabled"}
        system, user = asked["messages"]
        assert (system["role"], user["role"]) == ("system", "user")
        assert QUERY in user["content"]
        assert QUERY not in system["content"]

    def test_takes_one_slot_and_says_so(self, strict: Workbench):
        user = strict.new_user()
        strict.says(intent_of())
        _, headers, _ = strict.ask("intent", {"query": QUERY}, user=user)
        assert (headers["x-ratelimit-limit"], headers["x-ratelimit-remaining"]) == ("3", "2")

    @pytest.mark.parametrize(
        ("written", "expected"),
        [
            ({"category": "poetry_slam"}, {"category": UNKNOWN}),
            ({"confidence": 7}, {"confidence": 1.0}),
            ({"confidence": -0.5}, {"confidence": 0.0}),
            ({"language": "English"}, {}),
            ({"language": "DE"}, {}),
            ({"alternatives": "many"}, {"alternatives": []}),
            ({"alternatives": [1, {"category": "seo"}, {"category": "seo", "confidence": True}]}, {"alternatives": []}),
            (
                {
                    "alternatives": [
                        {"category": "seo", "confidence": 0.1},
                        {"category": "poetry_slam", "confidence": 0.9},
                        {"category": "blog_article", "confidence": 0.8},
                        {"category": "research", "confidence": 3},
                        {"category": "seo", "confidence": 0.9},
                    ]
                },
                {
                    "alternatives": [
                        {"category": "research", "confidence": 1.0},
                        {"category": "seo", "confidence": 0.1},
                    ]
                },
            ),
            ({"entities": {"audience": ["home bakers"], "tone": "", "product": "x" * 999}}, {}),
            ({"entities": "none", "more": {"deep": [1]}}, {}),
        ],
        ids=str,
    )
    def test_what_it_says_is_kept_within_bounds(self, workbench: Workbench, written: Any, expected: Any):
        workbench.says(intent_of(**{"category": "blog_article", "confidence": 0.9} | written))
        answer = workbench.answer("intent", {"query": QUERY})
        check(answer, "model")
        assert answer["language"] == "en"
        for name, value in expected.items():
            assert answer[name] == value

    @pytest.mark.parametrize("fence", ["```json\n%s\n```", "```\n%s\n```\n", "\n %s \n"])
    def test_fenced_answer_is_taken_out(self, workbench: Workbench, fence: str):
        workbench.says(fence % intent_of("seo"))
        assert workbench.answer("intent", {"query": QUERY})["category"] == "seo"


class TestFailures:
    @pytest.mark.parametrize(
        "text",
        [
            "Sure! Here is a blog post about sourdough.",
            "[]",
            "null",
            '"blog_article"',
            "{}",
            '{"category": "seo"}',
            '{"confidence": 0.9}',
            '{"category": 3, "confidence": 0.9}',
            '{"category": "seo", "confidence": "high"}',
            '{"category": "seo", "confidence": true}',
            '{"category": "seo", "confidence": NaN}',
            '{"category": "seo", "confidence": 0.9',
            '{"category": "seo", "confidence": 0.9} {}',
            json.dumps({"category": "seo", "confidence": 0.9, "padding": "x" * 9_000}),
        ],
        ids=lambda text: text[:40],
    )
    def test_broken_answer(self, workbench: Workbench, text: str):
        workbench.says(text)
        check(workbench.answer("intent", {"query": QUERY}), "rules")

    @pytest.mark.parametrize(
        "answer",
        [
            Answer(pieces=(intent_of("seo"),), finish="length"),
            Answer(pieces=(intent_of("seo"),), finish="content_filter"),
            Answer(refusal="I cannot help with that."),
        ],
        ids=["cut", "filtered", "refused"],
    )
    def test_answer_that_is_none(self, workbench: Workbench, answer: Answer):
        workbench.says(answer)
        check(workbench.answer("intent", {"query": QUERY}), "rules")

    @pytest.mark.parametrize(
        "scenario",
        [
            "status-401",
            "deepseek-400-content-risk",
            "deepseek-429-concurrency",
            "deepseek-503-overloaded",
            "reset-before-answer",
            "cut-by-reset",
            "error-event-later",
            "done-without-finish",
            "malformed-first",
        ],
    )
    def test_provider_that_fails(self, workbench: Workbench, scenario: str):
        workbench.upstream.script("deepseek", scenario)
        check(workbench.answer("intent", {"query": QUERY}), "rules")

    def test_provider_without_end(self, workbench: Workbench):
        workbench.upstream.script("deepseek", "stall")
        user = workbench.new_user()
        check(workbench.answer("intent", {"query": QUERY}, user=user), "rules")
        workbench.soon_hung_up()
        assert workbench.completions(user)[0]["status"] == "cancelled"

    def test_callers_rate_limit_is_the_callers(self, strict: Workbench):
        user = strict.new_user()
        strict.says(*[intent_of()] * 3)
        for _ in range(3):
            strict.answer("intent", {"query": QUERY}, user=user)
        for body in ({"query": QUERY}, {"query": QUERY, "stream": True}):
            status, headers, answer = strict.ask("intent", body, user=user)
            assert (status, answer["error"]["code"]) == (429, "rate_limited")
            assert int(headers["retry-after"]) >= 1
            assert headers["x-ratelimit-remaining"] == "0"
        assert len(strict.asked()) == 3


class TestStream:
    def test_pings_while_the_model_works(self, workbench: Workbench):
        gate = Gate()
        workbench.upstream.script("deepseek", healthy(answer=Answer(pieces=(intent_of("seo"),)), gate=gate))
        with workbench.open("intent", {"query": QUERY, "stream": True}) as stream:
            # The head is here though the model has said nothing.
            assert stream.status == 200
            lines = stream.lines()
            assert next(lines).data == b": ping"
            gate.release()
            events = events_of(stream)
        assert [name for name, _ in events] == ["intent", None]
        assert events[0][1]["category"] == "seo"

    @pytest.mark.parametrize("stream", [True, False])
    def test_client_that_leaves_stops_the_model(self, workbench: Workbench, stream: bool):
        gate = Gate()
        workbench.upstream.script("deepseek", healthy(gate=gate))
        user = workbench.new_user()
        if stream:
            workbench.open("intent", {"query": QUERY, "stream": True}, user=user).close()
        else:
            workbench.leave("intent", {"query": QUERY}, at=gate, user=user)
        workbench.soon_hung_up()
