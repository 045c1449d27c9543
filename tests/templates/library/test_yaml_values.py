"""The YAML that templates need, and nothing beside it."""

from __future__ import annotations

import pytest
import yaml

from apps.llm.errors import InvalidRequest
from apps.templates.library.portable import write_yaml
from apps.templates.library.yaml_values import MAX_YAML_EVENTS, parse_yaml
from tests.each import each


@each(
    ("text", "value"),
    [
        ("a", "a"),
        ("''", ""),
        ("~", None),
        ("null", None),
        ("true", True),
        ("False", False),
        ("'true'", "true"),
        ("0", 0),
        ("-12", -12),
        ("12.5", 12.5),
        ("1.5e-07", 1.5e-7),
        # What PyYAML would make something else of.
        ("yes", "yes"),
        ("off", "off"),
        ("1:30", "1:30"),
        ("1:1:1.5", "1:1:1.5"),
        ("2026-11-22", "2026-11-22"),
        ("2026-11-22 10:00:00", "2026-11-22 10:00:00"),
        ("0x1f", "0x1f"),
        ("0b11", "0b11"),
        ("017", "017"),
        ("1_000", "1_000"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("=", "="),
        ("[a, 1, [true]]", ["a", 1, [True]]),
        ("{a: , b: 1}", {"a": None, "b": 1}),
        ("1: one\n1.0: two\ntrue: three\n~: four", {"1": "one", "1.0": "two", "true": "three", "~": "four"}),
        ("'<<': {a: 1}", {"<<": {"a": 1}}),
        ("- a: |\n    %x\n", [{"a": "%x\n"}]),
    ],
)
def test_values(text, value):
    found = parse_yaml(text.encode())
    assert found == value
    assert type(found) is type(value)


@each("value", ["1:1", "1e5", "1.", ".5", "+1", "0o7", "Yes", "2026-11-22", "<<", "=", "-0", "null"])
def test_a_text_that_looks_like_something_else_comes_back(value):
    assert parse_yaml(write_yaml({"a": value, value: [value]})) == {"a": value, value: [value]}


def test_a_number_in_base_60_is_a_text():
    """Its value has as many digits as the text, and each costs a multiplication of all those before."""
    text = "1" + ":1" * 120_000
    assert parse_yaml(f"title: {text}".encode()) == {"title": text}


@each("digits", [31, 5_000, 300_000])
def test_a_number_of_very_many_digits(digits):
    for text in ("9" * digits, f"-0.{'9' * digits}", f"9.0e+{'9' * digits}"):
        with pytest.raises(InvalidRequest, match="digits"):
            parse_yaml(f"title: {text}".encode())


def test_keys_are_strings_whatever_they_look_like():
    """Numbers hash to themselves, so that a client can choose many that collide; strings hash by a secret."""
    step = 2**61 - 1
    keys = [str(number * step) for number in range(12_000)]
    value = parse_yaml("\n".join(f"{key}: a" for key in keys).encode())
    assert value == dict.fromkeys(keys, "a")


@each(
    "text",
    [
        "".join(f"%TAG !a{number}! b\n" for number in range(60_000)) + "--- a",
        "%YAML 1.1\n--- a",
        "a\n...\n%TAG !a! b\n--- b",
        "--- a\n--- b",
        "<<: {a: 1}",
        "a: 1\n<<: [{b: 1}]",
        "{a: 1, a: 2}",
        "{1: a, '1': b}",
        "{[a]: b}",
        "? {a: b}",
        "&a a",
        "[&a a, *a]",
        "!!int 1",
        "! a",
        "[" * 33 + "]" * 33,
        "- " * 33,
        "# nothing",
    ],
    ids=lambda text: text[:20],
)
def test_what_is_refused(text):
    with pytest.raises(InvalidRequest):
        parse_yaml(text.encode())


def test_as_deep_as_it_may_be():
    assert parse_yaml(("[" * 32 + "]" * 32).encode())


@pytest.mark.parametrize("text", ["[{}]".format("a," * 300_000), "{" + "? a, " * 200_000 + "}", "- a\n" * 250_000])
def test_no_more_events_are_looked_at_than_may_be(text, monkeypatch):
    looked_at = 0
    parse = yaml.parse

    def counted(*args, **kwargs):
        nonlocal looked_at
        for event in parse(*args, **kwargs):
            looked_at += 1
            yield event

    monkeypatch.setattr(yaml, "parse", counted)
    with pytest.raises(InvalidRequest):
        parse_yaml(text.encode())
    assert looked_at <= MAX_YAML_EVENTS
