"""Rendering: plain, linear, and blind to whatever a value says."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.llm.errors import Code, InvalidRequest
from apps.templates import rendering
from apps.templates.rendering import placeholders, render
from apps.templates.rules.anatomy import read_anatomy
from apps.templates.variables import Variable, VariableType
from tests.each import each


def variable(name: str, kind: str = "text", **rest: object) -> Variable:
    return Variable(name=name, type=VariableType(kind), required="default" not in rest, **rest)  # type: ignore[arg-type]


@each(
    ("kind", "value", "text"),
    [
        ("string", "a tide", "a tide"),
        ("text", "a\nb", "a\nb"),
        ("number", 3, "3"),
        ("number", -0.5, "-0.5"),
        ("choice", "warm", "warm"),
        ("list", ["a", "b"], "- a\n- b"),
        ("list", [], ""),
        ("boolean", True, "yes"),
        ("boolean", False, "no"),
    ],
)
def test_each_type_has_its_writing(kind: str, value: object, text: str):
    known = variable("it", kind, choices=("warm", "cold") if kind == "choice" else ())
    assert render("[{{ it }}]", [known], {"it": value}) == f"[{text}]"


@each(
    ("kind", "value", "takes"),
    [
        ("string", "two\nlines", "one line of text"),
        ("string", 3, "one line of text"),
        ("text", None, "Missing: it"),
        ("text", ["a"], "text"),
        ("number", "3", "a number"),
        ("number", True, "a number"),
        ("number", float("nan"), "a number"),
        ("number", float("inf"), "a number"),
        ("number", 10**18, "18 digits"),
        ("choice", "hot", "one of warm, cold"),
        ("list", "a", "a list of strings"),
        ("list", ["a", 1], "a list of strings"),
        ("boolean", "yes", "true or false"),
        ("boolean", 1, "true or false"),
    ],
)
def test_a_value_of_another_type_is_named(kind: str, value: object, takes: str):
    known = variable("it", kind, choices=("warm", "cold") if kind == "choice" else ())
    with pytest.raises(InvalidRequest, match=takes) as refused:
        render("{{ it }}", [known], {"it": value})
    assert refused.value.param == "variables.it"


def test_all_that_is_wrong_is_named_at_once():
    known = [variable("here"), variable("gone"), variable("count", "number")]
    with pytest.raises(InvalidRequest) as refused:
        render("", known, {"here": "x", "count": "three", "more": 1, "other": 2})
    assert refused.value.message == "Missing: gone. Of another type: count (a number). Unknown: more, other."
    assert (refused.value.http_status, refused.value.param) == (400, "variables.gone")


def test_what_is_missing_alone_has_a_code_of_its_own():
    known = [variable("here"), variable("gone"), variable("lost"), variable("count", "number")]
    with pytest.raises(InvalidRequest) as refused:
        render("", known, {"here": "x", "count": 1, "gone": None})
    assert (refused.value.code, refused.value.param) == (Code.MISSING_FIELD, "variables.gone")
    assert refused.value.message == "Missing: gone, lost."
    for more in ({"moon": 1}, {"count": "three"}):
        with pytest.raises(InvalidRequest) as refused:
            render("", known, {"here": "x", "count": 1, **more})
        assert (refused.value.code, refused.value.param) == (Code.INVALID_VALUE, "variables.gone")


def test_of_very_many_the_first_are_named():
    with pytest.raises(InvalidRequest) as refused:
        render("", [], {"x" * 100_000 + str(number): 1 for number in range(1_000)})
    assert len(refused.value.message) < 4_000
    assert "and 990 more" in refused.value.message


def test_defaults_stand_in():
    known = [variable("tone", "choice", default="warm", choices=("warm", "cold"))]
    assert render("{{ tone }}", known, {}) == "warm"
    assert render("{{ tone }}", known, {"tone": "cold"}) == "cold"


@each(
    "text",
    [
        "{{ it.__class__ }}",
        "{{ it|upper }}",
        "{{ it[0] }}",
        "{% if it %}x{% endif %}",
        "{it} {0} {it!r}",
        "%(it)s ${it}",
        "{{ It }} {{ 1t }} {{ it it }} {{}} {{ }}",
        "{{\nit }}",
        "{{ it }",
        f"{{{{{' ' * 65}it }}}}",
        f"{{{{ it{chr(9) * 65}}}}}",
    ],
)
def test_all_else_is_text(text: str):
    assert placeholders(text) == ()
    assert render(text, [variable("it")], {"it": "X"}) == text


@each("text", ["{{it}}", "{{   it\t}}", "{{\tit }}", "{{" + " " * 64 + "it" + "\t" * 64 + "}}"])
def test_spaces_and_tabs_in_the_braces_say_nothing(text: str):
    assert placeholders(text) == ("it",)
    assert render(f"<{text}>", [variable("it")], {"it": "x"}) == "<x>"
    assert read_anatomy(text).placeholders == ("it",)


@each("value", ["{{ other }}", "{{ it }}", "{% x %}", "\\g<1>", "\\1", "{0}", "%s", "}}{{"])
def test_a_value_is_written_once_and_not_looked_at(value: str):
    known = [variable("it"), variable("other")]
    assert render("<{{ it }}|{{other}}>", known, {"it": value, "other": "O"}) == f"<{value}|O>"


@given(
    st.lists(st.sampled_from(["{{", "}}", "{", "}", " ", "\t", "it", "{{ it }}", "{{it}}", "é", "\n", "{{ no }}"])),
    st.text(),
)
def test_against_a_reader_of_single_characters(pieces: list[str], value: str):
    text = "".join(pieces)
    assert render(text, [variable("it")], {"it": value}) == slow_render(text, value)


def slow_render(text: str, value: str) -> str:
    out, at = [], 0
    while at < len(text):
        if text.startswith("{{", at):
            start = at + 2
            while start < len(text) and text[start] in " \t" and start - at - 2 < 64:
                start += 1
            if text.startswith("it", start):
                end = start + 2
                while end < len(text) and text[end] in " \t" and end - start - 2 < 64:
                    end += 1
                if text.startswith("}}", end):
                    out.append(value)
                    at = end + 2
                    continue
        out.append(text[at])
        at += 1
    return "".join(out)


@each(
    ("text", "count"),
    [
        ("word " * 200_000, 1),
        ("{{ v0 }} " * 100_000, 1),
        ("{{" * 500_000, 1),
        ("{{ " * 330_000, 1),
        (" " * 500_000 + "{{" + " " * 500_000, 1),
        ("".join(f"{{{{ v{number} }}}}" for number in range(10_000)), 10_000),
    ],
    ids=["plain", "one often", "braces", "braces and spaces", "spaces", "10,000 variables"],
)
def test_a_mebibyte_or_ten_thousand_variables_are_quick(text: str, count: int):
    known = [variable(f"v{number}") for number in range(count)]
    values = {f"v{number}": "x" for number in range(count)}
    eighth = text[: len(text) // 8]
    least_s, took_s = (min(timed(part, known, values) for _ in range(5)) for part in (eighth, text))
    # What is linear takes eight times as long, what is not takes sixty-four times.
    assert took_s < 24 * max(least_s, 0.0005)


def timed(text: str, known: list[Variable], values: dict[str, str]) -> float:
    began_at_s = time.thread_time()
    render(text, known, values)
    return time.thread_time() - began_at_s


def test_what_would_be_too_long_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rendering, "MAX_RENDERED_CHARACTERS", 1_000)
    with pytest.raises(InvalidRequest, match="1,000 characters"):
        render("{{ it }}" * 20, [variable("it")], {"it": "x" * 100})
    with pytest.raises(InvalidRequest, match="at most 1,000,000 characters"):
        render("{{ it }}", [variable("it")], {"it": "x" * 1_000_001})
