"""The code of docs/frontend.md, run by Node against a server as it stands there."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from apps.llm.errors import Code
from tests.frontend.code_blocks import modules, write_modules
from tests.operations.programs import need_program
from tests.server import PASSWORD, ROOT, USERNAME, ServerProcess

DOCUMENT = ROOT / "docs" / "frontend.md"
_NODE_S = 60


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with ServerProcess({"PROVIDER_CHAIN": "mock"}) as server:
        yield server


@pytest.fixture(scope="module")
def run(server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """Run a scenario of `drive.mjs` and return its outcome."""
    program = need_program("node", "nodejs")
    folder = tmp_path_factory.mktemp("quick-start")
    write_modules(DOCUMENT, folder, ROOT / "tests" / "frontend")
    given = json.dumps({"server": server.url(), "username": USERNAME, "password": PASSWORD})

    def outcome(scenario: str) -> Any:
        done = subprocess.run(
            [program, "drive.mjs", scenario], cwd=folder, input=given, capture_output=True, text=True, timeout=_NODE_S
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return outcome


def test_the_page_has_every_step() -> None:
    assert sorted(modules(DOCUMENT)) == [f"quick/{name}.mjs" for name in ("log-in", "reload", "stop", "stream")]


def test_a_stream_arrives_whole(run: Callable[[str], Any]) -> None:
    streamed = run("stream")
    assert streamed["finish"] == "stop"
    assert streamed["text"]


def test_the_button_stops_it(server: ServerProcess, run: Callable[[str], Any]) -> None:
    stopped = run("stop")
    assert stopped["finish"] == "cancelled"
    newest = server.call("/api/v2/chat/completions/?limit=1")[2]["data"][0]
    assert newest["status"] == "cancelled"


def test_a_reloaded_page_shows_the_same_answer(run: Callable[[str], Any]) -> None:
    outcome = run("reload")
    assert outcome["nothing"] is None
    assert outcome["second"] == outcome["first"]


def test_a_refusal_says_which_field(run: Callable[[str], Any]) -> None:
    refused = run("refused")
    assert (refused["status"], refused["param"]) == (400, "messages")
    assert refused["requestId"]


def test_the_codes_it_explains_exist() -> None:
    section = DOCUMENT.read_text(encoding="utf-8").partition("\n## Errors\n")[2].partition("\n## ")[0]
    rows = re.findall(r"(?m)^\| (`[^|]+`) \|", section)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)} - {"code"}
    assert len(named) > 10
    assert named <= {code.value for code in Code}
