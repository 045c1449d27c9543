"""The scorer: right about templates and queries, explained, and not to be had by padding."""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from apps.templates.answers import CRITERIA
from apps.templates.library.starter_library import read_library
from apps.templates.rules.rewriting import GOOD_TOTAL
from apps.templates.rules.scoring import WEIGHTS, score_prompt
from tests.each import each

QUERIES = [
    json.loads(line)["query"]
    for line in (Path(__file__).parents[1] / "intents.jsonl").read_text(encoding="utf-8").splitlines()
]
TASKS = (
    "Write a blog post about dogs",
    "blog post about dogs",
    "How do I descale a kettle?",
    "Summarise this: {{ article }}",
    "Schreibe einen Artikel über Balkonpflanzen.",
    "Rédige une lettre de motivation.",
    "Escribe un correo para pedir un aumento.",
    "Escreva uma descrição de produto.",
    "Scrivi un post per Instagram.",
    "Schrijf een samenvatting van het verslag.",
    "写一篇关于露营的文章。",
    "Make it nice and cool, etc.",
)
ADDITIONS = (
    "Use at most 150 words.",
    "Return a table with the columns name, price and weight.",
    "Avoid jargon and passive voice.",
    'For example: "Rain again, and the bus is late."',
    "You are a nurse with ten years of experience on a children's ward.",
    "The readers are parents who have never given an injection.",
    "Höchstens 150 Wörter, als Tabelle mit drei Spalten.",
    "N'utilise pas de jargon et reste sous 150 mots.",
    "No uses más de 150 palabras y evita los tecnicismos.",
)


def test_weights_are_of_all_criteria_and_make_a_hundred():
    assert set(WEIGHTS) == set(CRITERIA)
    assert sum(WEIGHTS.values()) == 100


def test_templates_are_good_and_queries_are_not():
    templates = [score_prompt(template.text).total for template in read_library()]
    queries = [score_prompt(query).total for query in QUERIES]
    assert statistics.quantiles(templates, n=20)[0] >= GOOD_TOTAL
    assert max(queries) < GOOD_TOTAL
    assert statistics.median(queries) <= 25


def test_reasons_name_what_is_in_this_prompt():
    score = score_prompt("You are a botanist. Write an article about moss as a table with 3 columns. Avoid jargon.")
    why = {criterion.name: criterion.why for criterion in score.criteria}
    assert "botanist" in why["role"]
    assert "3 columns" in why["output_format"]
    assert "Avoid jargon" in why["constraints"]
    assert all(reason.endswith(".") and reason.count("\n") == 0 for reason in why.values())
    vague = score_prompt("Write something nice about moss.")
    assert '"nice"' in next(criterion.why for criterion in vague.criteria if criterion.name == "clarity")


@each(
    "prompt",
    [
        "Du bist Gärtnerin. "
        "Erkläre Anfängern, wie man Tomaten gießt. Gib eine Liste mit 5 Stichpunkten aus. Vermeide Fachwörter.",
        "Tu es jardinière. "
        "Explique aux débutants comment arroser les tomates. Donne une liste de 5 points. Évite le jargon.",
        "Eres jardinera. Explica a principiantes cómo regar tomates. Entrega una lista de 5 puntos. Evita la jerga.",
        "Você é jardineira. Explique a iniciantes como regar tomates. Entregue uma lista de 5 pontos. Evite o jargão.",
        "Sei una giardiniera. "
        "Spiega ai principianti come annaffiare i pomodori. Dai un elenco di 5 punti. Evita il gergo.",
        "Je bent tuinier. "
        "Leg aan beginners uit hoe je tomaten water geeft. Geef een lijst met 5 punten. Vermijd vaktaal.",
        "Jesteś ogrodniczką. "
        "Wyjaśnij, jak podlewać pomidory, dla początkujących. Podaj w formie listy 5 punktów. Unikaj żargonu.",
    ],
)
def test_the_same_prompt_counts_in_other_languages(prompt):
    score = score_prompt(prompt)
    for name, least in (("role", 5), ("output_format", 8), ("constraints", 4), ("context", 3), ("clarity", 8)):
        assert score.points(name) >= least, (name, score)


@each("task", TASKS)
@each("addition", ADDITIONS)
def test_a_real_addition_never_lowers_the_total(task, addition):
    before = score_prompt(task).total
    assert score_prompt(f"{task}\n{addition}").total >= before
    assert score_prompt(f"{task.rstrip('.')}. {addition}").total >= before


@given(st.sampled_from(TASKS), st.lists(st.sampled_from(ADDITIONS), max_size=6), st.sampled_from(ADDITIONS))
@settings(max_examples=100)
def test_additions_of_any_number_never_lower_it(task, additions, one_more):
    prompt = "\n".join([task, *additions])
    assert score_prompt(f"{prompt}\n{one_more}").total >= score_prompt(prompt).total


@each("task", TASKS)
def test_repetition_is_worth_nothing(task):
    before = score_prompt(task).total
    assert score_prompt("\n".join([task] * 40)).total == before
    assert score_prompt(task + " very" * 500).total <= before


@each(
    "padding",
    [
        " ".join(CRITERIA),
        "\n".join(CRITERIA),
        "clarity: specificity: context: output format: constraints: examples: role:",
        "json table bullets markdown csv headings list paragraphs columns rows",
        "must, only, never, avoid, exactly, at most, at least, maximum, minimum, without",
        "audience goal purpose background context readers expert tone formal friendly style",
        "write create make draft compose generate produce prepare develop design",
        "must json audience expert example formal never table goal only readers list",
    ],
)
def test_keywords_without_sentences_are_worth_next_to_nothing(padding):
    task = "Write a poem about rain."
    before = score_prompt(task)
    after = score_prompt(f"{task}\n{padding}\n{padding}")
    assert after.total <= before.total + 4
    assert score_prompt(padding).total <= 12


def test_random_words_are_worth_nothing():
    task = "Write a poem about rain."
    salad = "lamp river copper window seven dusk pillar tango morsel quartz bramble violin harbour tulip"
    assert score_prompt(f"{task}\n{salad * 30}").total <= score_prompt(task).total + 2


@given(st.text(max_size=400))
@settings(max_examples=100)
def test_any_text_has_a_score(text):
    score = score_prompt(text)
    assert tuple(criterion.name for criterion in score.criteria) == CRITERIA
    assert all(0 <= criterion.points <= 10 and criterion.why for criterion in score.criteria)
    assert 0 <= score.total <= 100
    assert score == score_prompt(text)


HOSTILE = {
    "letters": "a" * 100_000,
    "spaces": " " * 100_000,
    "lines": "\n" * 100_000,
    "quotes": '"' * 100_000,
    "opening quotes": "“" * 100_000,
    "guillemets": "«" * 100_000,
    "fences": "```\n" * 25_000,
    "tags": "<a>\n" * 25_000,
    "different tags": "\n".join(f"<t{number}>" for number in range(12_000)),
    "braces": "{{ " * 33_000,
    "numbers": "1. " * 33_000,
    "dots": ". " * 50_000,
    "cues": "you are must only table example " * 3_000,
    "abbreviations": "e.g. z. B. " * 9_000,
    "chinese": "写表格" * 33_000,
    "surrogates": "\ud800" * 100_000,
}


@each("name", HOSTILE)
def test_hostile_text_takes_bounded_time(name):
    text = HOSTILE[name]
    score_prompt("")
    started = time.process_time()
    score_prompt(text)
    # Far more than it takes, so that a busy machine passes; a square of the length would be minutes.
    assert time.process_time() - started < 1.0
