"""`python -m tests.upstream`, as a person uses it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

from tests.server import ROOT
from tests.sse_client import open_stream
from tests.upstream import CATALOGUE

COMMAND = [sys.executable, "-m", "tests.upstream"]


def test_list_names_every_scenario():
    done = subprocess.run([*COMMAND, "--list"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=20)
    for name, scenario in CATALOGUE.items():
        assert f"  {name} " in done.stdout
        assert scenario.description in done.stdout


def test_unknown_scenario_is_refused_in_one_line():
    done = subprocess.run([*COMMAND, "--scenario", "stal"], cwd=ROOT, capture_output=True, text=True, timeout=20)
    assert done.returncode == 2
    assert "no scenario 'stal'" in done.stderr


def test_serves_prints_its_environment_and_its_journal():
    command = [*COMMAND, "--scenario", "done-without-finish"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        # Reading blocks: this ends it should the line that is waited for never come.
        guard = threading.Timer(20, process.kill)
        guard.start()
        try:
            assert process.stdout is not None
            printed = process.stdout
            pairs = (printed.readline().strip().partition("=") for _ in range(6))
            variables = {name: value for name, _, value in pairs}
            assert variables["OPENAI_API_KEY"] == "any"
            with open_stream(variables["ZAI_BASE_URL"] + "/chat/completions", json={"model": "m"}) as stream:
                assert stream.read().endswith(b"data: [DONE]\n\n")
            lines: list[str] = []
            while not lines or "complete" not in lines[-1]:
                lines.append(printed.readline())
                assert lines[-1], "it left"
            assert "done-without-finish: two deltas" in lines[0]
            assert "#1 zai POST" in lines[-1]
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0
        finally:
            guard.cancel()
            process.kill()
