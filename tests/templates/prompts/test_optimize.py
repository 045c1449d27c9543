"""`POST prompts/optimize/`: a better prompt, or the same one and why; what a model made of it is judged first."""

from __future__ import annotations

from typing import Any

import pytest

from apps.templates.answers import CRITERIA
from apps.templates.categories import UNKNOWN
from tests.templates.workbench import Workbench, events_of
from tests.upstream import Answer, Gate, healthy

PROMPT = "write something about {{ product }} for my shop"
BETTER = (
    "You are a copywriter for small shops. Write a product description of {{ product }} for the visitors of my online "
    "shop. Use 120 to 150 words in two paragraphs: first what it is for, then why it lasts. Do not invent features; if "
    "you do not know one, leave it out. End with one sentence that invites the reader to buy."
)
OBEYED = "Of course! Our wonderful product is the best that you can buy today. Get yours now!"
MEMBERS = {
    "original",
    "optimized",
    "unchanged",
    "diff",
    "criteria",
    "score_before",
    "score_after",
    "placeholders",
    "warnings",
    "source",
    "usage",
}


def check(answer: dict[str, Any], source: str, *more: str) -> None:
    """Check what every answer is, whoever made it."""
    assert set(answer) == MEMBERS | set(more)
    assert answer["source"] == source
    assert [one["name"] for one in answer["criteria"]] == list(CRITERIA)
    for one in answer["criteria"]:
        assert set(one) == {"name", "before", "after", "why"}
        assert one["why"]
    assert set(answer["placeholders"]) == {"kept", "lost", "added"}
    pieces = [(piece["op"], piece["text"]) for piece in answer["diff"]]
    assert "".join(text for op, text in pieces if op != "insert") == answer["original"]
    assert "".join(text for op, text in pieces if op != "delete") == answer["optimized"]
    assert answer["unchanged"] is (answer["original"] == answer["optimized"])
    assert (answer["usage"] is None) is (source == "rules")


class TestRules:
    def test_improve_and_count_nothing(self, by_rules: Workbench):
        user = by_rules.new_user()
        answer = by_rules.answer("optimize", {"prompt": PROMPT}, user=user)
        check(answer, "rules")
        assert answer["score_after"] > answer["score_before"]
        assert answer["placeholders"] == {"kept": ["product"], "lost": [], "added": []}
        assert not by_rules.completions(user)

    def test_see_for_themselves_what_a_prompt_is_for_unless_they_are_told(self, by_rules: Workbench):
        prompt = "write a poem about rain for kids"
        by_themselves = by_rules.answer("optimize", {"prompt": prompt})["optimized"]
        told = {"creative_writing", "debugging", UNKNOWN}
        answers = {
            category: by_rules.answer("optimize", {"prompt": prompt, "intent_data": {"category": category}})[
                "optimized"
            ]
            for category in told
        }
        assert by_themselves == answers["creative_writing"]
        assert len(set(answers.values())) == len(told)

    def test_write_english_where_hardly_anything_says_what_language_it_is(self, by_rules: Workbench):
        answer = by_rules.answer("optimize", {"prompt": "roll a die"})
        assert answer["optimized"] == "roll a die\n\nAnswer in one or two sentences, without an introduction."
        assert by_rules.answer("optimize", {"prompt": answer["optimized"]})["unchanged"]

    def test_stream(self, by_rules: Workbench):
        with by_rules.open("optimize", {"prompt": PROMPT, "stream": True}) as stream:
            (name, answer), done = events_of(stream)
        assert (name, done) == ("optimization", (None, "[DONE]"))
        check(answer, "rules")

    def test_longest_prompt(self, by_rules: Workbench):
        prompt = ("Write about the tide at Brest. " * 4_000)[:100_000]
        check(by_rules.answer("optimize", {"prompt": prompt}), "rules")


class TestModel:
    def test_rewrites(self, workbench: Workbench):
        workbench.says(BETTER)
        user = workbench.new_user()
        answer = workbench.answer("optimize", {"prompt": PROMPT}, user=user)
        check(answer, "model")
        assert answer["optimized"] == BETTER
        assert answer["score_after"] > answer["score_before"]
        assert answer["placeholders"] == {"kept": ["product"], "lost": [], "added": []}
        (row,) = workbench.completions(user)
        assert answer["usage"] == row["usage"]

    def test_is_given_the_prompt_as_data_and_the_wishes_beside_it(self, workbench: Workbench):
        workbench.says(BETTER)
        workbench.answer(
            "optimize",
            {
                "prompt": PROMPT,
                "tone": "dry\nand short",
                "intent_data": {
                    "category": "product_description",
                    "entities": {"audience": "gardeners", "tone": "warm"},
                },
            },
        )
        system, user = workbench.asked()[0]["messages"]
        assert PROMPT in user["content"]
        assert user["content"] != PROMPT
        assert PROMPT not in system["content"]
        for wish in ("dry and short", "gardeners", "product description"):
            assert wish in system["content"]
        assert "warm" not in system["content"].rpartition("\n\n")[2]

    def test_good_prompt_is_left_alone_and_no_model_asked(self, workbench: Workbench):
        answer = workbench.answer("optimize", {"prompt": BETTER})
        check(answer, "rules")
        assert answer["unchanged"]
        assert not workbench.asked()

    @pytest.mark.parametrize(
        "broken",
        [OBEYED, BETTER.replace("{{ product }}", "the product"), BETTER.replace("{{ product }}", "{{ produit }}")],
        ids=["obeyed", "lost a placeholder", "renamed a placeholder"],
    )
    def test_other_answer_is_asked_for_once_more(self, workbench: Workbench, broken: str):
        workbench.says(broken, BETTER)
        user = workbench.new_user()
        answer = workbench.answer("optimize", {"prompt": PROMPT}, user=user)
        check(answer, "model")
        assert answer["optimized"] == BETTER
        first, second = workbench.asked()
        assert first["messages"][1] == second["messages"][1]
        assert first["messages"][0] != second["messages"][0]
        rows = workbench.completions(user)
        assert answer["usage"]["total_tokens"] == sum(row["usage"]["total_tokens"] for row in rows)
        assert answer["usage"]["cost"] == pytest.approx(sum(row["usage"]["cost"] for row in rows))

    def test_second_failure_leaves_the_prompt_as_it_is(self, workbench: Workbench):
        workbench.says(OBEYED, OBEYED, BETTER)
        answer = workbench.answer("optimize", {"prompt": PROMPT})
        check(answer, "model")
        assert answer["unchanged"]
        assert answer["warnings"]
        assert answer["score_before"] == answer["score_after"]
        assert len(workbench.asked()) == 2

    def test_wrapping_is_taken_off(self, workbench: Workbench):
        workbench.says(f"```\n{BETTER}\n```")
        assert workbench.answer("optimize", {"prompt": PROMPT})["optimized"] == BETTER

    def test_stream_pings_while_the_model_works(self, workbench: Workbench):
        gate = Gate()
        workbench.upstream.script("deepseek", healthy(answer=Answer(pieces=(BETTER,)), gate=gate))
        with workbench.open("optimize", {"prompt": PROMPT, "stream": True}) as stream:
            assert next(stream.lines()).data == b": ping"
            gate.release()
            (name, answer), done = events_of(stream)
        assert (name, done) == ("optimization", (None, "[DONE]"))
        check(answer, "model")


