"""The environment as it is felt: a start that is stopped, and a server that does as it was told."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from apps.chat.checks import one_process
from promptcraft.server.uvicorn_program import one_worker
from tests import forked
from tests.contract.limit_fixtures import CALM, COMPLETIONS, HEALTH, LIVE, Door, error_of, eventually, started
from tests.server import ServerProcess
from tests.upstream import UpstreamServer, unanswering_port
from tests.waiting import HANG_S

SECRET = "only-for-tests-" + "x" * 40

APPLICATION = "promptcraft.asgi:application"
# What is started, what is wrong about its environment, and the value that is wrong.
STARTS: dict[str, tuple[list[str], str, str]] = {
    "check": (["manage.py", "check"], "SECRET_KEY", ""),
    "migrate": (["manage.py", "migrate"], "DATABASE_URL", "nonsense"),
    "serve": (["manage.py", "serve", "--prepare"], "SECRET_KEY", ""),
    "uvicorn": (["-m", "uvicorn", APPLICATION, "--port", "0"], "SECRET_KEY", ""),
    "daphne": (["-m", "daphne", "-p", "0", APPLICATION], "GAP_TIMEOUT", "soon"),
    # Under any server it is the application that refuses them.
    "several workers": (["-c", "import promptcraft.asgi"], "WEB_CONCURRENCY", "2"),
}


@dataclass(frozen=True)
class Stopped:
    """A start that stopped by itself."""

    code: int
    lines: list[str]
    database_made: bool


def start(name: str, directory: Path) -> Stopped:
    arguments, wrong, value = STARTS[name]
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    database = directory / f"{name}.sqlite3"
    environment = {"DEBUG": "0", "SECRET_KEY": SECRET, "DATABASE_URL": f"sqlite:///{database}"} | {wrong: value}
    code, output, errors = forked.run(arguments, inherited | environment)
    return Stopped(code, (output + errors).splitlines(), database.exists())


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Stopped]]]:
    """Every start, begun; a test waits for the one that it looks at."""
    directory = tmp_path_factory.mktemp("starts")
    with ThreadPoolExecutor(3) as pool:
        yield {name: pool.submit(start, name, directory) for name in STARTS}


def start_workers() -> str:
    server = ServerProcess(arguments=["--workers", "2"], server="uvicorn")
    try:
        server.start(wait=False).wait()
        return server.output()
    finally:
        server.kill()
        server.remove()


@pytest.fixture(scope="module", autouse=True)
def workers() -> Iterator[Future[str]]:
    """Two workers, begun beside the other tests: uvicorn takes some seconds to give them up."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(start_workers)


@pytest.mark.parametrize("name", STARTS)
def test_a_bad_value_stops_every_start_with_one_line(stopped: dict[str, Future[Stopped]], name: str) -> None:
    seen = stopped[name].result(HANG_S)
    # uvicorn starts a worker that has left with any other code again, for ever.
    assert seen.code == 3
    assert len(seen.lines) == 1
    assert STARTS[name][1] in seen.lines[0]
    assert not seen.database_made


def test_workers_that_only_uvicorn_was_told_of_are_refused_too(workers: Future[str]) -> None:
    """Each worker refuses by itself; with the code that it leaves with, uvicorn does not start it again."""
    output = workers.result(HANG_S)
    lines = [line for line in output.splitlines() if line.startswith("promptcraft: ")]
    assert lines
    assert all("uvicorn runs 2 workers" in line for line in lines)
    assert "startup complete" not in output


def test_one_worker_and_another_server_are_fine() -> None:
    assert one_worker(None) == []


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
    assert (status, error_of(body)["code"]) == (404, "model_not_found")


def test_connecting_has_its_own_deadline(door: Door) -> None:
    status, _, body = door.whole(door.user(), model="gpt-6-luna", fallback=False)
    assert (status, error_of(body)["attempts"][0]["end_reason"]) == (504, "connect_timeout")


@pytest.mark.parametrize(("host", "status"), [("here.example", 200), ("127.0.0.1", 200), ("evil.example", 400)])
def test_hosts(door: Door, host: str, status: int) -> None:
    with door.server.open(LIVE, user=None, headers={"Host": host}) as answer:
        body = answer.json()
    assert answer.status == status
    assert status == 200 or error_of(body)["param"] == "Host"


@pytest.mark.parametrize(("host", "status"), [("here.example", 200), ("evil.example", 400)])
def test_a_preflight_is_for_a_host_of_ours(door: Door, host: str, status: int) -> None:
    headers = {"Host": host, "Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    with door.server.open(COMPLETIONS, user=None, method="OPTIONS", headers=headers) as answer:
        body = answer.read()
    assert answer.status == status
    assert status == 200 or error_of(json.loads(body))["param"] == "Host"


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
