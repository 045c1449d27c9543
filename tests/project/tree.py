"""The project's files as the tests of its papers and rules read them."""

from __future__ import annotations

import ast
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

__all__ = ["ROOT", "parsed", "project_files", "python_files", "text_of"]

ROOT = Path(__file__).resolve().parents[2]
_NEVER_OURS = {"node_modules", "__pycache__", "var", "htmlcov"}
_OURS_THOUGH_HIDDEN = {".ci", ".github"}


@cache
def project_files() -> tuple[str, ...]:
    """Return the paths of all files that are, or would be, committed, relative to the root."""
    if (ROOT / ".git").exists() and shutil.which("git"):
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            cwd=ROOT,
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        paths = [ROOT / name for name in listed.split("\0") if name]
    else:
        paths = list(_walk(ROOT))
    return tuple(sorted(path.relative_to(ROOT).as_posix() for path in paths if path.is_file()))


def _walk(folder: Path) -> Iterator[Path]:
    """Yield files where there is no git to ask: what .gitignore names is left out by its own rules of thumb."""
    for path in folder.iterdir():
        if path.is_dir():
            hidden = path.name.startswith(".") and path.name not in _OURS_THOUGH_HIDDEN
            if not hidden and path.name not in _NEVER_OURS:
                yield from _walk(path)
        elif path.name != ".env" and not path.name.startswith("db.sqlite3"):
            yield path


def python_files() -> tuple[str, ...]:
    """Return the paths of all Python files."""
    return tuple(path for path in project_files() if path.endswith(".py"))


@cache
def text_of(path: str) -> str:
    """Return a file's text; empty if it is not text."""
    try:
        return (ROOT / path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


@cache
def parsed(path: str) -> ast.Module:
    """Return a Python file's syntax tree."""
    return ast.parse(text_of(path), filename=path)
