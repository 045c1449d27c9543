"""Templates as files: out and in again is the same, and nothing hostile gets in."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from apps.llm.errors import InvalidRequest
from apps.templates.library import portable
from apps.templates.library.yaml_values import parse_yaml
from apps.templates.models import Label, Template, Version
from tests.each import each
from tests.templates.api import LETTER, SLUG, TONE
from tests.templates.visibility import undone

YAML = "application/yaml"
FORMS = {"json": ("application/json", portable.write_json), "yaml": (YAML, portable.write_yaml)}
each_form = each("form", FORMS, around=undone)
AWKWARD = [
    "plain",
    "two\nlines\n",
    " leading\n  deeper\n\ttab\n",
    "\n\nfirst lines empty",
    "trailing space \nand tab\t\n\n\n",
    "no: yes\n- 1\n# not a comment\n--- \n...\n",
    "\u2028 \u0085 \u00a0 \ufeff \U0001f98a \x07 \x7f",
    "\r\nwindows\r\n",
    "'\"\\ {{ not a name }} {% %} ${x} %TAG ! & * |",
    "x" * 300 + " " + "y" * 300 + "\n" + "z " * 300,
    "~",
    "2026-11-22",
]


def imported(api, data, *, media_type="application/json", status=201):
    return api.call("POST", "import/", status=status, data=data, content_type=media_type)


def exported(api, slug, form):
    answer = api._client.get(f"/api/v2/templates/{slug}/export/?format={form}")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == FORMS[form][0]
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{slug}.{form}"'
    return answer.content


def make_one_of_everything(api):
    variables: list[dict[str, Any]] = [
        {"name": "name", "type": "string", "help": "Who: one line"},
        {**TONE, "choices": ["warm", "no", "2026-11-22"]},
        {"name": "many", "type": "list", "default": ["a: b", "- c", ""]},
        {"name": "count", "type": "number", "default": 1e17},
        {"name": "ratio", "type": "number", "default": -0.25},
        {"name": "tiny", "type": "number", "default": 1.5e-7},
        {"name": "zero", "type": "number", "default": -0.0},
        {"name": "on", "type": "boolean", "default": False},
        {"name": "long", "type": "text", "default": "a\nb"},
    ]
    used = " ".join(f"{{{{ {variable['name']} }}}}" for variable in variables)
    api.make(text=used, variables=variables, slug="all", language="pt-BR", note="the first")
    for text in AWKWARD:
        api.post("all/versions/", {"text": text, "note": text[:500]})
    api.call("PUT", "all/labels/production/", {"version": 1})
    api.call("PUT", "all/labels/staging/", {"version": 4})


@each_form
def test_out_and_in_again_is_the_same(ada, bob, form):
    make_one_of_everything(ada)
    written = exported(ada, "all", form)
    (result,) = imported(bob, written, media_type=FORMS[form][0])["results"]
    assert (result["slug"], result["owner"], result["version"]) == ("all", "bob", 1 + len(AWKWARD))
    assert exported(bob, "all", form) == written
    for number in range(1, 2 + len(AWKWARD)):
        mine, theirs = (api.get(f"all/versions/{number}/") for api in (ada, bob))
        assert [mine[name] for name in ("text", "variables", "note", "labels")] == [
            theirs[name] for name in ("text", "variables", "note", "labels")
        ]
    rendered = bob.post("all/render/", {"variables": {"name": "Eve"}}, status=200)
    assert rendered["text"] == "Eve warm - a: b\n- - c\n-  100000000000000000 -0.25 1.5e-07 0.0 no a\nb"


def test_members_come_in_the_same_order_from_every_database(ada):
    make_one_of_everything(ada)
    written = json.loads(exported(ada, "all", "json"))
    members = ["name", "type", "required", "default", "choices", "help"]
    for variables in (written["versions"][0]["variables"], ada.get("all/versions/1/")["variables"]):
        assert [list(variable) for variable in variables] == [members] * 9


def test_both_forms_say_the_same(ada):
    make_one_of_everything(ada)
    assert yaml.safe_load(exported(ada, "all", "yaml")) == json.loads(exported(ada, "all", "json"))


def test_a_text_of_several_lines_is_a_block(ada):
    ada.make(text="One {{ name }}\nTwo {{ tone }}\n")
    assert "  text: |\n    One {{ name }}\n    Two {{ tone }}\n" in exported(ada, SLUG, "yaml").decode()


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60)


@given(TEXT, st.lists(st.sampled_from(["\n", " ", "\t", "a", ":", "#", "-", "\r", "\u2028", "'", '"', "|", ">"])))
def test_any_text_survives_both_forms(one, pieces):
    value = {"text": one, "lines": "".join(pieces), "both": one + "\n" + "".join(pieces)}
    assert parse_yaml(portable.write_yaml(value)) == value
    assert portable.parse_json(portable.write_json(value)) == value


@each("form", ["xml", "", "JSON", "%00"], around=undone)
def test_a_form_that_there_is_not(ada, form):
    ada.make()
    assert ada.get(f"{SLUG}/export/?format={form}", status=400)["param"] == "format"


def test_a_list_is_imported_whole_or_not_at_all(ada):
    named = [{**LETTER, "slug": f"letter-{number}"} for number in range(3)]
    answer = imported(ada, json.dumps(named))
    assert answer["next"] is None
    results = answer["results"]
    assert [one["slug"] for one in results] == ["letter-0", "letter-1", "letter-2"]
    more = [{**LETTER, "slug": "new"}, {**LETTER, "slug": "letter-1"}]
    assert imported(ada, json.dumps(more), status=409)["param"] == "slug"
    twice = [{**LETTER, "slug": "new"}, {**LETTER, "slug": "new"}]
    assert imported(ada, json.dumps(twice), status=409)["param"] == "slug"
    wrong = [{**LETTER, "slug": "new"}, {**LETTER, "text": "none"}]
    assert imported(ada, json.dumps(wrong), status=400)["param"] == "[1].variables"
    assert Template.objects.count() == Version.objects.count() == 3
    assert [len(page["results"]) for page in [ada.get("search/?q=letter")]] == [3]


def test_an_import_without_slugs_makes_them(ada):
    results = imported(ada, json.dumps([LETTER, LETTER]))["results"]
    assert [one["slug"] for one in results] == [SLUG, f"{SLUG}-2"]


def test_a_slug_that_is_made_goes_round_those_that_are_there(ada):
    """Where the first of them is free, too: it was deleted, it is reserved, or another of the file has it."""
    imported(ada, json.dumps([LETTER, LETTER]))
    ada.call("DELETE", f"{SLUG}/", status=204)
    again = imported(ada, json.dumps([LETTER, LETTER]))["results"]
    assert [one["slug"] for one in again] == [SLUG, f"{SLUG}-3"]
    ada.call("DELETE", f"{SLUG}/", status=204)
    beside = imported(ada, json.dumps([{**LETTER, "slug": SLUG}, LETTER]))["results"]
    assert [one["slug"] for one in beside] == [SLUG, f"{SLUG}-4"]
    for expected in ("search-2", "search-3"):
        assert imported(ada, json.dumps([{**LETTER, "title": "Search"}]))["results"][0]["slug"] == expected


@each(
    ("changes", "param"),
    [
        ({"versions": [{"text": "a", "number": 2}]}, "versions[0].number"),
        ({"versions": [{"text": "a"}, {"text": "b", "number": 1}]}, "versions[1].number"),
        ({"versions": [{"text": "a", "number": True}]}, "versions[0].number"),
        ({"versions": [{"text": "x", "variables": [{"name": "x", "type": "text"}]}]}, "versions[0].variables"),
        ({"versions": [{"text": "{{ x }}", "variables": [{"name": "x"}]}]}, "versions[0].variables[0].type"),
        ({"versions": ["a"]}, "versions[0]"),
        ({"versions": {}}, "versions"),
        ({"versions": [{"text": "a"}], "labels": {"production": 2}}, "labels.production"),
        ({"versions": [{"text": "a"}], "labels": []}, "labels"),
        ({"title": None, "text": "a"}, "title"),
    ],
    around=undone,
)
def test_a_file_that_is_refused(ada, changes, param):
    sent = {"title": "A", "category": "seo", **changes}
    assert imported(ada, json.dumps(sent), status=400)["param"] == param
    assert not Template.objects.exists()
    assert not Label.objects.exists()


@each(
    "data",
    [b"", b" ", b"{", b"[]", b"7", b'"a"', b"null", b"[7]", b'{"a":1,"a":2}', b'{"title":"\\ud800"}', b"\xff"],
    around=undone,
)
def test_json_that_is_no_file(ada, data):
    imported(ada, data, status=400)


BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"


@each(
    "data",
    [
        BOMB,
        "&a title: x",
        "title: !!python/object/apply:os.system [ls]",
        "title: !!str x",
        "title: !x y",
        "[" * 100 + "]" * 100,
        "- " * 5_000,
        "? " * 5_000,
        "title: A\ntitle: B\ncategory: seo\ntext: x\n",
        "{title: A, category: seo, text: x, text: y}",
        "title: [",
        "\t- a",
        "a: b: c",
        "---\na: 1\n---\nb: 1\n",
        "7",
        "2026-99-99",
        "2026-11-22",
        "title: 2026-11-22",
        'title: "\\ud800"',
        'title: "\\x00"',
        "title: .inf",
        f"title: {'9' * 5_000}",
        "? [a, b]\n: c",
        "? {a: b}\n: c",
        "1: 2",
        "null",
        "",
        "# nothing",
        "%YAML 9.9\n--- a",
        "\x07",
        "<<: {title: x}\n<<: 7",
    ],
    ids=lambda data: repr(data[:24]),
    around=undone,
)
def test_yaml_that_is_no_file(ada, data):
    error = imported(ada, data.encode("utf-8", "surrogatepass"), media_type=YAML, status=400)
    assert error["type"] == "invalid_request_error"
    assert not Template.objects.exists()


def test_yaml_in_another_encoding(ada):
    imported(ada, "title: ä".encode("latin-1"), media_type=YAML, status=400)
    imported(ada, "title: a".encode("utf-16"), media_type=YAML, status=400)


@each(
    "text",
    ["- a\n" * 260_000, "a," * 500_000, "[" + "a," * 500_000 + "]", "{" + "a," * 300_000 + "}", "'" + "''" * 500_000],
    ids=["lines", "plain", "flow", "mapping", "quotes"],
)
def test_large_yaml_is_refused_in_time(text):
    began_s = time.process_time()
    with pytest.raises(InvalidRequest):
        portable.drafts_read(parse_yaml(text.encode()))
    assert time.process_time() - began_s < 5


def test_too_many_templates(ada):
    many = json.dumps([{"title": "a", "category": "seo", "text": "x"}] * (portable.MAX_IMPORTED + 1))
    imported(ada, many, status=400)
    few: Any = json.dumps([{"title": "a", "category": "seo", "text": "x"}] * portable.MAX_IMPORTED)
    assert len(imported(ada, few)["results"]) == portable.MAX_IMPORTED


def test_a_file_over_its_bound(ada, settings):
    over = b" " * settings.DATA_UPLOAD_MAX_MEMORY_SIZE + b"x"
    for media_type in ("application/json", YAML):
        assert imported(ada, over, media_type=media_type, status=413)["code"] == "body_too_large"


@each("media_type", ["text/plain", "multipart/form-data", "application/xml"], around=undone)
def test_a_file_of_another_kind(ada, media_type):
    imported(ada, b"{}", media_type=media_type, status=415)


def test_importing_a_list_costs_a_few_statements(ada, django_assert_max_num_queries):
    many = json.dumps([{**LETTER, "title": f"Letter {number}"} for number in range(100)])
    with django_assert_max_num_queries(110):
        imported(ada, many)
