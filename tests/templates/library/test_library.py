"""The library over HTTP: made, listed, changed, rendered, deleted, and who sees what of it."""

from __future__ import annotations

from apps.templates.categories import TEMPLATE_CATEGORIES
from apps.templates.library.drafts import MAX_TAGS, MAX_TEXT_CHARACTERS, MAX_TITLE_CHARACTERS, RESERVED_SLUGS
from apps.templates.models import Tag, Template
from tests.each import each
from tests.templates.api import BASE, LETTER, SLUG, TONE
from tests.templates.visibility import undone

HOSTILE = ["{{ x }}", "{{x}}{{ y }}", "{x}", "{0.__class__}", "%(x)s", "${x}", "{% debug %}", "<script>", "\u2028\r\n"]


def test_a_template_as_it_is_answered(ada):
    made = ada.make()
    assert made == ada.get(f"{SLUG}/")
    assert {name: made[name] for name in LETTER if name not in ("tags", "variables")} == {
        name: LETTER[name] for name in LETTER if name not in ("tags", "variables")
    }
    assert made["slug"] == SLUG
    assert made["tags"] == ["home", "letters"]
    assert (made["owner"], made["language"], made["uses"]) == ("ada", "en", 0)
    assert (made["is_public"], made["public_from"]) == (False, None)
    assert (made["version"], made["labels"]) == (1, {})
    assert made["variables"] == [
        {"name": "name", "type": "string", "required": True, "default": None, "choices": [], "help": ""},
        {**TONE, "required": False},
    ]


def test_a_slug_is_made_from_the_title_and_is_never_taken(ada, bob):
    assert [ada.make()["slug"] for _ in range(3)] == [SLUG, f"{SLUG}-2", f"{SLUG}-3"]
    assert bob.make_public()["slug"] == SLUG
    assert bob.make()["slug"] == f"{SLUG}-2"
    ada.make_public(title="Postcard")
    assert bob.make(title="Postcard")["slug"] == "postcard-2"
    assert ada.make(title="Über das Wetter!")["slug"] == "uber-das-wetter"
    assert ada.make(title="手紙")["slug"] == "template"
    assert ada.make(title="手紙")["slug"] == "template-2"
    assert ada.make(title="Search")["slug"] == "search-2"
    assert len(ada.make(title="x" * MAX_TITLE_CHARACTERS)["slug"]) <= 100


def test_a_slug_of_ones_own_that_is_taken(ada, boss):
    ada.make_public(slug="mine")
    error = ada.post("", {**LETTER, "slug": "mine"}, status=409)
    assert (error["type"], error["param"]) == ("conflict_error", "slug")
    assert boss.post("", {**LETTER, "slug": "mine", "is_public": True}, status=409)["param"] == "slug"
    assert boss.make(slug="mine")["owner"] == "boss"
    assert boss.get("mine/")["owner"] == "boss"
    assert boss.call("PATCH", "mine/", {"is_public": True}, status=409)["param"] == "slug"
    assert boss.get("mine/")["is_public"] is False


