"""How many templates and how much text a user may have."""

from __future__ import annotations

import json

import pytest

from apps.templates.library import quotas
from apps.templates.models import Template
from tests.each import each
from tests.templates.api import LETTER, SLUG
from tests.templates.visibility import undone

KIB = 1_024


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(quotas, "MAX_TEMPLATES", 3)
    monkeypatch.setattr(quotas, "MAX_TEXT_BYTES", 10 * KIB)


def used(api):
    answer = api.get("quota/")
    return answer["templates"]["used"], answer["text_bytes"]["used"]


def test_what_the_contract_says():
    assert (quotas.MAX_TEMPLATES, quotas.MAX_TEXT_BYTES) == (2_000, 50 * 1_024 * 1_024)


def test_what_is_used_and_may_be(ada, bob):
    assert ada.get("quota/") == {
        "templates": {"used": 0, "limit": 2_000},
        "text_bytes": {"used": 0, "limit": 52_428_800},
    }
    ada.make(text="€" * 1_000, variables=[], note="note")
    ada.make()
    assert used(ada) == (2, 3_004 + KIB)
    assert used(bob) == (0, 0)
    ada.call("DELETE", f"{SLUG}/", status=204)
    assert used(ada) == (1, KIB)


def test_one_template_too_many(ada, bob, few):
    for _ in range(3):
        ada.make()
    assert "3 templates" in ada.post("", LETTER, status=400)["message"]
    assert Template.objects.count() == 3
    bob.make()
    ada.call("DELETE", f"{SLUG}/", status=204)
    ada.make()


def test_an_import_is_counted_as_a_whole(ada, few):
    ada.make()
    assert ada.post("import/", [LETTER] * 3, status=400)["code"] == "invalid_value"
    assert Template.objects.count() == 1
    assert ada.post("import/", [{**LETTER, "text": "x" * 6_000, "variables": []}] * 2, status=400)["param"] == "text"
    assert Template.objects.count() == 1


def test_all_versions_count(ada, few):
    ada.make(text="x" * 4_000, variables=[])
    ada.post(f"{SLUG}/versions/", {"text": "y" * 4_000})
    assert used(ada) == (1, 8_000)
    for method, path in (("POST", f"{SLUG}/versions/"), ("PATCH", f"{SLUG}/")):
        assert ada.call(method, path, {"text": "z" * 4_000}, status=400)["param"] == "text"
    assert ada.post("", {**LETTER, "text": "z" * 4_000, "variables": []}, status=400)["param"] == "text"
    ada.call("PATCH", f"{SLUG}/", {"title": "Other"})
    assert used(ada) == (1, 8_000)


@each(
    "changes",
    [
        {"text": "\U0001f98a" * 3_000, "variables": []},
        {"text": "{{ x }}", "variables": [{"name": "x", "type": "text", "default": "d" * 11_000}]},
        {
            "text": "{{ x }}",
            "variables": [{"name": "x", "type": "choice", "choices": [f"{n:0199}" for n in range(60)]}],
        },
    ],
    ids=["emoji", "default", "choices"],
    around=undone,
)
def test_it_is_bytes_that_count_and_variables_too(ada, few, changes):
    assert ada.post("", {**LETTER, **changes}, status=400)["param"] == "text"


def test_very_many_small_versions_have_a_bound_too(ada, few):
    versions = [{"text": "a"}] * 11
    body = {"title": "A", "category": "seo", "versions": versions}
    assert ada.post("import/", body, status=400)["param"] == "text"
    ada.post("import/", {**body, "versions": versions[1:]})
    assert used(ada) == (1, 10 * KIB)


def test_what_staff_write_into_a_template_counts_for_its_owner(ada, boss, few):
    ada.make_public()
    boss.post(f"{SLUG}/versions/", {"text": "x" * 4_000})
    assert (used(ada), used(boss)) == ((1, KIB + 4_000), (0, 0))
    assert boss.post(f"{SLUG}/versions/", {"text": "x" * 8_000}, status=400)["param"] == "text"


def test_an_import_has_a_bound_of_its_own(ada, monkeypatch):
    monkeypatch.setattr("apps.templates.library.portable.MAX_IMPORTED_VERSIONS", 3)
    two = {"title": "A", "category": "seo", "versions": [{"text": "a"}] * 2}
    error = ada.call("POST", "import/", status=400, data=json.dumps([two, two]), content_type="application/json")
    assert "3 versions" in error["message"]
