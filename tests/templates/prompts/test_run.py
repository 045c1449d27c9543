"""`POST prompts/run/`: intent, templates, optimisation and the answer as one call, each told as it is ready."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sse_client import SseStream
from tests.templates.prompts.test_optimize import BETTER, OBEYED
from tests.templates.workbench import Workbench, events_of, intent_of
from tests.upstream import Answer, Gate, healthy

COMPLETIONS = "/api/v2/chat/completions/"
QUERY = "product description of a rain coat for my shop"
STEPS = ["intent", "templates", "optimization", "completion"]
REWRITTEN = BETTER.replace("{{ product }}", "a rain coat")
TEXT = "It keeps you dry."


def steps_of(events: list[tuple[str | None, Any]]) -> dict[str, Any]:
    """Check the order of a whole run's events and return its steps by their names."""
    names = [name for name, _ in events]
    assert names[:4] == STEPS
    assert set(names[4:]) == {None}
    assert events[-1][1] == "[DONE]"
    return {str(name): data for name, data in events[:4]}


def text_of(events: list[tuple[str | None, Any]]) -> str:
    chunks = [data for name, data in events if name is None and data != "[DONE]"]
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


def read(stream: SseStream) -> list[tuple[str | None, Any]]:
    with stream:
        assert stream.status == 200
        return events_of(stream)


class TestRules:
    def test_all_steps_and_the_mocks_answer(self, by_rules: Workbench):
        user = by_rules.new_user()
        events = read(by_rules.open("run", {"query": QUERY}, user=user))
        steps = steps_of(events)
        assert steps["intent"]["source"] == steps["optimization"]["source"] == "rules"
        assert "suggested_templates" not in steps["intent"]
        assert set(steps["templates"]) == {"found", "used"}
        assert steps["optimization"]["original"] == QUERY
        (row,) = by_rules.completions(user)
        assert steps["completion"] == {"id": row["id"], "events": f"{COMPLETIONS}{row['id']}/events/"}
        assert text_of(events) == row["choices"][0]["message"]["content"]

    def test_whole(self, by_rules: Workbench):
        answer = by_rules.answer("run", {"query": QUERY, "stream": False})
        assert list(answer) == STEPS
        assert answer["completion"]["object"] == "chat.completion"
        assert answer["completion"]["status"] == "completed"

    def test_variables_fill_a_template_that_goes_before_the_query(self, by_rules: Workbench):
        before = by_rules.uses("public")
        body = {"query": "when does the tide turn", "variables": {"topic": "spring tides"}}
        events = read(by_rules.open("run", body, user=by_rules.new_user()))
        steps = steps_of(events)
        slug = steps["templates"]["used"]
        assert slug in [one["slug"] for one in steps["templates"]["found"]]
        original = steps["optimization"]["original"]
        assert "write of spring tides in a calm tone.\n\nwhen does the tide turn" in original
        assert (slug, by_rules.uses("public")) == ("public", before + 1)

    def test_variables_that_fill_none(self, by_rules: Workbench):
        body = {"query": "when does the tide turn", "variables": {"moon": "new"}}
        steps = steps_of(read(by_rules.open("run", body)))
        assert steps["templates"]["found"]
        assert steps["templates"]["used"] is None
        assert steps["optimization"]["original"] == "when does the tide turn"


