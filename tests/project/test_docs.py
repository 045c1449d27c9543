"""What the documents claim, held against the code."""

from __future__ import annotations

import enum
import re
import tomllib
from collections.abc import Iterator

import pytest
from django.core.management import get_commands
from django.urls import URLPattern, URLResolver, get_resolver
from packaging.requirements import Requirement

from apps.llm import errors
from tests.project.tree import ROOT, project_files, text_of

DOCUMENTS = tuple(path for path in project_files() if path.endswith(".md"))
# Answers every path that is nothing.
CATCH_ALL = ""


def _routes(patterns: list[URLPattern | URLResolver], prefix: str = "/") -> Iterator[str]:
    for pattern in patterns:
        route = f"{prefix}{pattern.pattern}"
        if isinstance(pattern, URLResolver):
            yield from _routes(pattern.url_patterns, route)
        elif str(pattern.pattern) != CATCH_ALL or pattern.name:
            yield route


def _endpoints() -> list[str]:
    """Return the paths that the resolver serves, `{}` for each parameter."""
    return sorted({re.sub(r"<[^>]+>", "{}", route) for route in _routes(get_resolver().url_patterns)})


def _table(path: str, heading: str = "") -> dict[str, list[str]]:
    """Return a document's table rows by the names in their first cell, from a heading on to the next one."""
    text = text_of(path)
    if heading:
        text = text.split(f"\n{heading}\n", 1)[1].split("\n## ", 1)[0]
    rows: dict[str, list[str]] = {}
    for line in text.split("\n"):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `"):
            for name in re.findall(r"`([^`]+)`", cells[0]):
                rows[name] = cells
    return rows


def _members(of: type[enum.StrEnum]) -> set[str]:
    return {member.value for member in of}


def test_the_api_page_names_every_endpoint():
    paths = set(re.findall(r"/api/v2/[\w/{}.-]*|/metrics", text_of("docs/api.md")))
    written = {re.sub(r"\{\w*\}", "{}", path).rstrip("/") for path in paths}
    missing = [path for path in _endpoints() if path.startswith("/api/") and path.rstrip("/") not in written]
    assert len(_endpoints()) > 10
    assert not missing, f"Write these into docs/api.md, with their full path: {missing}"


def test_the_api_page_names_no_endpoint_that_is_gone():
    served = {path.rstrip("/") for path in _endpoints()}
    prefixes = {path[: match.start()] for path in served for match in re.finditer("/", f"{path}/")}
    written = {
        re.sub(r"\{\w*\}", "{}", path).rstrip("/.")
        for path in re.findall(r"/api/v2/[\w/{}.-]+", text_of("docs/api.md"))
    }
    gone = sorted(path for path in written if path not in served | prefixes)
    assert not gone, f"docs/api.md names paths that the server does not have: {gone}"


def test_every_error_code_is_explained():
    explained, codes = set(_table("docs/errors.md", "## Codes")), _members(errors.Code)
    assert explained == codes, f"docs/errors.md lacks {sorted(codes - explained)}, invents {sorted(explained - codes)}"


def test_every_failure_reason_is_explained():
    explained, reasons = set(_table("docs/errors.md", "## Reasons in `attempts`")), _members(errors.Failure)
    assert explained == reasons, (
        f"docs/errors.md lacks {sorted(reasons - explained)}, invents {sorted(explained - reasons)}"
    )


def test_each_codes_status_is_the_documented_one():
    rows = _table("docs/errors.md", "## Codes")
    kinds = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.PromptCraftError)
    ]
    differing = {
        kind.default_code.value: kind.http_status
        for kind in kinds
        if rows[kind.default_code.value][1] != str(kind.http_status)
    }
    assert len(kinds) > 10
    assert not differing, f"docs/errors.md gives these another status: {differing}"


def test_deepseek_setup_uses_true_reasons():
    reasons = set(_table("DEEPSEEK_SETUP.md", "## When it does not work"))
    invented = reasons - _members(errors.Failure) - {"mock"}
    assert reasons
    assert not invented, f"DEEPSEEK_SETUP.md explains reasons that do not exist: {sorted(invented)}"


