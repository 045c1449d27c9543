"""pyproject.toml, the two requirements files and what is installed agree; checked without a network."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from typing import Any

import pytest
from packaging.markers import Marker, default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from promptcraft.version import VERSION
from tests.project.tree import text_of

LOCKS = ("requirements.txt", "requirements-dev.txt")
PLATFORMS = {
    "linux": {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"},
    "macos": {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix"},
    "windows": {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt"},
}
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
RELOCK = "Run: make lock"

_PIN = re.compile(
    r"(?m)^(?P<name>[a-z0-9-]+)==(?P<version>\S+?)(?: ; (?P<marker>[^\\\n]+?))? \\\n(?P<rest>(?: {4}.*\n)+)"
)


def _pins(lock: str) -> dict[str, re.Match[str]]:
    return {match["name"]: match for match in _PIN.finditer(text_of(lock))}


def _project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads(text_of("pyproject.toml"))["project"]
    return project


def _declared(lock: str) -> list[Requirement]:
    project = _project()
    groups = [project["dependencies"]]
    if lock == "requirements-dev.txt":
        groups.append(project["optional-dependencies"]["dev"])
    return [Requirement(text) for group in groups for text in group]


def _environment(platform: str, python: str, extra: str) -> dict[str, str]:
    here = {name: str(value) for name, value in default_environment().items()}
    there = {"python_version": python, "python_full_version": f"{python}.0", "implementation_name": "cpython"}
    return {**here, **PLATFORMS[platform], **there, "extra": extra}


def _reached(lock: str, platform: str, python: str) -> set[str]:
    """Return the names of everything that an installation on that platform needs, from the installed metadata."""
    reached: set[tuple[str, str]] = set()
    waiting = [
        (canonicalize_name(requirement.name), extra)
        for requirement in _declared(lock)
        if not requirement.marker or requirement.marker.evaluate(_environment(platform, python, ""))
        for extra in ("", *requirement.extras)
    ]
    while waiting:
        item = waiting.pop()
        if item in reached:
            continue
        reached.add(item)
        name, extra = item
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            # Named in the lock or not, which the caller finds out; what it needs in turn is not known here.
            continue
        for requirement in map(Requirement, needs):
            if requirement.marker and not requirement.marker.evaluate(_environment(platform, python, extra)):
                continue
            waiting += [(canonicalize_name(requirement.name), more) for more in ("", *requirement.extras)]
    return {name for name, _ in reached}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_declared_dependency_is_pinned_within_its_range(lock):
    pins = _pins(lock)
    wrong = [
        str(requirement)
        for requirement in _declared(lock)
        if (pin := pins.get(canonicalize_name(requirement.name))) is None
        or not requirement.specifier.contains(pin["version"], prereleases=True)
    ]
    assert not wrong, f"{lock} does not satisfy {wrong}. {RELOCK}"


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("lock", LOCKS)
def test_lock_is_complete_on_every_platform(lock, platform, python):
    missing = _reached(lock, platform, python) - set(_pins(lock))
    assert not missing, (
        f"Hash-checking mode refuses what {lock} lacks on {platform} with Python {python}: {sorted(missing)}. "
        "pip-compile leaves out what only another platform needs: declare it in pyproject.toml, without a marker."
    )


@pytest.mark.parametrize("lock", LOCKS)
def test_nothing_is_pinned_that_nothing_needs(lock):
    needed = set().union(*(_reached(lock, platform, python) for platform in PLATFORMS for python in PYTHONS))
    stray = set(_pins(lock)) - needed
    assert not stray, f"{lock} pins {sorted(stray)}, which nothing needs. {RELOCK}"


@pytest.mark.parametrize("lock", LOCKS)
def test_every_line_is_a_pin_with_hashes(lock):
    rest = _PIN.sub("", text_of(lock))
    stray = [line for line in rest.split("\n") if line and not line.startswith("#")]
    assert not stray, f"{lock} holds lines that are no pins: {stray}. {RELOCK}"
    bare = [name for name, pin in _pins(lock).items() if "--hash=sha256:" not in pin["rest"]]
    assert not bare, f"{lock} has no hashes for {bare}. {RELOCK}"
    assert "://" not in text_of(lock), f"{lock} holds an address. {RELOCK}"


def test_the_two_locks_agree():
    runtime, development = _pins("requirements.txt"), _pins("requirements-dev.txt")
    differing = [
        name
        for name, pin in runtime.items()
        if name not in development or development[name]["version"] != pin["version"]
    ]
    assert runtime
    assert not differing, f"The two locks differ in {differing}. {RELOCK}"


def test_what_is_installed_is_what_is_pinned():
    differing = {}
    for name, pin in _pins("requirements-dev.txt").items():
        if pin["marker"] and not Marker(pin["marker"]).evaluate():
            continue
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            installed = "absent"
        if installed == "absent" or Version(installed) != Version(pin["version"]):
            differing[name] = f"{installed}, pinned {pin['version']}"
    assert not differing, f"This environment is not the pinned one: {differing}. Start the tests with: make test"


def test_the_version_is_one():
    assert _project()["version"] == VERSION, "pyproject.toml and promptcraft/version.py differ"
