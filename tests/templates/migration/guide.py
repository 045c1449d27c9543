"""The code of the migration guide, as a front end would have it in files."""

from __future__ import annotations

import re
from pathlib import Path

from tests.server import ROOT

__all__ = ["GUIDE", "modules", "write_modules"]

GUIDE = ROOT / "docs" / "migration-websocket-to-sse.md"
_BLOCK = re.compile(r"```js\n(.*?)```", re.S)
_NAMED = re.compile(r"// ((?:before|after)/[a-z]+\.mjs)\n(.*)", re.S)


def modules() -> dict[str, str]:
    """Return the modules by name. Each block begins with the name of its own; those of one name follow each other."""
    made: dict[str, str] = {}
    for block in _BLOCK.findall(GUIDE.read_text()):
        named = _NAMED.fullmatch(block)
        assert named, f"Begin this block with a line such as // after/app.mjs:\n{block[:200]}"
        made[named[1]] = made.get(named[1], "") + named[2]
    return made


def write_modules(folder: Path) -> None:
    """Write them, and what drives them, into a folder."""
    for name, code in modules().items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(code)
    for driver in Path(__file__).parent.glob("*.mjs"):
        (folder / driver.name).write_text(driver.read_text())