def test_deepseek_setup_has_the_prices_in_force():
    from apps.llm.price_rows import PRICE_ROWS

    newest = {
        row.model: row for row in sorted(PRICE_ROWS, key=lambda row: row.effective_from) if row.provider == "deepseek"
    }
    section = text_of("DEEPSEEK_SETUP.md").split("## Models and prices", 1)[1].split("\n## ", 1)[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section.split("\n") if line.startswith("| `")
    ]
    assert len(rows) > 2
    for name, *prices in rows[1:]:
        row = newest[re.findall(r"`([^`]+)`", name)[0]]
        times = row.peak.multiplier if "peak" in name and row.peak else 1
        shown = [round(float(price) * 1e9) for price in prices[:3]]
        assert shown == [
            row.cached_input_nano_usd_per_mtok * times,
            row.input_nano_usd_per_mtok * times,
            row.output_nano_usd_per_mtok * times,
        ], name


@pytest.mark.parametrize("path", DOCUMENTS)
def test_make_targets_exist(path):
    targets = set(re.findall(r"(?m)^([a-z-]+):", text_of("Makefile")))
    named = set(re.findall(r"(?m)(?:`|^\s*|&& )make ([a-z-]+)", text_of(path)))
    assert named <= targets, f"{path} names make targets that do not exist: {sorted(named - targets)}"


@pytest.mark.parametrize("path", DOCUMENTS)
def test_management_commands_exist(path):
    named = set(re.findall(r"manage\.py ([a-z_]+)", text_of(path)))
    gone = named - set(get_commands())
    assert not gone, f"{path} names management commands that do not exist: {sorted(gone)}"


@pytest.mark.parametrize("path", DOCUMENTS)
def test_links_lead_somewhere(path):
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", text_of(path))
    folder = (ROOT / path).parent
    broken = [target for target in targets if not (folder / target).exists()]
    assert not broken, f"{path} links to files that are not there: {broken}"


@pytest.mark.parametrize("path", DOCUMENTS)
def test_files_that_are_named_exist(path):
    named = re.findall(r"`((?:apps|promptcraft|tests|docs)/[\w/.-]+\.\w+)`", text_of(path))
    gone = sorted({name for name in named if not (ROOT / name).exists()})
    assert not gone, f"{path} names files that are not there: {gone}"


def test_every_runtime_dependency_has_its_reason():
    project = tomllib.loads(text_of("pyproject.toml"))["project"]
    declared = {Requirement(text).name for text in project["dependencies"]}
    explained = {name for name, cells in _table("docs/decisions/dependencies.md").items() if cells[1]}
    assert explained == declared, (
        f"docs/decisions/dependencies.md lacks {sorted(declared - explained)}, keeps {sorted(explained - declared)}"
    )


def test_decisions_are_listed_and_dated():
    decisions = [path for path in project_files() if re.match(r"docs/decisions/\d{4}-", path)]
    listed = re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", text_of("docs/decisions/README.md"))
    assert [f"docs/decisions/{name}" for name in listed] == decisions
    for path in decisions:
        assert re.search(r"(?m)^20\d\d-\d\d-\d\d · (proposed|accepted|superseded by \d{4})$", text_of(path)), path
        for part in ("Context.", "Decision.", "Consequences.", "Rejected."):
            assert f"**{part}**" in text_of(path), f"{path} has no {part}"


# What a file that travels must not hold: addresses of package registries, and paths of somebody's machine. The
# patterns are written so that this file does not match itself.
REGISTRY = re.compile(
    r"https?://[^/\s\"']*(?:pypi|pythonhosted|registr[y]|mirro[r]|package[s]|npmj[s])[^/\s\"']*", re.I
)
MACHINE_PATH = re.compile(r"(?<![\w.~$}/-])/(?:home|root|work|farm|Users)/[\w.-]|[A-Z]:\\Users\\")


def _lines_with(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{path}:{number}"
        for path in project_files()
        for number, line in enumerate(text_of(path).split("\n"), start=1)
        if pattern.search(line)
    ]


def test_no_file_names_a_package_registry():
    assert _lines_with(REGISTRY) == []


def test_no_file_names_a_path_of_somebodys_machine():
    assert _lines_with(MACHINE_PATH) == []


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (REGISTRY, "see https://" + "pypi.org/project/django/"),
        (REGISTRY, "https://files." + "pythonhosted.org/x.whl"),
        (MACHINE_PATH, "cd /" + "home/ann/promptcraft"),
        (MACHINE_PATH, 'open("/' + 'root/.env")'),
    ],
)
def test_the_patterns_see(pattern, line):
    assert pattern.search(line)


def test_a_secret_is_not_committed():
    secret = re.compile(r"\bsk-[A-Za-z0-9]{24,}\b|-----BEGIN [A-Z ]*PRIVATE KEY-----")
    assert _lines_with(secret) == []
    assert ".env" not in project_files()
