"""The language of a query."""

from __future__ import annotations

from apps.templates.rules.language import detect_language, language_to_write
from benchmarks.intents.labelled import FRESH, LABELLED, UNSEEN, labelled_parts, read_lines
from tests.each import each


@each(
    ("language", "query"),
    [
        ("en", "write an email to my customers"),
        ("de", "schreib mir bitte einen Brief"),
        ("fr", "écris une lettre pour mon patron"),
        ("es", "escribe una carta para mi jefe"),
        ("pt", "escreva uma carta para o meu chefe"),
        ("it", "scrivi una lettera per il mio capo"),
        ("nl", "schrijf een brief voor mijn baas"),
        ("pl", "napisz list do mojego szefa"),
        ("tr", "patronum için bir mektup yaz"),
        ("sv", "skriv ett brev till min chef"),
        ("fi", "kirjoita kirje minun pomolle, kiitos"),
        ("cs", "napiš dopis pro mého šéfa, prosím"),
        ("hu", "írj egy levelet a főnökömnek"),
        ("ro", "scrie o scrisoare pentru șeful meu"),
        ("id", "tuliskan surat untuk bos saya"),
        ("vi", "viết thư cho sếp của tôi"),
        ("ru", "напиши письмо начальнику"),
        ("uk", "напиши лист моїй начальниці"),
        ("el", "γράψε ένα γράμμα"),
        ("he", "כתוב מכתב"),
        ("ar", "اكتب رسالة"),
        ("fa", "یک نامه برای رئیس بنویس که کوتاه باشد"),
        ("hi", "एक पत्र लिखो"),
        ("bn", "একটি চিঠি লিখুন"),
        ("ta", "ஒரு கடிதம் எழுது"),
        ("th", "เขียนจดหมาย"),
        ("zh", "写一封信"),
        ("ja", "手紙を書いて"),
        ("ko", "편지를 써줘"),
        ("ka", "დაწერე წერილი"),
        ("und", "asdf qwrt"),
        ("und", ""),
        ("und", "42 :-)"),
        ("und", "https://example.com/the/and/of"),
    ],
)
def test_languages(language, query):
    assert detect_language(query) == language


def test_code_and_addresses_say_nothing():
    assert (
        detect_language("Was macht das?\n```\nfor the_item in the_list: print(the_item) # the and of to\n```") == "de"
    )
    assert detect_language("corrige ça: https://the.and.of/for/with/you/this") == "fr"
    assert detect_language("这是什么 `return the value of this`") == "zh"


@each(
    "prompt",
    [
        "roll a die",
        "roll the die",
        "roll die",
        "Die roll!",
        "wear a hat",
        "u suck",
        "square root of 144",
        "fanfic sherlock in modern leeds",
        "write an email to my customers",
    ],
)
def test_a_guess_that_rests_on_too_little_is_not_written_in(prompt):
    assert language_to_write(prompt) == "en"


@each(
    ("language", "prompt"),
    [
        ("de", "die Katze"),
        ("de", "eine Katze"),
        ("de", "würfle bitte"),
        ("de", "kunde fragt wo sein geld bleibt"),
        ("fr", "un poème"),
        ("es", "nombre para un perro negro"),
        ("it", "una poesia"),
        ("it", "che tempo fa a roma"),
        ("it", "disdetta contratto palestra raccomandata"),
        ("nl", "een gedicht"),
        ("sv", "en dikt"),
        ("zh", "写一封信"),
        ("ru", "напиши письмо"),
        ("und", "asdf qwrt"),
        ("und", ""),
    ],
)
def test_a_language_that_shows_is_written_in(language, prompt):
    assert detect_language(prompt) == language_to_write(prompt) == language


def test_labelled_prompts_are_written_to_in_their_language():
    lines = [line for path in (LABELLED, FRESH, UNSEEN) for line in read_lines(path)]
    changed = [line for line in lines if language_to_write(line.query) != detect_language(line.query)]
    assert sum(line.language == "en" for line in changed) >= 0.8 * len(changed)
    assert len(changed) < 0.02 * len(lines)


def test_labelled_languages():
    for lines, least in ((labelled_parts()[1], 0.92), (read_lines(FRESH), 0.92)):
        right = sum(detect_language(line.query) == line.language for line in lines)
        assert right / len(lines) >= least


@each("query", ["```" * 40_000, "a(" * 50_000, "a@" * 50_000, "<" * 100_000, "{{" * 50_000, "ж" * 99_999, "a ؟"])
def test_hostile_texts(query):
    assert detect_language(query) == detect_language(query[:800])
    assert language_to_write(query) == language_to_write(query[:800])