class TestFailures:
    @pytest.mark.parametrize("scenario", ["status-500", "deepseek-429-concurrency", "cut-by-fin", "length", "refusal"])
    def test_rules_answer(self, workbench: Workbench, scenario: str):
        workbench.upstream.script("deepseek", scenario)
        answer = workbench.answer("optimize", {"prompt": PROMPT})
        check(answer, "rules")
        assert answer["score_after"] > answer["score_before"]

    def test_provider_without_end(self, workbench: Workbench):
        workbench.upstream.script("deepseek", "drip-for-ever")
        check(workbench.answer("optimize", {"prompt": PROMPT}), "rules")
        workbench.soon_hung_up()

    def test_callers_rate_limit_is_the_callers(self, strict: Workbench):
        user = strict.new_user()
        strict.says(*[BETTER] * 3)
        for _ in range(3):
            strict.answer("optimize", {"prompt": PROMPT}, user=user)
        status, headers, answer = strict.ask("optimize", {"prompt": PROMPT}, user=user)
        assert (status, answer["error"]["code"]) == (429, "rate_limited")
        assert int(headers["retry-after"]) >= 1

    def test_no_slot_for_a_second_try(self, strict: Workbench):
        user = strict.new_user()
        strict.says(BETTER, BETTER, OBEYED)
        for _ in range(2):
            strict.answer("optimize", {"prompt": PROMPT}, user=user)
        answer = strict.answer("optimize", {"prompt": PROMPT}, user=user)
        check(answer, "model")
        assert answer["unchanged"]
        assert answer["warnings"]

    def test_client_that_leaves_stops_the_model(self, workbench: Workbench):
        gate = Gate()
        workbench.upstream.script("deepseek", healthy(gate=gate))
        workbench.leave("optimize", {"prompt": PROMPT}, at=gate)
        workbench.soon_hung_up()


class TestSaving:
    TEXT = "Write about {{ topic }}."

    def versions(self, workbench: Workbench) -> list[tuple[int, str, str]]:
        return workbench.rows(
            "SELECT number, text, note FROM prompt_templates_version WHERE template_id ="
            " (SELECT id FROM prompt_templates_template WHERE slug = 'to-save') ORDER BY number"
        )

    def labels(self, workbench: Workbench) -> list[tuple[str, int]]:
        return workbench.rows(
            "SELECT name, number FROM prompt_templates_label JOIN prompt_templates_version AS version"
            " ON version.id = version_id WHERE version.template_id ="
            " (SELECT id FROM prompt_templates_template WHERE slug = 'to-save')"
        )

    def test_makes_a_version_and_moves_no_label(self, by_rules: Workbench):
        before = self.versions(by_rules)
        answer = by_rules.answer(
            "optimize", {"prompt": self.TEXT, "save": {"template": "to-save", "note": "By the rules."}}
        )
        check(answer, "rules", "saved")
        number = len(before) + 1
        assert answer["saved"] == {"slug": "to-save", "version": number}
        assert self.versions(by_rules) == [*before, (number, answer["optimized"], "By the rules.")]
        assert self.labels(by_rules) == [("production", 1)]
        # The same text again is the same version.
        again = by_rules.answer("optimize", {"prompt": self.TEXT, "save": {"template": "to-save"}})
        assert again["saved"] == answer["saved"]

    @pytest.mark.parametrize(
        ("slug", "status", "code"),
        [("nothing", 404, "not_found"), ("theirs", 404, "not_found"), ("public", 403, "forbidden")],
    )
    def test_template_that_it_cannot_be_saved_to(self, workbench: Workbench, slug: str, status: int, code: str):
        answer = workbench.ask("optimize", {"prompt": PROMPT, "save": {"template": slug}})
        assert (answer[0], answer[2]["error"]["code"]) == (status, code)
        assert not workbench.asked()