@each(
    ("changes", "code", "param"),
    [
        ({"title": ...}, "missing_field", "title"),
        ({"text": ...}, "missing_field", "text"),
        ({"title": " "}, "invalid_value", "title"),
        ({"title": "a\nb"}, "invalid_value", "title"),
        ({"title": 7}, "invalid_value", "title"),
        ({"title": "x" * (MAX_TITLE_CHARACTERS + 1)}, "invalid_value", "title"),
        ({"title": "a\0b"}, "invalid_value", "title"),
        ({"description": "a\0b"}, "invalid_value", "description"),
        ({"description": "x" * 2_001}, "invalid_value", "description"),
        ({"category": "letters"}, "invalid_value", "category"),
        ({"category": []}, "invalid_value", "category"),
        ({"language": "English"}, "invalid_value", "language"),
        ({"is_public": "yes"}, "invalid_value", "is_public"),
        ({"tags": "letters"}, "invalid_value", "tags"),
        ({"tags": ["a", ""]}, "invalid_value", "tags[1]"),
        ({"tags": ["x" * 51]}, "invalid_value", "tags[0]"),
        ({"tags": [f"t{n}" for n in range(MAX_TAGS + 1)]}, "invalid_value", "tags"),
        ({"slug": "a b"}, "invalid_value", "slug"),
        ({"slug": "x" * 101}, "invalid_value", "slug"),
        *(({"slug": word}, "invalid_value", "slug") for word in sorted(RESERVED_SLUGS)),
        ({"text": ""}, "invalid_value", "text"),
        ({"text": "{{ name }} {{ tone }}" + "x" * MAX_TEXT_CHARACTERS}, "invalid_value", "text"),
        ({"text": "{{ name }} {{ tone }} \0"}, "invalid_value", "text"),
        ({"note": "x" * 501}, "invalid_value", "note"),
        ({"text": "Write to {{ name }}."}, "invalid_value", "variables"),
        ({"variables": {}}, "invalid_value", "variables"),
        ({"variables": ["name"]}, "invalid_value", "variables[0]"),
        ({"labels": {"live": 1}}, "invalid_value", "labels"),
        ({"labels": {"production": 2}}, "invalid_value", "labels.production"),
        ({"versions": []}, "invalid_value", "versions"),
    ],
    around=undone,
)
def test_what_is_refused(ada, changes, code, param):
    body = {name: value for name, value in {**LETTER, **changes}.items() if value is not ...}
    error = ada.post("", body, status=400)
    assert (error["code"], error["param"]) == (code, param)
    assert not Template.objects.exists()


@each(
    ("variable", "param"),
    [
        ({"type": ...}, "type"),
        ({"type": "date"}, "type"),
        ({"type": ["string"]}, "type"),
        ({"name": "Name"}, "name"),
        ({"name": "n" * 65}, "name"),
        ({"required": 1}, "required"),
        ({"required": True, "default": "x"}, "required"),
        ({"choices": ["a"]}, "choices"),
        ({"type": "choice"}, "choices"),
        ({"type": "choice", "choices": ["a", "a"]}, "choices"),
        ({"type": "choice", "choices": ["a\0"]}, "choices[0]"),
        ({"type": "choice", "choices": ["a"], "default": "b"}, "default"),
        ({"type": "choice", "choices": ["a"], "required": False}, "default"),
        ({"type": "number", "required": False}, "default"),
        ({"type": "number", "default": "3"}, "default"),
        ({"type": "number", "default": True}, "default"),
        ({"type": "boolean", "default": "no"}, "default"),
        ({"type": "list", "default": "a"}, "default"),
        ({"type": "list", "default": [1]}, "default"),
        ({"type": "string", "default": "a\nb"}, "default"),
        ({"type": "text", "default": "a\0b"}, "default"),
        ({"type": "list", "default": ["a\0b"]}, "default"),
        ({"help": 7}, "help"),
    ],
    around=undone,
)
def test_variables_that_are_refused(ada, variable, param):
    sent = {name: value for name, value in {"name": "x", "type": "string", **variable}.items() if value is not ...}
    error = ada.post("", {**LETTER, "text": "{{ x }}", "variables": [sent]}, status=400)
    assert error["param"] == f"variables[0].{param}"


def test_a_name_twice(ada):
    twice = [{"name": "x", "type": "string"}, {"name": "x", "type": "text"}]
    assert ada.post("", {**LETTER, "text": "{{ x }}", "variables": twice}, status=400)["param"] == "variables[1].name"


@each(("kind", "default", "written"), [("string", "", ""), ("text", "", ""), ("list", [], "")], around=undone)
def test_an_optional_variable_without_a_default_is_nothing(ada, kind, default, written):
    variable = {"name": "x", "type": kind, "required": False}
    made = ada.make(text="<{{ x }}>", variables=[variable])
    assert made["variables"][0]["default"] == default
    assert ada.post(f"{SLUG}/render/", {}, status=200)["text"] == f"<{written}>"


