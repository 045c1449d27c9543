"""The settings, .env.example and docs/configuration.md name the same variables with the same defaults."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest

from apps.llm.providers import DIALECTS
from promptcraft.settings import ENVIRONMENT
from tests.project.tree import ROOT, parsed, text_of

EXAMPLE_LINE = re.compile(r"(?m)^#?(?P<name>[A-Z][A-Z0-9_]*)=(?P<default>.*)$")
ROW = re.compile(r"(?m)^\|\s*(?P<cells>`[A-Z][A-Z0-9_]*`[^|]*)\|")
VARIABLE = re.compile(r"`([A-Z][A-Z0-9_]+)`")
# Naming the chain, even with its default, lets the mock serve next to real keys.
CHANGES_WHEN_NAMED = {"PROVIDER_CHAIN"}


def _example() -> dict[str, str]:
    return {match["name"]: match["default"] for match in EXAMPLE_LINE.finditer(text_of(".env.example"))}


def _names_read() -> set[str]:
    """Return the variables that settings.py asks its readers for by a literal name, their first string."""
    names: set[str] = set()
    for node in ast.walk(parsed("promptcraft/settings.py")):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.startswith("_"):
            strings = [
                item.value for item in node.args if isinstance(item, ast.Constant) and isinstance(item.value, str)
            ]
            names.update(name for name in strings[:1] if re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*", name))
    return names


def test_settings_list_what_they_read():
    unlisted = _names_read() - set(ENVIRONMENT)
    assert not unlisted, f"promptcraft/settings.py reads these; add them to ENVIRONMENT: {sorted(unlisted)}"
    assert len(set(ENVIRONMENT)) == len(ENVIRONMENT)


def test_settings_read_what_they_list():
    literal = {name for name in ENVIRONMENT if not re.match("|".join(map(str.upper, DIALECTS)), name)}
    unread = literal - _names_read()
    assert not unread, f"promptcraft/settings.py lists these in ENVIRONMENT and never reads them: {sorted(unread)}"


def test_example_names_every_variable():
    example, listed = set(_example()), set(ENVIRONMENT)
    assert example == listed, f".env.example lacks {sorted(listed - example)} and invents {sorted(example - listed)}"


def test_example_sets_nothing_when_copied():
    active = [line for line in text_of(".env.example").split("\n") if line and not line.startswith("#")]
    assert not active, f"Comment these out, so that a copy of the file changes nothing: {active}"


def test_example_has_one_line_on_each_variable():
    lines = text_of(".env.example").split("\n")
    bare = [
        line
        for before, line in zip(lines, lines[1:], strict=False)
        if EXAMPLE_LINE.match(line) and not before.startswith("# ") and not EXAMPLE_LINE.match(before)
    ]
    assert not bare, f".env.example says nothing about {bare}"


def test_the_configuration_page_names_every_variable():
    cells = "".join(match["cells"] for match in ROW.finditer(text_of("docs/configuration.md")))
    named, listed = set(VARIABLE.findall(cells)), set(ENVIRONMENT)
    assert named == listed, f"docs/configuration.md lacks {sorted(listed - named)} and invents {sorted(named - listed)}"


@pytest.mark.parametrize("path", ["DEEPSEEK_SETUP.md", "docs/errors.md", "CONTRIBUTING.md"])
def test_documents_name_only_variables_that_exist(path):
    named = set(VARIABLE.findall(text_of(path)))
    unknown = named - set(ENVIRONMENT) - {"ENVIRONMENT"}
    assert not unknown, f"{path} names variables that the settings do not read: {sorted(unknown)}"


DUMP_SETTINGS = """
import dataclasses, json
import promptcraft.settings as settings

def plain(value):
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) else repr(value)

print(json.dumps({name: getattr(settings, name) for name in dir(settings) if name.isupper()}, default=plain))
"""


def _settings_with(environment: dict[str, str]) -> dict[str, Any]:
    inherited = {name: value for name, value in os.environ.items() if name not in ENVIRONMENT}
    done = subprocess.run(
        [sys.executable, "-c", DUMP_SETTINGS],
        cwd=ROOT,
        env={**inherited, "DEBUG": "0", "SECRET_KEY": "only-for-tests-" * 4, **environment},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    settings: dict[str, Any] = json.loads(done.stdout)
    return settings


def test_example_shows_the_true_defaults():
    shown = {
        name: default
        for name, default in _example().items()
        if default and name not in CHANGES_WHEN_NAMED and not name.endswith(("_BASE_URL", "_MODEL"))
    }
    assert "CHAT_RATE_LIMIT" in shown
    assert _settings_with(shown) == _settings_with({})


@pytest.mark.parametrize("vendor", DIALECTS)
def test_example_shows_each_vendors_defaults(vendor):
    example = _example()
    assert example[f"{vendor.upper()}_BASE_URL"] == DIALECTS[vendor].base_url
    assert example[f"{vendor.upper()}_MODEL"] == DIALECTS[vendor].default_model
