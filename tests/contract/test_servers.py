"""What every server must do that the application promises to run under, Django's own for development included.

Besides these, a core of the package's tests runs under three of them: see conftest.
"""

from __future__ import annotations

import importlib
import inspect
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.contract.conftest import EVERY_SERVER, SERVERS
from tests.contract.limit_fixtures import eventually
from tests.contract.stream_fixtures import PROMPT, Relay, Relays, events_of
from tests.server import ServerName
from tests.sse_answer import collect
from tests.upstream import Answer, Gate, Scenario, healthy

PIECES = ("One ", "two ", "🦉 three ", "four\u2028")
NAMES: tuple[ServerName, ...] = (*SERVERS, "runserver")


@pytest.fixture(params=NAMES)
def served(request: pytest.FixtureRequest, relays: Relays, upstream: object) -> Relay:
    return relays.relay(request.param, "patient")


@pytest.fixture(params=SERVERS)
def strict(request: pytest.FixtureRequest, relays: Relays, upstream: object) -> Relay:
    """Three completions a minute, two streams at once."""
    relays.relay("uvicorn", "patient")
    return relays.relay(request.param, "strict")


def said(gate: Gate | None = None, after: int | None = None) -> Scenario:
    return healthy(answer=Answer(pieces=PIECES, reasoning=""), gate=gate, gate_after=after)


def test_stream_and_its_headers(served: Relay):
    served.upstream.script("deepseek", said())
    with served.begin(stream_options={"include_usage": True}, headers={"Accept-Encoding": "gzip"}) as stream:
        answer = collect(stream)
    assert stream.status == 200
    expected = {
        "content-type": "text/event-stream; charset=utf-8",
        "cache-control": "no-cache, no-transform",
        "x-accel-buffering": "no",
        "x-promptcraft-provider": "deepseek",
        "x-promptcraft-model": "deepseek-flash",
        "x-promptcraft-fallback-count": "0",
    }
    assert {name: stream.headers.get(name) for name in expected} == expected
    assert {"content-encoding", "content-length"} & set(stream.headers) == set()
    assert {"x-promptcraft-completion-id", "ratelimit", "ratelimit-policy", "x-request-id"} <= set(stream.headers)
    assert (answer.text, answer.finish, answer.done, answer.ended) == ("".join(PIECES), "stop", True, "clean")
    assert answer.ids == [1, 2, 3, 4, 5, 6]
    assert answer.usage is not None


def test_events_are_sent_as_they_come(served: Relay):
    gate = Gate()
    served.upstream.script("deepseek", said(gate))
    gate.release(1)
    with served.begin() as stream:
        events = stream.events()
        for piece in PIECES:
            assert next(events).json()["choices"][0]["delta"]["content"] == piece
            gate.release(1)
        assert [event.data for event in events][-1] == "[DONE]"


def test_without_streaming_and_without_slash(served: Relay):
    status, headers, body = served.call("/api/v2/chat/completions", json={"messages": PROMPT})
    assert (status, headers["content-type"], body["status"]) == (200, "application/json", "completed")
    assert served.detail(body["id"])[2] == body


def test_failure_before_the_first_content_has_its_status(served: Relay):
    for vendor in ("deepseek", "zai", "openai"):
        served.upstream.script(vendor, "status-500")
    with served.begin() as stream:
        assert (stream.status, stream.headers["content-type"]) == (502, "application/json")
        assert stream.json()["error"]["code"] == "all_providers_failed"


def test_failure_after_it_is_in_the_stream(served: Relay):
    served.upstream.script("deepseek", "cut-by-reset")
    with served.begin() as stream:
        answer = collect(stream)
    assert (stream.status, answer.done, answer.finish, answer.ended) == (200, False, "error", "clean")


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("after", [0, 2])
def test_client_that_leaves_closes_upstream_soon(served: Relay, how: str, after: int):
    gate = Gate()
    served.upstream.script("deepseek", said(gate, after))
    if after:
        stream = served.begin()
        events_of(stream, after)
        getattr(stream, how)()
    else:
        client = served.send(stream=True)
        gate.wait_reached()
        client.close()
    served.soon_hung_up()
    assert len(served.upstream.exchanges()) == 1


def test_resume_while_it_runs_and_cancel(served: Relay):
    gate = Gate()
    served.upstream.script("deepseek", said(gate, 2))
    with served.begin() as first:
        completion_id = events_of(first, 2)[0].json()["id"]
        with served.events(completion_id, 1) as second:
            assert events_of(second, 1)[0].json()["choices"][0]["delta"]["content"] == "two "
            assert served.cancel(completion_id)[0] == 200
            for stream in (first, second):
                answer = collect(stream)
                assert (answer.finishes, answer.done) == (["cancelled"], True)
    served.soon_hung_up()
    with served.events(completion_id, 4) as nothing_new:
        assert (nothing_new.status, nothing_new.read()) == (204, b"")


def test_many_streams_at_once(served: Relay):
    served.upstream.script("deepseek", said())
    served.headers()

    def one(_: int) -> str:
        with served.begin() as stream:
            answer = collect(stream)
        assert answer.done
        return answer.text

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(one, range(32))) == {"".join(PIECES)}


def test_long_answer(served: Relay):
    pieces = tuple(f"{number:05d} {'tide ' * 40}" for number in range(2_000))
    served.upstream.script("zai", healthy(answer=Answer(pieces=pieces, reasoning="")))
    with served.begin(model="glm-4.7", receive_buffer_bytes=16_384) as stream:
        assert collect(stream).text == "".join(pieces)


def test_head_of_a_stream_has_no_body(served: Relay):
    status, _, body = served.whole()
    assert status == 200
    with served.events(body["id"], method="HEAD") as response:
        assert response.status == 200
        assert response.read() == b""


def test_rate_limit(strict: Relay):
    user = strict.new_user()
    for remaining in ("2", "1", "0"):
        status, headers, _ = strict.whole(as_user=user)
        assert (status, headers["x-ratelimit-remaining"]) == (200, remaining)
    with strict.begin(as_user=user) as stream:
        assert (stream.status, stream.json()["error"]["code"]) == (429, "rate_limited")
        assert 55 <= int(stream.headers["retry-after"]) <= 60


def test_streams_of_a_user(strict: Relay):
    user, gate = strict.new_user(), Gate()
    strict.upstream.script("deepseek", said(gate, 1))
    with strict.begin(as_user=user) as first, strict.begin(as_user=user) as second:
        events_of(first, 1)
        events_of(second, 1)
        with strict.begin(as_user=user) as third:
            assert (third.status, third.json()["error"]["code"]) == (429, "too_many_streams")
        second.reset()
        # The lost one's slot comes back by itself.
        eventually(lambda: strict.active_streams() == 1, "one stream left")
        with strict.begin(as_user=user) as third:
            gate.release()
            assert collect(third).done
        assert collect(first).done


def test_names_of_the_core_are_tests():
    for module, names in EVERY_SERVER.items():
        source = importlib.import_module(f"tests.contract.{module}")
        functions = {name for name, _ in inspect.getmembers(source, inspect.isfunction)}
        for _, kind in inspect.getmembers(source, inspect.isclass):
            functions |= {name for name, _ in inspect.getmembers(kind, inspect.isfunction)}
        assert names - functions == set(), module


def test_nothing_was_logged_that_should_not_be(served: Relay):
    output = served.server.output()
    assert "Traceback" not in output, output[-3000:]
    assert "tide turn" not in output
    assert "sk-upstream" not in output
