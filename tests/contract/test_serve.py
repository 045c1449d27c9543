"""`manage.py serve --prepare`, which `make run` is: from an empty database to a stream by pasting one line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.server import ROOT
from tests.sse_answer import Collected, collect
from tests.sse_client import SseStream, open_stream

curl = pytest.mark.skipif(shutil.which("curl") is None or shutil.which("bash") is None, reason="needs curl and bash")


@dataclass(frozen=True)
class Run:
    """One start, stopped by hand again: what it printed until it was ready, and afterwards."""

    greeting: list[str]
    pasted: subprocess.CompletedProcess[str] | None
    streamed: Collected | None
    """What a stream was that ran when it was told to stop."""
    exit_code: int
    exit_after_s: float
    ready_after_s: float
    output: str
    port: int


def serve(directory: Path, *, paste: bool = False, stream: bool = False) -> Run:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    output = directory / "output"
    with output.open("wb") as sink:
        began_at_s = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "manage.py", "serve", "--prepare"],
            cwd=ROOT,
            # The development machine's own .env must not be read by a test; these win over it.
            env=inherited
            | {
                "DEBUG": "1",
                "SECRET_KEY": "",
                "PORT": str(port),
                "DATABASE_URL": f"sqlite:///{directory / 'db.sqlite3'}",
            }
            | {"PROVIDER_CHAIN": "", "DEEPSEEK_API_KEY": "", "ZAI_API_KEY": "", "OPENAI_API_KEY": ""},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_greeting(process, output)
        ready_after_s = time.monotonic() - began_at_s
        greeting = output.read_text().splitlines()
        pasted = None
        if paste:
            (line,) = [line for line in greeting if line.startswith("curl")]
            pasted = subprocess.run(
                ["bash", "-c", line], env=inherited, capture_output=True, text=True, timeout=20, check=False
            )
        streamed = None
        with _stream(port) if stream else nullcontext() as running:
            stopped_at_s = time.monotonic()
            process.send_signal(signal.SIGINT)
            if running is not None:
                streamed = collect(running)
        exit_code = process.wait(20)
        exit_after_s = time.monotonic() - stopped_at_s
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)
    return Run(
        greeting=greeting,
        pasted=pasted,
        streamed=streamed,
        exit_code=exit_code,
        exit_after_s=exit_after_s,
        ready_after_s=ready_after_s,
        output=output.read_text(),
        port=port,
    )


def _stream(port: int) -> SseStream:
    address = f"http://127.0.0.1:{port}/api/v2"
    with open_stream(f"{address}/auth/token/", json={"username": "dev", "password": "dev-password"}) as answer:
        token = answer.json()["access"]
    body = {"messages": [{"role": "user", "content": "Go on."}], "stream": True, "max_tokens": 20}
    return open_stream(f"{address}/chat/completions/", json=body, headers={"Authorization": f"Bearer {token}"})


def _wait_greeting(process: subprocess.Popen[bytes], output: Path, timeout_s: float = 30.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while "curl -N" not in output.read_text():
        assert time.monotonic() < deadline_s, f"no greeting: {output.read_text()[-2000:]}"
        try:
            # The pause between two looks, cut short if the process leaves.
            process.wait(0.03)
        except subprocess.TimeoutExpired:
            continue
        pytest.fail(f"it left: {output.read_text()[-2000:]}")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    """The first start and the second."""
    directory = tmp_path_factory.mktemp("serve")
    return serve(directory, paste=shutil.which("curl") is not None), serve(directory, stream=True)


def test_it_says_where_it_is_and_who_may(runs: tuple[Run, Run]) -> None:
    for run in runs:
        text = "\n".join(run.greeting)
        assert f"PromptCraft serves at http://127.0.0.1:{run.port}" in text
        assert "dev / dev-password" in text
        assert f"http://127.0.0.1:{run.port}/api/v2/docs/" in text


@curl
def test_the_line_streams_when_it_is_pasted(runs: tuple[Run, Run]) -> None:
    pasted = runs[0].pasted
    assert pasted is not None
    assert pasted.returncode == 0, pasted.stderr
    events = [line.removeprefix("data: ") for line in pasted.stdout.splitlines() if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"])
    assert "Say hello" in text
    # Nobody could take it for a model's.
    assert chunks[0]["promptcraft"] == {"degraded": True}
    assert {chunk["model"] for chunk in chunks} == {"mock"}


def test_it_stops_at_once_and_cleanly(runs: tuple[Run, Run]) -> None:
    for run in runs:
        assert run.exit_code == 0
        assert run.exit_after_s < 5
        assert "Traceback" not in run.output


def test_what_runs_finishes_first(runs: tuple[Run, Run]) -> None:
    streamed = runs[1].streamed
    assert streamed is not None
    assert (streamed.done, streamed.finish) == (True, "length")


def test_the_second_start_is_quick(runs: tuple[Run, Run]) -> None:
    first, second = runs
    assert second.ready_after_s < 10
    assert second.ready_after_s < first.ready_after_s + 1


def test_what_it_prints_for_people_is_for_people(runs: tuple[Run, Run]) -> None:
    for run in runs:
        assert not [line for line in run.output.splitlines() if line.startswith("{")]
        assert len(run.greeting) <= 12