def test_the_longest_text_and_very_many_variables(ada):
    names = [f"v{number}" for number in range(9_000)]
    made = ada.make(
        text="".join(f"{{{{{name}}}}}" for name in names), variables=[{"name": name, "type": "text"} for name in names]
    )
    assert len(made["variables"]) == 9_000
    long = "x" * MAX_TEXT_CHARACTERS
    assert ada.make(text=long, variables=[])["text"] == long


def test_private_ones_are_absent_to_others_and_to_staff(ada, bob, boss):
    ada.make()
    routes: list[tuple[str, str, object]] = [
        ("GET", f"{SLUG}/", None),
        ("PATCH", f"{SLUG}/", {"title": "Mine now"}),
        ("DELETE", f"{SLUG}/", None),
        ("GET", f"{SLUG}/versions/", None),
        ("POST", f"{SLUG}/versions/", {"text": "x"}),
        ("GET", f"{SLUG}/versions/1/", None),
        ("GET", f"{SLUG}/versions/diff/?from=1&to=1", None),
        ("GET", f"{SLUG}/labels/", None),
        ("PUT", f"{SLUG}/labels/production/", {"version": 1}),
        ("DELETE", f"{SLUG}/labels/production/", None),
        ("POST", f"{SLUG}/render/", {"variables": {}}),
        ("GET", f"{SLUG}/export/", None),
    ]
    for method, path, body in routes:
        for other in (bob, boss):
            hidden = other.call(method, path, body, status=404)
            absent = other.call(method, path.replace(SLUG, "no-such-template"), body, status=404)
            assert {**hidden, "request_id": None} == {**absent, "request_id": None}, (method, path)
    assert bob.slugs() == boss.slugs() == []
    assert bob.get("search/?q=letter")["results"] == []
    assert bob.get("tags/")["results"] == []
    assert ada.get(f"{SLUG}/")["title"] == LETTER["title"]


def test_public_ones_are_everybodys_to_read_and_staffs_to_change(ada, bob, boss):
    ada.make_public()
    assert bob.get(f"{SLUG}/")["owner"] == "ada"
    assert bob.post(f"{SLUG}/render/", {"variables": {"name": "Eve"}}, status=200)["version"] == 1
    assert bob.get(f"{SLUG}/export/")["slug"] == SLUG
    for method, path, body in [
        ("PATCH", f"{SLUG}/", {"title": "Mine now"}),
        ("DELETE", f"{SLUG}/", None),
        ("POST", f"{SLUG}/versions/", {"text": "x"}),
        ("PUT", f"{SLUG}/labels/production/", {"version": 1}),
        ("DELETE", f"{SLUG}/labels/production/", None),
    ]:
        assert bob.call(method, path, body, status=403)["code"] == "forbidden"
        if method != "DELETE" or "labels" in path:
            assert ada.call(method, path, body, status=403)["code"] == "forbidden"
    assert boss.call("PATCH", f"{SLUG}/", {"title": "Curated"})["title"] == "Curated"


def test_ones_own_comes_before_the_public_one(ada, bob):
    ada.make_public(slug="letter", title="Ada's")
    bob.make(slug="letter", title="Bob's")
    assert (ada.get("letter/")["title"], bob.get("letter/")["title"]) == ("Ada's", "Bob's")
    bob.call("DELETE", "letter/", status=204)
    assert bob.get("letter/")["title"] == "Ada's"
    bob.call("DELETE", "letter/", status=403)


