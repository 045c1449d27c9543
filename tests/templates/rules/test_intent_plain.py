"""Intent of plain requests, which name a category and say little else, and of those that name nothing."""

from __future__ import annotations

from apps.templates.categories import UNKNOWN
from apps.templates.rules.features import says_what
from apps.templates.rules.intent import detect_intent
from benchmarks.intents.labelled import MEASURED_PLAIN, labelled_parts
from benchmarks.intents.plain_requests import material, plain_requests
from tests.each import each

NAMED = {
    "Help me write a marketing email": "marketing_email",
    "marketing email": "marketing_email",
    "I need a marketing email": "marketing_email",
    "MARKETING EMAIL PLEASE!!!": "marketing_email",
    "help me with code": "code_generation",
    "can you do a translation for me 🙏": "translation",
    "hi, ich brauche einen blog post": "blog_article",
    "Hola, can you write a poem": "creative_writing",
}
UNNAMED = (
    *("help", "Help!!", "HELP PLEASE", "hello", "make it good", "do it", "hi there, can you help me with something?"),
    *("i need it", "write something nice", "hilf mir bitte", "Bonjour, aide-moi", "hola, ayúdame por favor", "помоги"),
)


def share(lines):
    return sum(detect_intent(line.query).category == line.label for line in lines) / len(lines)


@each(("query", "category"), NAMED.items())
def test_what_is_named_is_found(query, category):
    found = detect_intent(query)
    assert (found.category, found.confidence >= 0.8) == (category, True)


@each("query", UNNAMED)
def test_what_names_nothing_is_unknown(query):
    found = detect_intent(query)
    assert (found.category, found.confidence >= 0.8) == (UNKNOWN, True)


def test_these_are_not_learnt():
    learnt = {line.query.casefold() for line in (*material(), *labelled_parts()[0])}
    assert [query for query in NAMED if query.casefold() in learnt] == []


def test_plain_requests():
    lines = plain_requests(MEASURED_PLAIN)
    assert share([line for line in lines if line.language == "en"]) >= 0.97
    assert share(lines) >= 0.97


def test_unknown_among_plain_requests():
    lines = [*plain_requests(MEASURED_PLAIN), *(line for line in labelled_parts()[1] if line.label == UNKNOWN)]
    found = [(line.label == UNKNOWN, detect_intent(line.query).category == UNKNOWN) for line in lines]
    both = found.count((True, True))
    assert both >= 0.9 * sum(said for said, _ in found)
    assert both >= 0.9 * sum(ours for _, ours in found)


@each("query", ["a will", "500 words -> 50", "write a poem", "die steuer", "un poème", "x", "帮我"])
def test_a_word_that_is_no_filler_says_something(query):
    assert says_what(query)
