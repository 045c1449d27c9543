"""Versions, which are written once, and labels, which move."""

from __future__ import annotations

import pytest

from apps.templates.library.drafts import LABELS
from apps.templates.library.pieces import MAX_LINES, line_pieces
from apps.templates.models import Label, Version
from tests.each import each
from tests.templates.api import LETTER, SLUG, TONE
from tests.templates.visibility import undone

NAME = {"name": "name", "type": "string"}


def test_a_new_text_is_a_new_version(ada):
    ada.make()
    changed = ada.call("PATCH", f"{SLUG}/", {"text": "{{ name }}: {{ tone }}", "note": "shorter"})
    assert (changed["version"], changed["text"]) == (2, "{{ name }}: {{ tone }}")
    assert changed["variables"] == ada.get(f"{SLUG}/versions/1/")["variables"]
    only_variables = ada.call("PATCH", f"{SLUG}/", {"variables": [NAME, {**TONE, "default": "cool"}]})
    assert (only_variables["version"], only_variables["text"]) == (3, "{{ name }}: {{ tone }}")
    listed = ada.get(f"{SLUG}/versions/")
    assert [one["number"] for one in listed["results"]] == [3, 2, 1]
    assert listed["next"] is None
    assert ada.get(f"{SLUG}/versions/2/")["note"] == "shorter"
    assert ada.get(f"{SLUG}/versions/1/")["text"] == LETTER["text"]


def test_a_draft_is_not_served_before_its_label_moves(ada):
    ada.make(labels={"production": 1})
    draft = ada.post(f"{SLUG}/versions/", {"text": "Dear {{ name }}", "variables": [NAME], "note": "draft"})
    assert (draft["number"], draft["labels"], draft["created_by"]) == (2, [], "ada")

    def rendered(**more):
        return ada.post(f"{SLUG}/render/", {"variables": {"name": "Eve"}, **more}, status=200)["version"]

    assert rendered() == 1
    assert rendered(version=2) == 2
    ada.call("PUT", f"{SLUG}/labels/staging/", {"version": 2})
    assert (rendered(), rendered(label="staging"), rendered(label="production")) == (1, 2, 1)
    assert ada.call("PUT", f"{SLUG}/labels/production/", {"version": 2})["labels"] == {"production": 2, "staging": 2}
    assert rendered() == 2
    assert ada.get(f"{SLUG}/versions/2/")["labels"] == ["production", "staging"]
    ada.call("PUT", f"{SLUG}/labels/production/", {"version": 1})
    assert rendered() == 1
    ada.call("DELETE", f"{SLUG}/labels/production/", status=204)
    assert rendered() == 2
    assert ada.get(f"{SLUG}/labels/") == {"labels": {"staging": 2}}
    ada.call("DELETE", f"{SLUG}/labels/production/", status=404)


def test_moving_a_label_is_a_change_and_leaving_it_is_none(ada):
    before = ada.make()
    ada.call("PUT", f"{SLUG}/labels/staging/", {"version": 1})
    moved = ada.get(f"{SLUG}/")
    assert moved["updated_at"] > before["updated_at"]
    ada.call("PUT", f"{SLUG}/labels/staging/", {"version": 1})
    assert ada.get(f"{SLUG}/") == moved


@each(
    ("body", "code"),
    [
        ({}, "missing_field"),
        ({"version": 0}, "invalid_value"),
        ({"version": 2}, "invalid_value"),
        ({"version": "1"}, "invalid_value"),
        ({"version": 1.0}, "invalid_value"),
        ({"version": None}, "invalid_value"),
        ({"version": 2**40}, "invalid_value"),
    ],
    around=undone,
)
def test_a_label_at_nothing(ada, body, code):
    ada.make()
    error = ada.call("PUT", f"{SLUG}/labels/production/", body, status=400)
    assert (error["code"], error["param"]) == (code, "version")
    assert not Label.objects.exists()


@each("name", ["live", "Production", "%00"], around=undone)
def test_a_label_that_there_is_not(ada, name):
    ada.make()
    ada.call("PUT", f"{SLUG}/labels/{name}/", {"version": 1}, status=404)
    ada.call("DELETE", f"{SLUG}/labels/{name}/", status=404)


@each("number", ["0", "2", "-1", "1.0", "one", "%D9%A1", "9" * 30, "%00"], around=undone)
def test_a_version_that_there_is_not(ada, number):
    ada.make()
    ada.get(f"{SLUG}/versions/{number}/", status=404)