class TestModel:
    def test_each_step_is_told_as_it_is_ready(self, workbench: Workbench):
        gates = [Gate(), Gate(), Gate()]
        for gate, text in zip(gates, (intent_of("product_description"), REWRITTEN, TEXT), strict=True):
            workbench.upstream.script("deepseek", healthy(answer=Answer(pieces=(text,)), gate=gate), 1)
        with workbench.open("run", {"query": QUERY, "temperature": 0.1}) as stream:
            events = stream.events()
            gates[0].release()
            assert next(events).event == "intent"
            assert next(events).event == "templates"
            gates[1].wait_reached()
            gates[1].release()
            optimization = next(events)
            assert (optimization.event, optimization.json()["optimized"]) == ("optimization", REWRITTEN)
            gates[2].wait_reached()
            gates[2].release()
            completion = next(events)
            assert completion.event == "completion"
            first = next(events)
            assert first.id == "1"
            assert first.json()["id"] == completion.json()["id"]
            assert [event.data for event in events][-1] == "[DONE]"
        answered = workbench.asked()[2]
        assert answered["messages"] == [{"role": "user", "content": REWRITTEN}]
        assert answered["temperature"] == 0.1

    def test_answer_is_resumed_where_completions_are(self, workbench: Workbench):
        workbench.says(intent_of(), REWRITTEN, Answer(text="It keeps you dry in the rain."))
        events = read(workbench.open("run", {"query": QUERY}))
        with workbench.server.open(f"{steps_of(events)['completion']['events']}?after=2") as stream:
            rest = events_of(stream)
        assert text_of(events).endswith(text_of(rest))
        assert text_of(rest)

    def test_model_that_is_down_for_the_steps(self, workbench: Workbench):
        workbench.upstream.script("deepseek", "status-500", 1)
        workbench.upstream.script("deepseek", "malformed-first", 1)
        workbench.says(TEXT)
        events = read(workbench.open("run", {"query": QUERY}))
        steps = steps_of(events)
        assert steps["intent"]["source"] == steps["optimization"]["source"] == "rules"
        assert text_of(events) == TEXT

    def test_model_that_is_down_for_the_answer(self, workbench: Workbench):
        workbench.says(intent_of(), REWRITTEN)
        workbench.upstream.script("deepseek", "status-500")
        events = read(workbench.open("run", {"query": QUERY}))
        assert [name for name, _ in events] == [*STEPS[:3], None]
        error = events[-1][1]
        assert error["error"]["code"] == "all_providers_failed"
        assert error["choices"][0]["finish_reason"] == "error"

    def test_true_status_of_the_answer_in_one_piece(self, workbench: Workbench):
        workbench.says(intent_of(), REWRITTEN)
        workbench.upstream.script("deepseek", "status-500")
        status, _, answer = workbench.ask("run", {"query": QUERY, "stream": False})
        assert (status, answer["error"]["code"]) == (502, "all_providers_failed")

    @pytest.mark.parametrize("held", [0, 1, 2])
    def test_client_that_leaves_stops_the_step_under_way(self, workbench: Workbench, held: int):
        user = workbench.new_user()
        workbench.says(*[intent_of(), REWRITTEN][:held])
        workbench.upstream.script("deepseek", healthy(gate=Gate()))
        stream = workbench.open("run", {"query": QUERY}, user=user)
        workbench.upstream.wait_for(lambda journal: len(journal) == held + 1)
        stream.close()
        workbench.soon_hung_up()
        assert len(workbench.asked()) == held + 1


class TestRate:
    def test_three_slots(self, strict: Workbench):
        user = strict.new_user()
        strict.says(intent_of(), REWRITTEN, TEXT)
        steps = steps_of(read(strict.open("run", {"query": QUERY}, user=user)))
        assert steps["intent"]["source"] == steps["optimization"]["source"] == "model"
        for stream in (True, False):
            status, headers, answer = strict.ask("run", {"query": QUERY, "stream": stream}, user=user)
            assert (status, answer["error"]["code"]) == (429, "rate_limited")
            assert int(headers["retry-after"]) >= 1
        assert len(strict.asked()) == 3

    def test_last_slot_is_the_answers(self, strict: Workbench):
        user = strict.new_user()
        strict.says(TEXT, TEXT)
        for _ in range(2):
            strict.ask("generate", {"prompt": "Tell me.", "stream": False}, user=user)
        events = read(strict.open("run", {"query": QUERY}, user=user))
        steps = steps_of(events)
        assert steps["intent"]["source"] == steps["optimization"]["source"] == "rules"

    def test_second_try_leaves_the_answers_slot(self, strict: Workbench):
        user = strict.new_user()
        strict.says(intent_of(), OBEYED, TEXT)
        events = read(strict.open("run", {"query": QUERY}, user=user))
        assert steps_of(events)["optimization"]["unchanged"]
        assert text_of(events) == TEXT
