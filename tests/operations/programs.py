"""Programs of the operating system that some tests start: found, or the test is skipped; under CI it fails."""

from __future__ import annotations

import glob
import os
import shutil

import pytest

__all__ = ["need_program"]

# Debian keeps its servers out of the path of those who do not run them.
_PLACES = ("/usr/sbin", "/usr/lib/postgresql/*/bin")


def need_program(name: str, package: str) -> str:
    """Return a program's path. Without it the test is skipped, or fails where CI is set: there it must be installed."""
    found = shutil.which(name)
    for place in _PLACES:
        found = found or next(iter(sorted(glob.glob(f"{place}/{name}"), reverse=True)), None)
    if found is not None:
        return found
    reason = f"{name} is not installed (Debian has it in {package})"
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(reason)
    pytest.skip(reason)