def test_labels_are_the_same_everywhere():
    assert set(LABELS) == set(Label.Name)


def test_a_version_is_written_once(ada):
    ada.make()
    version = Version.objects.get()
    version.text = "other"
    with pytest.raises(TypeError, match="written once"):
        version.save()
    for method in ("PUT", "PATCH", "DELETE", "POST"):
        ada.call(method, f"{SLUG}/versions/1/", {"text": "other"}, status=405)
    assert ada.get(f"{SLUG}/versions/1/")["text"] == LETTER["text"]


@each("body", [{}, {"text": "x", "variables": [NAME]}, {"text": 7}], around=undone)
def test_a_version_that_is_refused(ada, body):
    ada.make()
    ada.post(f"{SLUG}/versions/", body, status=400)
    assert Version.objects.count() == 1


def test_the_most_versions(ada, monkeypatch):
    ada.make()
    monkeypatch.setattr("apps.templates.services.MAX_VERSIONS", 2)
    ada.post(f"{SLUG}/versions/", {"text": "x"})
    assert "2 versions" in ada.post(f"{SLUG}/versions/", {"text": "y"}, status=400)["message"]
    ada.call("PATCH", f"{SLUG}/", {"text": "z", "variables": []}, status=400)


def test_the_difference_of_two_versions(ada):
    ada.make(text="One {{ name }}\nTwo {{ tone }}\nThree\n")
    ada.post(
        f"{SLUG}/versions/",
        {
            "text": "One {{ name }}\nThree\n{{ more }}",
            "variables": [{**NAME, "type": "text"}, {"name": "more", "type": "list"}],
        },
    )
    found = ada.get(f"{SLUG}/versions/diff/?from=1&to=2")
    assert (found["from"], found["to"]) == (1, 2)
    assert found["text"] == [
        {"op": "equal", "text": "One {{ name }}\n"},
        {"op": "delete", "text": "Two {{ tone }}\n"},
        {"op": "equal", "text": "Three\n"},
        {"op": "insert", "text": "{{ more }}"},
    ]
    variables = found["variables"]
    assert [one["name"] for one in variables["added"]] == ["more"]
    assert [one["name"] for one in variables["removed"]] == ["tone"]
    (changed,) = variables["changed"]
    assert (changed["name"], changed["before"]["type"], changed["after"]["type"]) == ("name", "string", "text")
    back = ada.get(f"{SLUG}/versions/diff/?from=2&to=1")
    assert [one["name"] for one in back["variables"]["added"]] == ["tone"]
    same = ada.get(f"{SLUG}/versions/diff/?from=1&to=1")
    assert [piece["op"] for piece in same["text"]] == ["equal"]
    assert same["variables"] == {"added": [], "removed": [], "changed": []}


@each(
    ("query", "param"),
    [("", "from"), ("from=1", "to"), ("from=1&to=2", "to"), ("from=x&to=1", "from"), ("from=1&to=-1", "to")],
    around=undone,
)
def test_a_difference_that_is_refused(ada, query, param):
    ada.make()
    assert ada.get(f"{SLUG}/versions/diff/?{query}", status=400)["param"] == param


TEXTS = ["", "a", "a\n", "\n", "a\nb\nc\n", "b\nc\nd", "c\nb\na\n", "a\r\nb\u2028c\u0085d\n", "a\na\na\n", "x\ny\n" * 5]


@each("before", TEXTS)
@each("after", TEXTS)
def test_pieces_make_both_texts(before, after):
    pieces = line_pieces(before, after)
    assert "".join(piece.text for piece in pieces if piece.op != "insert") == before
    assert "".join(piece.text for piece in pieces if piece.op != "delete") == after
    assert all(piece.text for piece in pieces)
    assert all(one.op != other.op for one, other in zip(pieces, pieces[1:], strict=False))


def test_very_long_texts_are_compared_roughly():
    lines = [f"{number}\n" for number in range(MAX_LINES // 2 + 1)]
    changed = line_pieces("".join(lines), "".join(reversed(lines)))
    assert [piece.op for piece in changed] == ["delete", "insert"]
    one_line = line_pieces("".join(lines), "".join([*lines[:5], "new\n", *lines[5:]]))
    assert [piece.op for piece in one_line] == ["equal", "insert", "equal"]
