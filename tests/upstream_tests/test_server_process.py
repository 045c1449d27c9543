"""The harness starts the real service, on every server, and the service reaches the simulator."""

from __future__ import annotations

import pytest

from tests.server import USERNAME, ServerFailed, ServerProcess
from tests.sse_answer import collect
from tests.upstream import VENDORS, Gate, healthy

BODY = {"messages": [{"role": "user", "content": "When does the tide turn?"}], "stream": True}
COMPLETIONS = "/api/v2/chat/completions/"


@pytest.fixture(scope="module")
def server(shared_upstream):
    with ServerProcess(upstream=shared_upstream) as process:
        yield process


def test_a_stream_comes_through(server, upstream):
    with server.open(COMPLETIONS, json=BODY) as stream:
        answer = collect(stream)
    assert (stream.status, answer.text, answer.finish) == (200, VENDORS["deepseek"].default_text, "stop")
    assert (answer.done, answer.ended) == (True, "clean")
    # The relay may hang up at `[DONE]`, a moment before the last chunk.
    assert upstream.journal[-1].usage is not None


def test_a_client_that_vanishes_is_felt_upstream_soon(server, upstream):
    gate = Gate()
    upstream.script("deepseek", healthy(gate=gate, gate_after=2))
    with server.open(COMPLETIONS, json=BODY) as stream:
        next(stream.events())
        stream.reset()
    upstream.soon_hung_up(lambda: server.call("/api/v2/chat/health/", user=None))


def test_users_are_made_and_have_tokens(server):
    name = server.create_user("second")
    status, _, body = server.call("/api/v2/auth/me/", user=name)
    assert (status, body["username"]) == (200, "second")
    assert server.call("/api/v2/auth/me/")[2]["username"] == USERNAME
    assert server.call("/api/v2/auth/me/", user=None)[0] == 401


def test_memory_of_the_process_is_told(server):
    assert 10 * 1024 * 1024 < server.resident_bytes() <= server.peak_resident_bytes()


def test_stop_is_orderly_and_a_new_start_keeps_the_database(shared_upstream):
    with ServerProcess(upstream=shared_upstream, vendors=["zai"]) as process:
        status, headers, first = process.call(COMPLETIONS, json=BODY | {"stream": False})
        assert (status, headers["x-promptcraft-provider"]) == (200, "zai")
        assert process.stop() == 0
        process.start()
        assert process.call(f"{COMPLETIONS}{first['id']}/")[0] == 200
        directory = process.database.parent
    assert not directory.exists()


def test_start_that_fails_says_why():
    with pytest.raises(ServerFailed, match="SECRET_KEY"), ServerProcess({"SECRET_KEY": ""}):
        pass


def test_start_that_must_fail_is_waited_for():
    process = ServerProcess({"GAP_TIMEOUT": "soon"})
    try:
        assert process.start(wait=False).wait(15) == 3
        assert "GAP_TIMEOUT" in process.output()
    finally:
        process.kill()
        process.remove()


@pytest.mark.parametrize("name", ["daphne", "granian"])
def test_other_servers_start_too(shared_upstream, name):
    with ServerProcess(server=name, upstream=shared_upstream) as process:
        with process.open(COMPLETIONS, json=BODY) as stream:
            assert collect(stream).done
        assert process.stop() == 0
