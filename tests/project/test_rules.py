"""House rules that no linter knows, read off the syntax tree. Each failure says what to do instead."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.project.tree import parsed, project_files, python_files, text_of
from tests.side_by_side import LONGEST

LONGEST_FILE_LINES = 400
LONG_FILES: dict[str, str] = {
    "apps/llm/errors.py": "the one error tree, whole in one place",
    "promptcraft/settings.py": "the one list of settings, with the checks that each of them needs beside it",
}
"""Path of a file that is longer, and the reason why it is not split."""
CODE_SUFFIXES = (".py", ".ts", ".tsx", ".js", ".mjs", ".css", ".html", ".ps1", ".sh")

READS_THE_ENVIRONMENT = {
    "promptcraft/settings.py": "the one reader",
    "promptcraft/asgi.py": "names the settings module",
    "manage.py": "names the settings module",
    "test_deepseek_ai.py": "a script: chooses the settings module and DEBUG before Django starts",
}
IMPORTS_HTTPX = {
    "apps/llm/providers/openai_compatible.py": "the one door to providers",
    "apps/llm/providers/push_transport.py": "its transport",
    "apps/llm/providers/push_connection.py": "its transport",
    "apps/llm/providers/push_stream.py": "its transport",
}
NO_NAMES = ("util", "utils", "helper", "helpers", "manager", "managers", "common", "misc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Something that no node of the tree may be, in the files it applies to."""

    name: str
    example: str
    """Code that breaks it."""
    fix: str
    broken_by: Callable[[ast.AST], bool]
    applies_to: Callable[[str], bool]


def _is_attribute(node: ast.AST, owner: str, *names: str) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and node.attr in names
        and isinstance(node.value, ast.Name)
        and node.value.id == owner
    )


def _imports_from(node: ast.AST, module: str, *names: str) -> bool:
    return (
        isinstance(node, ast.ImportFrom) and node.module == module and any(alias.name in names for alias in node.names)
    )


def _imports(node: ast.AST, package: str) -> bool:
    if isinstance(node, ast.Import):
        return any(alias.name.split(".")[0] == package for alias in node.names)
    return isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == package


RULES = (
    Rule(
        name="no aincr",
        example="await cache.aincr(key)",
        fix="Django's aincr reads and then writes, so counts are lost. Count in the process or in a Lua script.",
        broken_by=lambda node: isinstance(node, ast.Attribute) and node.attr == "aincr",
        applies_to=lambda path: True,
    ),
    Rule(
        name="one reader of the environment",
        example="import os\nos.environ['PORT']",
        fix="Add a setting to promptcraft/settings.py and read it from django.conf.settings.",
        broken_by=lambda node: (
            _is_attribute(node, "os", "environ", "environb", "getenv", "getenvb", "putenv")
            or _imports_from(node, "os", "environ", "environb", "getenv", "getenvb", "putenv")
        ),
        applies_to=lambda path: path not in READS_THE_ENVIRONMENT and not path.startswith("tests/"),
    ),
    Rule(
        name="no line splitting in llm",
        example="for line in body.splitlines(): pass",
        fix="It splits at U+0085, U+2028 and more, or decodes cut characters. Use apps/llm/wire/sse.py.",
        broken_by=lambda node: (
            isinstance(node, ast.Attribute)
            and node.attr in {"splitlines", "iter_lines", "aiter_lines", "iter_text", "aiter_text"}
        ),
        applies_to=lambda path: path.startswith("apps/llm/"),
    ),
    Rule(
        name="no time.sleep",
        example="import time\ntime.sleep(1)",
        fix="It blocks the event loop, and a test that sleeps is slow or flaky. Wait for the event, or take a clock.",
        broken_by=lambda node: _is_attribute(node, "time", "sleep") or _imports_from(node, "time", "sleep"),
        applies_to=lambda path: True,
    ),
    Rule(
        name="one importer of httpx",
        example="from httpx import AsyncClient",
        fix="Upstream requests go through apps/llm/providers/openai_compatible.py.",
        broken_by=lambda node: _imports(node, "httpx"),
        applies_to=lambda path: path not in IMPORTS_HTTPX and not path.startswith("tests/"),
    ),
)


def _breaches(rule: Rule, tree: ast.AST) -> list[int]:
    return [getattr(node, "lineno", 0) for node in ast.walk(tree) if rule.broken_by(node)]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_rule_is_kept(rule):
    breaches = [
        f"{path}:{line}" for path in python_files() if rule.applies_to(path) for line in _breaches(rule, parsed(path))
    ]
    assert not breaches, f"{rule.fix} Found in: {', '.join(breaches)}"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_rule_sees_its_example(rule):
    assert _breaches(rule, ast.parse(rule.example))


@pytest.mark.parametrize("allowed", [READS_THE_ENVIRONMENT, IMPORTS_HTTPX], ids=["environment", "httpx"])
def test_exceptions_name_files_that_exist(allowed):
    gone = sorted(set(allowed) - set(python_files()))
    assert not gone, f"Take these out of the list of exceptions; they are gone: {gone}"


def test_files_are_short():
    lines = {path: text_of(path).count("\n") for path in project_files() if path.endswith(CODE_SUFFIXES)}
    long = {path: count for path, count in lines.items() if count > LONGEST_FILE_LINES}
    unexplained = {path: count for path, count in long.items() if not LONG_FILES.get(path)}
    assert not unexplained, f"Split these, or give the reason in LONG_FILES: {unexplained}"
    stale = sorted(set(LONG_FILES) - set(long))
    assert not stale, f"Short again, or gone; take them out of LONG_FILES: {stale}"


def test_files_that_begin_first_are_there():
    assert set(LONGEST) <= set(python_files())


def test_modules_have_names_that_say_something():
    parts = {path: re.split(r"[/.]", path) for path in python_files()}
    bad = sorted(path for path, names in parts.items() if set(names) & set(NO_NAMES))
    assert not bad, f"Name these after the concept that they hold: {bad}"


def test_classes_have_names_that_say_something():
    # "Manager" is Django's own word, for what hangs on a model as `objects`.
    bad = [
        f"{path}:{node.lineno} {node.name}"
        for path in python_files()
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ClassDef)
        and re.search(r"(Utils?|Helpers?)$|Manager$", node.name)
        and not any("Manager" in ast.unparse(base) for base in node.bases)
    ]
    assert not bad, f"Name these after what they are: {bad}"


def test_nothing_is_left_open():
    # Written so that this file does not match itself.
    marker = re.compile(r"\b(?:TO[D]O|FIX[M]E|X{3}|HAC[K])\b")
    found = [
        f"{path}:{number}"
        for path in project_files()
        if path.endswith((*CODE_SUFFIXES, ".md", ".toml", ".yaml")) or path in {"Makefile", "Procfile", ".ci/run"}
        for number, line in enumerate(text_of(path).split("\n"), start=1)
        if marker.search(line)
    ]
    assert not found, f"Finish it or take it out: {found}"
