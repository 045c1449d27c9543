"""`manage.py serve --prepare`, which `make run` is: from an empty database to a stream by pasting one line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import forked
from tests.waiting import HANG_S

pytestmark = pytest.mark.skipif(
    shutil.which("curl") is None or shutil.which("bash") is None, reason="needs curl and bash, to paste into"
)


@dataclass(frozen=True)
class Run:
    """One start: its greeting, the line pasted from it, and the interrupt that came while the stream was running."""

    port: int
    greeting: list[str]
    pasted: list[str]
    """What the pasted line printed; not curl's progress, which comes in between, wherever a line is."""
    pasted_code: int
    exit_code: int
    """Since the interrupt."""
    output: str


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    directory = tmp_path_factory.mktemp("serve")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    environment = {
        "DEBUG": "1",
        "PORT": str(port),
        "DATABASE_URL": f"sqlite:///{directory / 'db.sqlite3'}",
        # Empty wins over what a .env on a developer's machine may say.
        **dict.fromkeys(("SECRET_KEY", "PROVIDER_CHAIN", "DEEPSEEK_API_KEY", "ZAI_API_KEY", "OPENAI_API_KEY"), ""),
    }
    output = directory / "output"
    with output.open("wb") as sink:
        process = forked.started(["manage.py", "serve", "--prepare"], inherited | environment, output=sink.fileno())
    try:
        greeting = _greeting(process, output)
        (line,) = [line for line in greeting if line.startswith("curl")]
        with (
            (directory / "progress").open("wb") as progress,
            subprocess.Popen(
                ["bash", "-c", line], env=inherited, stdout=subprocess.PIPE, stderr=progress, text=True
            ) as shell,
        ):
            assert shell.stdout is not None
            pasted = []
            for printed in shell.stdout:
                pasted.append(printed.rstrip("\n"))
                if printed.startswith("data:"):
                    break
            process.send_signal(signal.SIGINT)
            pasted += shell.stdout.read().split("\n")
        exit_code = process.wait(HANG_S)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait(10)
    return Run(
        port=port,
        greeting=greeting,
        pasted=pasted,
        pasted_code=shell.returncode,
        exit_code=exit_code,
        output=output.read_text(),
    )


def _greeting(process: forked.Process, output: Path, timeout_s: float = HANG_S) -> list[str]:
    deadline_s = time.monotonic() + timeout_s
    while "curl -N" not in (printed := output.read_text()):
        assert time.monotonic() < deadline_s, f"no greeting: {printed[-2000:]}"
        try:
            # The pause between two looks, cut short if the process leaves.
            process.wait(0.03)
        except subprocess.TimeoutExpired:
            continue
        pytest.fail(f"it left: {output.read_text()[-2000:]}")
    return printed.splitlines()


def test_it_says_where_it_is_and_who_may(run: Run) -> None:
    text = "\n".join(run.greeting)
    assert f"PromptCraft serves at http://127.0.0.1:{run.port}" in text
    assert f"http://127.0.0.1:{run.port}/api/v2/docs/" in text
    assert "dev / dev-password" in text
    assert len(run.greeting) <= 12


def test_the_line_streams_when_it_is_pasted(run: Run) -> None:
    assert run.pasted_code == 0, run.pasted
    events = [line.removeprefix("data: ") for line in run.pasted if line.startswith("data: ")]
    chunks = [json.loads(event) for event in events[:-1]]
    text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"])
    assert "Say hello" in text
    # Without a key the mock answers in development, and nobody could take it for a model.
    assert chunks[0]["promptcraft"] == {"degraded": True}
    assert {chunk["model"] for chunk in chunks} == {"mock"}


def test_an_interrupt_lets_it_finish(run: Run) -> None:
    events = [line for line in run.pasted if line.startswith("data: ")]
    assert events[-1] == "data: [DONE]"


def test_it_leaves_cleanly(run: Run) -> None:
    assert run.exit_code == 0
    assert "Traceback" not in run.output


def test_what_it_prints_is_for_people(run: Run) -> None:
    assert not [line for line in run.output.splitlines() if line.startswith("{")]