def test_a_change_of_what_is_said_makes_no_version(boss):
    made = boss.make()
    changes = {
        "title": "Note",
        "description": "",
        "category": "planning",
        "tags": ["a"],
        "language": "pt-BR",
        "is_public": True,
        "slug": "note",
    }
    changed = boss.call("PATCH", f"{SLUG}/", changes)
    assert {name: changed[name] for name in changes} == changes
    assert changed["version"] == 1
    assert changed["created_at"] == made["created_at"]
    assert changed["updated_at"] > made["updated_at"]
    assert boss.get("note/") == changed
    boss.get(f"{SLUG}/", status=404)


REQUIRED_STRING = {"type": "string", "required": True, "default": None, "choices": [], "help": ""}


@each(
    ("text", "names", "category"),
    [
        ("Hello {{ name }}", ["name"], "unknown"),
        ("Translate {{ text }} into {{  language\t}}", ["text", "language"], "translation"),
        ("Write a marketing email", [], "marketing_email"),
    ],
    around=undone,
)
def test_title_and_text_are_all_that_is_needed(ada, text, names, category):
    made = ada.post("", {"title": "Greeting", "text": text}, status=201)
    assert made["variables"] == [{"name": name, **REQUIRED_STRING} for name in names]
    assert made["category"] == category
    assert ada.get(f"?category={category}")["results"][0]["slug"] == "greeting"


def test_a_new_text_declares_what_it_adds(ada):
    declared = ada.make()["variables"]
    text = LETTER["text"] + " {{ more }}"
    changed = ada.call("PATCH", f"{SLUG}/", {"text": text})
    assert changed["variables"] == [*declared, {"name": "more", **REQUIRED_STRING}]
    version = ada.post(f"{SLUG}/versions/", {"text": "{{ only }}"}, status=201)
    assert version["variables"] == [{"name": "only", **REQUIRED_STRING}]
    imported = ada.post("import/", {"title": "T", "versions": [{"text": "{{ a }}"}, {"text": "{{ b }}"}]}, status=201)
    slug = imported["results"][0]["slug"] if "results" in imported else imported["slug"]
    assert [one["name"] for one in ada.get(f"{slug}/")["variables"]] == ["b"]


def test_a_change_of_nothing_changes_nothing(ada):
    made = ada.make()
    assert ada.call("PATCH", f"{SLUG}/", {}) == made
    assert ada.call("PATCH", f"{SLUG}/", {**LETTER, "unknown": 1}) == made


@each(
    "body",
    [{"title": ""}, {"category": None}, {"text": "{{ other }}"}, {"variables": [{"name": "more", "type": "text"}]}],
    around=undone,
)
def test_a_change_that_is_refused_leaves_all(ada, body):
    made = ada.make()
    ada.call("PATCH", f"{SLUG}/", {"description": "other", **body}, status=400)
    assert ada.get(f"{SLUG}/") == made


def test_deleting(ada):
    ada.make()
    assert ada.call("DELETE", f"{SLUG}/", status=204) == b""
    ada.call("DELETE", f"{SLUG}/", status=404)
    assert ada.get("search/?q=letter")["results"] == []
    assert ada.make()["slug"] == SLUG


def test_rendering_counts_a_use_and_is_no_change(ada):
    made = ada.make()
    rendered = ada.post(f"{SLUG}/render/", {"variables": {"name": "Eve"}}, status=200)
    assert rendered == {
        "text": "Write to Eve in a warm tone.\n",
        "version": 1,
        "variables": {"name": "Eve", "tone": "warm"},
    }
    ada.post(f"{SLUG}/render/", {"variables": {}}, status=400)
    assert ada.get(f"{SLUG}/") == {**made, "uses": 1}


