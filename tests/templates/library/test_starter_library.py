"""The starter library: whole, varied, and each template useful as it stands."""

from __future__ import annotations

import itertools
import re
from collections import Counter

import pytest

from apps.templates.categories import CATEGORIES
from apps.templates.library.starter_library import StarterTemplate, read_library, read_template
from apps.templates.rendering import placeholders, render
from apps.templates.variables import VariableType
from tests.each import each

LIBRARY = read_library()
ITEM = {
    "slug": "one",
    "title": "One",
    "description": "One.",
    "tags": ["a", "b", "c"],
    "language": "en",
    "variables": [{"name": "who", "type": "string", "required": True, "help": "Who."}],
    "text": "Greet {{ who }}.",
}


def test_there_are_at_least_150_in_24_categories():
    assert len(CATEGORIES) == 24
    by_category = Counter(template.category for template in LIBRARY)
    assert set(by_category) == set(CATEGORIES)
    assert min(by_category.values()) >= 6
    assert len(LIBRARY) >= 150


def test_slugs_and_titles_are_their_own():
    for names in ([template.slug for template in LIBRARY], [template.title.lower() for template in LIBRARY]):
        assert [name for name, count in Counter(names).items() if count > 1] == []
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", template.slug) for template in LIBRARY)
    assert all(len(template.slug) <= 60 and len(template.title) <= 70 for template in LIBRARY)


@each("template", LIBRARY, ids=lambda template: template.slug)
def test_each_is_useful_as_it_stands(template: StarterTemplate):
    assert 100 <= len(template.text.split()) <= 340
    assert 2 <= len(template.variables) <= 7
    assert 3 <= len(template.tags) <= 6
    assert all(variable.help for variable in template.variables)
    # Nothing is left in braces but the variables.
    rest = template.text
    for name in placeholders(template.text):
        rest = re.sub(r"\{\{ *" + name + r" *\}\}", "", rest)
    assert "{{" not in rest
    assert "}}" not in rest


@each("template", LIBRARY, ids=lambda template: template.slug)
def test_each_renders_with_its_defaults_and_a_value_for_the_rest(template: StarterTemplate):
    values = {
        variable.name: {
            VariableType.NUMBER: 3,
            VariableType.CHOICE: variable.choices[0] if variable.choices else "",
            VariableType.LIST: ["one", "two"],
            VariableType.BOOLEAN: True,
        }.get(variable.type, f"<{variable.name}>")
        for variable in template.variables
        if variable.required
    }
    prompt = render(template.text, template.variables, values)
    assert placeholders(prompt) == ()
    assert all(f"<{name}>" in prompt for name, value in values.items() if value == f"<{name}>")


def test_each_category_uses_every_type_of_variable():
    for category, templates in itertools.groupby(LIBRARY, key=lambda template: template.category):
        types = {variable.type for template in templates for variable in template.variables}
        assert types == set(VariableType), category


def test_no_two_are_one_pattern_filled_in():
    """Eight words in a row that stand in three templates are a pattern."""
    places: dict[tuple[str, ...], set[str]] = {}
    for template in LIBRARY:
        words = re.findall(r"\w+", template.text.lower())
        for start in range(len(words) - 7):
            places.setdefault(tuple(words[start : start + 8]), set()).add(template.slug)
    assert {" ".join(run): slugs for run, slugs in places.items() if len(slugs) > 2} == {}


@each(
    ("change", "message"),
    [
        ({"text": "Greet them."}, "declared are"),
        ({"text": "Greet {{ who }} and {{ whom }}."}, "declared are"),
        ({"extra": 1}, "members are"),
        ({"variables": [{"name": "Who", "type": "string", "required": True, "help": ""}]}, "a name"),
        ({"variables": [{"name": "who", "type": "string", "required": False, "help": ""}]}, "neither"),
        ({"variables": [{"name": "who", "type": "choice", "required": True, "help": ""}]}, "no choice"),
        (
            {"variables": [{"name": "who", "type": "number", "required": False, "default": "x", "help": ""}]},
            "the default of who is not a number",
        ),
    ],
)
def test_a_template_that_is_wrong_is_refused(change: dict[str, object], message: str):
    assert read_template(ITEM, "seo").slug == "one"
    with pytest.raises(ValueError, match=message):
        read_template({**ITEM, **change}, "seo")
