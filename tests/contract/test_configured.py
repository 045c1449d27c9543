"""The environment as it is felt: a start that is stopped, and a server that does as it was told."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.chat.checks import one_process
from tests.contract.limit_fixtures import CALM, COMPLETIONS, HEALTH, LIVE, Door, error_of, eventually, started
from tests.server import ROOT, ServerProcess
from tests.upstream import UpstreamServer, unanswering_port

SECRET = "only-for-tests-" + "x" * 40

LAUNCHERS = {
    "check": ["manage.py", "check"],
    "migrate": ["manage.py", "migrate"],
    "serve": ["manage.py", "serve", "--prepare"],
    "uvicorn": ["-m", "uvicorn", "promptcraft.asgi:application", "--port", "0"],
    "application": ["-c", "import promptcraft.asgi"],
    "daphne": ["-m", "daphne", "-p", "0", "promptcraft.asgi:application"],
}


def launch(launcher: str, environment: dict[str, str], directory: Path) -> tuple[int, str, float]:
    """Start something that must stop by itself; return its exit code, its output and its seconds of processor."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    output = directory / "output"
    database = {"DATABASE_URL": f"sqlite:///{directory / 'db.sqlite3'}"}
    with output.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, *LAUNCHERS[launcher]],
            cwd=ROOT,
            env=inherited | {"DEBUG": "0"} | database | environment,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            before_s = _children_s()
            process.wait(20)
        except subprocess.TimeoutExpired:
            # Its own group, made above.
            os.killpg(process.pid, 9)
            process.wait(10)
            pytest.fail(f"still running: {output.read_text()[-2000:]}")
    return process.returncode, output.read_text(), _children_s() - before_s


def _children_s() -> float:
    times = os.times()
    return times.children_user + times.children_system


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_missing_secret_stops_every_start_with_one_line(launcher: str, tmp_path: Path) -> None:
    code, output, processor_s = launch(launcher, {}, tmp_path)
    assert code != 0
    assert len(output.splitlines()) == 1
    assert "SECRET_KEY" in output
    # The clock on the wall would measure who else is busy.
    assert processor_s < 2
    assert not (tmp_path / "db.sqlite3").exists()


def test_several_workers_are_refused_with_a_line(tmp_path: Path) -> None:
    """Under any server: it is the application that refuses. `manage.py` runs the check itself."""
    code, output, _ = launch("application", {"SECRET_KEY": SECRET, "WEB_CONCURRENCY": "2"}, tmp_path)
    # uvicorn reads the variable too, and starts a worker that has left with any other code again, for ever.
    assert code == 3
    assert len(output.splitlines()) == 1
    assert "WEB_CONCURRENCY is 2" in output


def test_several_workers_are_an_error_of_the_system_check(settings: Any) -> None:
    settings.WEB_CONCURRENCY = 2
    assert [problem.id for problem in one_process(None)] == ["promptcraft.E001"]
    settings.WEB_CONCURRENCY = 1
    assert one_process(None) == []


# --- seen from outside


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    with UpstreamServer() as upstream, unanswering_port() as port:
        server = ServerProcess(
            CALM
            | {
                "ALLOWED_HOSTS": "here.example,127.0.0.1",
                "CORS_ALLOWED_ORIGINS": "https://app.example",
                "JWT_SIGNING_KEY": "another-key-for-tests-" + "y" * 40,
                "PROVIDER_CHAIN": "zai,deepseek,openai",
                "ZAI_MODEL": "glm-4.7",
                "CHAT_RATE_LIMIT": "3/1s",
                "CONNECT_TIMEOUT": "0.15",
                "LOG_LEVEL": "WARNING",
                "LOG_FORMAT": "console",
            },
            upstream=upstream,
        )
        server.env["OPENAI_BASE_URL"] = f"http://127.0.0.1:{port}/v1"
        with started(server):
            yield Door(server, upstream)


def test_the_chain_is_asked_in_its_order(door: Door) -> None:
    user = door.user()
    status, headers, _ = door.whole(user)
    assert (status, headers["x-promptcraft-provider"], headers["x-promptcraft-model"]) == (200, "zai", "glm-4.7")
    door.upstream.script("zai", "status-500", times=1)
    assert door.whole(user)[1]["x-promptcraft-provider"] == "deepseek"
    assert [one["name"] for one in door.health()["providers"]] == ["zai", "deepseek", "openai"]


def test_the_mock_is_nowhere_where_the_chain_leaves_it_out(door: Door) -> None:
    status, _, body = door.whole(door.user(), model="mock", fallback=False)
    assert (status, error_of(body)["code"]) in ((502, "no_provider"), (400, "invalid_value"))


def test_connecting_has_its_own_deadline(door: Door) -> None:
    began_at_s = time.monotonic()
    status, _, body = door.whole(door.user(), model="gpt-6-luna", fallback=False)
    assert time.monotonic() - began_at_s < 3
    assert (status, error_of(body)["attempts"][0]["end_reason"]) == (504, "connect_timeout")


@pytest.mark.parametrize(("host", "status"), [("here.example", 200), ("127.0.0.1", 200), ("evil.example", 400)])
def test_hosts(door: Door, host: str, status: int) -> None:
    with door.server.open(LIVE, user=None, headers={"Host": host}) as answer:
        body = answer.json()
    assert answer.status == status
    assert status == 200 or error_of(body)["param"] == "Host"


@pytest.mark.parametrize(("origin", "allowed"), [("https://app.example", True), ("https://evil.example", False)])
def test_origins(door: Door, origin: str, allowed: bool) -> None:
    _, headers, _ = door.call(HEALTH, None, headers={"Origin": origin})
    assert headers.get("access-control-allow-origin") == (origin if allowed else None)
    preflight = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    with door.server.open(COMPLETIONS, user=None, method="OPTIONS", headers=preflight) as answer:
        assert ("access-control-allow-methods" in answer.headers) == allowed


def test_tokens_are_signed_with_their_own_key(door: Door) -> None:
    """The harness signs with it; so does the service."""
    assert door.call("/api/v2/auth/me/", door.user())[0] == 200
    with_the_other_key = ServerProcess({"SECRET_KEY": door.server.env["SECRET_KEY"]})
    try:
        with_the_other_key.database = door.server.database
        del with_the_other_key.env["DATABASE_URL"]
        other = Door(with_the_other_key, door.upstream).user()
        headers = with_the_other_key.bearer(other)
    finally:
        shutil.rmtree(with_the_other_key.log_path.parent, ignore_errors=True)
    assert door.call("/api/v2/auth/me/", None, headers=headers)[0] == 401


def test_who_waits_as_told_is_admitted(door: Door) -> None:
    user = door.user()
    answers = [door.call(COMPLETIONS, user, body=b"{") for _ in range(4)]
    assert [status for status, _, _ in answers] == [400, 400, 400, 429]
    headers = answers[3][1]
    assert headers["ratelimit-policy"] == '"chat";q=3;w=1'
    assert headers["retry-after"] == headers["x-ratelimit-reset"] == "1"
    told_at_s = time.monotonic()
    eventually(lambda: time.monotonic() - told_at_s >= 1.0, "the time that was told")
    for _ in range(3):
        assert door.call(COMPLETIONS, user, body=b"{")[0] == 400


def test_the_log_keeps_to_its_level_and_form(door: Door) -> None:
    door.whole(door.user())
    lines = door.server.output().splitlines()
    assert not [line for line in lines if line.startswith("{") or "promptcraft.request" in line]
