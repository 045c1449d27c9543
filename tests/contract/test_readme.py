"""The README's first hour, each block typed as it stands there; but for the port, and the key that is pasted."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest

from tests.contract.machine import PYTHON, Machine
from tests.operations.programs import need_program
from tests.project.tree import ROOT
from tests.waiting import HANG_S

HOUR = (ROOT / "README.md").read_text(encoding="utf-8").partition("## The first hour\n")[2].partition("\n## ")[0]
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", HOUR, re.S)
# What is typed on another machine, or is answered: these are tried one by one below and in test_first_hour.py.
APART = ("make run", "export PROMPTCRAFT_API_KEY", "http.server", "DEEPSEEK_API_KEY", "make user")
TYPED = [block for block in BLOCKS if not any(word in block[1] for word in APART)]
# What each must show.
SHOWN = {
    "curl -N": "data: [DONE]",
    "OpenAI(": "mock provider",
    "// stream.mjs": "mock provider",
    "TOKEN=": '"username":"dev"',
    "httpx.post": "eyJ",
    "// log-in.mjs": "username: 'dev'",
}
pytestmark = pytest.mark.skipif(
    shutil.which("make") is None or shutil.which("bash") is None, reason="needs make and bash, to type into"
)


def here(text: str, machine: Machine) -> str:
    return text.replace("http://127.0.0.1:8000", machine.address)


def typed(machine: Machine, language: str, code: str) -> str:
    """Run a block as its language asks, and return what it prints."""
    environment = machine.environment | {"PROMPTCRAFT_API_KEY": machine.key}
    code = here(code, machine)
    if language == "js":
        name = code.partition("\n")[0].removeprefix("// ")
        (machine.directory / name).write_text(code)
        command = [need_program("node", "nodejs"), name]
    elif language == "python":
        command = [sys.executable, "-c", code]
    else:
        command = [need_program("bash", "bash"), "-ec", code]
    done = subprocess.run(
        command, cwd=machine.directory, env=environment, capture_output=True, text=True, timeout=HANG_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("language", "code"), TYPED, ids=[code[:20].strip() for _, code in TYPED])
def test_a_block_does_what_it_says(machine: Machine, language: str, code: str) -> None:
    (expected,) = [text for mark, text in SHOWN.items() if mark in code]
    assert expected in typed(machine, language, code)


def test_every_language_has_both_steps() -> None:
    assert sorted(language for language, _ in TYPED) == ["js", "js", "python", "python", "sh", "sh"]
    assert len(TYPED) == len(SHOWN)
    for word in APART:
        assert any(word in code for _, code in BLOCKS), word


def test_the_line_to_paste_is_printed_as_it_is_shown(machine: Machine) -> None:
    (shown,) = [code for _, code in BLOCKS if code.startswith("export")]
    assert f"\n{shown.strip().replace('pc-…', machine.key)}\n" in machine.output.read_text()


def test_the_page_is_where_it_says(machine: Machine) -> None:
    (code,) = [code for _, code in BLOCKS if "http.server" in code]
    directory = code.split()[-1]
    assert (machine.directory / directory / "index.html").exists()


def test_a_key_in_the_file_is_read(machine: Machine) -> None:
    (code,) = [code for _, code in BLOCKS if "DEEPSEEK_API_KEY" in code]
    before = (machine.directory / ".env").read_text()
    try:
        typed(machine, "sh", code.replace("sk-…", "sk-of-mine"))
        asked = "from django.conf import settings; print(settings.DEBUG, settings.PROVIDERS['deepseek'].api_key)"
        done = subprocess.run(
            [PYTHON / "bin" / "python", "manage.py", "shell", "-v", "0", "-c", asked],
            cwd=machine.directory,
            env=machine.environment,
            capture_output=True,
            text=True,
            timeout=HANG_S,
            check=False,
        )
        assert done.stdout.startswith("True"), done.stderr
        assert "sk-of-mine" in done.stdout
    finally:
        (machine.directory / ".env").write_text(before)
