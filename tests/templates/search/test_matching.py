"""What a query finds, on both databases."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection

from tests.each import each
from tests.templates.search.stored import slugs, store
from tests.templates.visibility import undone

pytestmark = pytest.mark.usefixtures("database")


FORMS = [
    ("Summaries of meetings", "summarize meeting"),
    ("Summarise a report", "summary of reports"),
    ("Translation of contracts", "translate contract"),
    ("Optimisation of colours", "optimize color"),
    ("Categories of stories", "category story"),
    ("Negotiating a salary", "negotiation"),
    ("Data analysis", "analyze"),
    ("Planned releases", "planning"),
]


@each("title, query", FORMS, around=undone)
def test_other_forms_of_a_word(title: str, query: str):
    store("one", title)
    store("other", "Nothing of the kind")
    assert slugs(query) == ["one"]


def test_the_last_word_may_be_typed_by_half():
    store("one", "Quick summarisation of a report")
    queries = ["summ", "summar", "summarisat", "quick summari", "SUMM", "quick  su "]
    assert {query: slugs(query) for query in queries} == {query: ["one"] for query in queries}


def test_only_the_last_word_is_taken_for_a_half():
    store("one", "Quick summary")
    assert slugs("summ zzz") == []


def test_a_half_word_past_the_stem_is_completed():
    # Both are filed under `gener`, which neither half is a beginning of.
    store("one", "Generators")
    assert slugs("generat") == slugs("generato") == ["one"]


def test_typos():
    store("one", "Newsletter and code negotiation")
    store("other", "Nothing of the kind")
    queries = [
        *("newsleter", "newslettter", "newzletter", "newslteter", "ewsletter", "nwesletetr", "newslette"),
        *("cdoe", "coed", "ocde", "codr", "xode", "coode"),
        *("negociation", "neogtiation", "negotation"),
    ]
    assert {query: slugs(query) for query in queries} == {query: ["one"] for query in queries}


def test_typos_in_other_scripts():
    store("one", "Письмо клиенту")
    assert slugs("письом") == slugs("клеенту") == ["one"]


def test_what_is_too_far_off_is_not_guessed():
    store("one", "Newsletter code abc")
    queries = ["abx", "neswltr", "zzzzzz", "cod3"]
    assert {query: slugs(query) for query in queries} == {query: [] for query in queries}


def test_the_word_itself_comes_before_its_neighbour():
    store("neighbour", "Format letters", uses=100)
    store("itself", "Latter days")
    assert slugs("latter")[0] == "itself"


def test_a_template_that_has_the_typo_does_not_hide_what_was_meant():
    store("meant", "Email to a client")
    store("mistyped", "Emial to a client")
    assert set(slugs("emial")) == {"meant", "mistyped"}


LETTERS = [
    ("Résumé à revoir", "resume a revoir"),
    ("Resume", "résumé"),
    ("Wiadomość po łódzkich targach", "wiadomosc lodzkich"),
    ("Größe und Straße", "grosse strasse"),
    ("Größe", "GRÖSSE"),
    ("Smørrebrød", "smorrebrod"),
    ("Cafe\u0301", "café"),
    ("ﬁnance Ｗｉｄｅ", "finance wide"),
    ("Ёлка", "елка"),
    ("Ναύτης", "ναυτησ"),
]


@each("title, query", LETTERS, around=undone)
def test_accents_case_and_letter_forms_do_not_matter(title: str, query: str):
    store("one", title)
    assert slugs(query) == ["one"]


def test_compounds_are_found_in_one_and_in_parts():
    store("one", "Stand-up e-mail")
    queries = ["stand-up e-mail", "standup email", "stand up e mail", "Stand-Up"]
    assert {query: slugs(query) for query in queries} == {query: ["one"] for query in queries}


def test_what_is_in_quotes_has_to_be_there():
    store("phrase", "A plain language summary", "Of a contract.")
    store("apart", "Language that is plain", "Plain contract language, contract language.")
    assert slugs('"plain language"') == ["phrase"]
    assert slugs('contract "plain languages"') == ["phrase"]
    assert slugs("“plain language”") == slugs("«plain language»") == ["phrase"]
    assert slugs('"plain contract" "a contract"') == []
    assert set(slugs("plain language")) == {"phrase", "apart"}
    # A quote that is never closed is as good as none.
    assert set(slugs('"plain language')) == {"phrase", "apart"}


def test_a_phrase_does_not_run_from_one_field_into_the_next():
    store("one", "Plain", "language", "text", tags=("alpha beta", "gamma"))
    assert slugs('"plain language"') == slugs('"language text"') == slugs('"beta gamma"') == []
    assert slugs('"alpha beta"') == ["one"]


def test_chinese_is_found_by_any_piece():
    store("one", "会议纪要模板", "把录音整理成纪要")
    store("other", "产品说明")
    queries = ["会议纪要", "纪要", "要", "会议 纪要模板", "“议纪”", "写一份会议纪要"]
    assert {query: slugs(query) for query in queries} == {query: ["one"] for query in queries}


def test_other_scripts_without_spaces():
    store("one", "お詫びメールのガイド", "회의록을 쓰다", "บันทึกการประชุม")
    store("other", "English")
    queries = ["メール", "お詫び", "ール", "ガイド", "회의록", "회의", "ประชุม"]
    assert {query: slugs(query) for query in queries} == {query: ["one"] for query in queries}


def test_abbreviations_are_known():
    store("one", "Resume bullet points")
    store("two", "Regular expression from examples")
    assert slugs("cv") == ["one"]
    assert slugs("regex") == ["two"]


def test_words_that_say_nothing_are_left_out_unless_there_are_no_others():
    store("one", "To be or not to be")
    store("two", "A plan")
    assert slugs("please give me a plan for the") == ["two"]
    assert slugs("to be") == ["one"]


def test_all_of_a_query_need_not_match_but_what_matches_more_comes_first():
    store("half", "Cold call")
    store("whole", "Email that is cold")
    assert slugs("cold email") == ["whole", "half"]
    assert slugs("cold email xylophone") == ["whole", "half"]


def test_where_a_template_matches():
    store("title", "Zebra")
    store("tags", "x", tags=("zebra",))
    store("description", "x", "Zebra")
    store("text", "x", "", "Zebra")
    assert slugs("zebra") == ["title", "tags", "description", "text"]
    store("wording", "What is said", category="code_review")
    assert slugs("code review") == ["wording"]
    assert slugs("wording") == ["wording"]


def test_what_is_asked_of_the_database_grows_no_faster_than_phrases_do():
    words = [f"tide{letter} rises{letter}" for letter in "abcdefghijkl"]
    store("one", "Many", text=" ".join(words))

    def asked_characters(count: int) -> int:
        sent = 0

        def noted(run: Any, sql: str, values: Any, many: bool, context: Any) -> Any:
            nonlocal sent
            sent += len(sql) + sum(len(value) for value in values if isinstance(value, str))
            return run(sql, values, many, context)

        with connection.execute_wrapper(noted):
            assert slugs(" ".join(f'"{phrase}"' for phrase in words[:count])) == ["one"]
        return sent

    three, six, twelve = map(asked_characters, (3, 6, 12))
    assert twelve - six <= 2.2 * (six - three)
