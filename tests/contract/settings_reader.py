"""What the settings make of an environment, read in a process of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import Any

from tests.server import ROOT
from tests.waiting import PROGRAM_HANG_S

__all__ = ["Outcome", "ReadSettings", "settings_reader"]

Outcome = dict[str, Any]
ReadSettings = Callable[..., list[Outcome]]

# Reads a tree's settings again for each environment of a line on its input, and says what became of them.
_READ_SETTINGS = """
import contextlib, dataclasses, functools, io, json, os, pathlib, sys

def plain(value):
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) else repr(value)

@functools.cache
def compiled(file):
    return compile(pathlib.Path(file).read_text(), file, "exec")

inherited = dict(os.environ)
for line in sys.stdin:
    file, cases = json.loads(line)
    outcomes = []
    for case in cases:
        os.environ.clear()
        os.environ.update(inherited | case)
        said = io.StringIO()
        settings = {"__name__": "settings", "__file__": file}
        try:
            with contextlib.redirect_stderr(said):
                exec(compiled(file), settings)
            outcome = {"settings": {name: value for name, value in settings.items() if name.isupper()}}
        except SystemExit as stop:
            outcome = {"stop": said.getvalue().rstrip("\\n"), "code": stop.code}
        except BaseException as error:
            outcome = {"broke": repr(error)}
        outcomes.append(outcome)
    print(json.dumps(outcomes, default=plain), flush=True)
"""


@contextmanager
def settings_reader() -> Iterator[ReadSettings]:
    """Yield a function that returns, for each environment, the `settings`, or what the start would `stop` with."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    command = [sys.executable, "-c", _READ_SETTINGS]
    with subprocess.Popen(
        command, cwd=ROOT, env=inherited, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:

        def read(cases: Sequence[Mapping[str, str]], root: Path = ROOT) -> list[Outcome]:
            assert process.stdin is not None
            assert process.stdout is not None
            hung = Timer(PROGRAM_HANG_S, process.kill)
            hung.start()
            try:
                process.stdin.write(json.dumps([str(root / "promptcraft" / "settings.py"), cases]) + "\n")
                process.stdin.flush()
                outcomes: list[Outcome] = json.loads(process.stdout.readline())
            finally:
                hung.cancel()
            return outcomes

        yield read
