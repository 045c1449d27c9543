"""The JavaScript of a document, as a front end would have it in files."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tests.server import ROOT

__all__ = ["EXAMPLES", "modules", "write_modules"]

EXAMPLES = ROOT / "frontend" / "examples"
_BLOCK = re.compile(r"```js\n(.*?)```", re.S)
_NAMED = re.compile(r"// ([a-z]+/[a-z-]+\.mjs)\n(.*)", re.S)


def modules(document: Path) -> dict[str, str]:
    """Return the modules by name. Each block begins with the name of its own; those of one name follow each other."""
    made: dict[str, str] = {}
    for block in _BLOCK.findall(document.read_text(encoding="utf-8")):
        named = _NAMED.fullmatch(block)
        assert named, f"Begin this block with a line such as // after/app.mjs:\n{block[:200]}"
        made[named[1]] = made.get(named[1], "") + named[2]
    return made


def write_modules(document: Path, folder: Path, drivers: Path) -> None:
    """Write them, the client that they import, and the modules of the tests that drive them, into a folder."""
    shutil.copytree(EXAMPLES / "client", folder / "client")
    for name, code in modules(document).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(code, encoding="utf-8")
    for driver in drivers.glob("*.mjs"):
        shutil.copy(driver, folder)