@each(
    ("body", "param"),
    [
        ({}, "variables.name"),
        ({"variables": {"name": "Eve", "nmae": "x"}}, "variables.nmae"),
        ({"variables": {"name": 7}}, "variables.name"),
        ({"variables": {"name": "Eve", "tone": "rude"}}, "variables.tone"),
        ({"variables": ["Eve"]}, "variables"),
        ({"variables": {"name": "Eve"}, "version": 2}, "version"),
        ({"variables": {"name": "Eve"}, "version": "1"}, "version"),
        ({"variables": {"name": "Eve"}, "version": True}, "version"),
        ({"variables": {"name": "Eve"}, "version": 10**30}, "version"),
        ({"variables": {"name": "Eve"}, "label": "staging"}, "label"),
        ({"variables": {"name": "Eve"}, "label": "live"}, "label"),
        ({"variables": {"name": "Eve"}, "label": []}, "label"),
        ({"variables": {"name": "Eve"}, "label": "staging", "version": 1}, "label"),
    ],
    around=undone,
)
def test_rendering_that_is_refused(ada, body, param):
    ada.make()
    assert ada.post(f"{SLUG}/render/", body, status=400)["param"] == param


@each("hostile", HOSTILE, around=undone)
def test_what_is_hostile_is_rendered_as_it_is(ada, hostile):
    ada.make(text="<{{ x }}>", variables=[{"name": "x", "type": "text"}])
    assert ada.post(f"{SLUG}/render/", {"variables": {"x": hostile}}, status=200)["text"] == f"<{hostile}>"


def test_categories_and_tags_count_what_one_sees(ada, bob):
    ada.make_public()
    ada.make(tags=["Home", "garden"])
    counts = {one["name"]: one["count"] for one in ada.get("categories/")["results"]}
    assert list(counts) == list(TEMPLATE_CATEGORIES)
    assert (counts["creative_writing"], counts["seo"]) == (2, 0)
    assert ada.get("tags/")["results"] == [
        {"name": "home", "count": 2},
        {"name": "garden", "count": 1},
        {"name": "letters", "count": 1},
    ]
    assert [one["name"] for one in bob.get("tags/")["results"]] == ["home", "letters"]


@each("path", ["categories/", "tags/", "search/?q=letter"], around=undone)
def test_a_list_of_one_page_has_no_next(ada, path):
    ada.make()
    answer = ada.get(path)
    assert answer["results"]
    assert answer["next"] is None


def test_a_tag_is_one_however_it_is_written(ada):
    ada.make(tags=["Home", "home ", "HOME"])
    assert list(Tag.objects.values_list("name", flat=True)) == ["home"]


def test_searching(ada):
    ada.make()
    ada.make(title="Invoice reminder", description="For bills.", category="customer_support", tags=["money"])
    (found,) = ada.get("search/?q=neighbour")["results"]
    assert set(found) == {"slug", "title", "description", "category", "tags", "score", "highlights"}
    (highlight,) = [one for one in found["highlights"] if one["field"] == "title"]
    assert found["title"][highlight["start"] : highlight["end"]] == "neighbour"
    assert ada.slugs("search/?q=invoice&category=customer_support") == ["invoice-reminder"]
    assert ada.slugs("search/?q=invoice&category=seo") == []
    assert ada.slugs("search/?q=invoice&tag=MONEY") == ["invoice-reminder"]
    ada.post("invoice-reminder/render/", {"variables": {"name": "x"}}, status=200)
    assert ada.slugs("search/") == ["invoice-reminder", SLUG]
    ada.call("PATCH", f"{SLUG}/", {"title": "Postcard"})
    assert ada.slugs("search/?q=postcard") == [SLUG]


@each("slug", ["%00", "a%00b", "a%20b", "%FF", "x" * 5_000, "..", "<b>", "%E2%80%A8", "letter.json"], around=undone)
def test_an_odd_slug_is_an_absent_one(ada, slug):
    ada.get(f"{slug}/", status=404)
    ada.get(f"{slug}/versions/", status=404)


def test_a_body_that_is_none(ada):
    for body in (b"", b"[]", b"{", b'{"title":"a","title":"b"}'):
        error = ada.call("POST", "", status=400, data=body, content_type="application/json")
        assert error["code"] in ("invalid_json", "invalid_value")
    ada.call("POST", "", status=415, data=b"{}", content_type="text/plain")
    assert BASE
