"""Contract 3: `Idempotency-Key`, the same user, key and body attach to the completion that exists."""

from __future__ import annotations

import http.client
import json
import sqlite3
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from tests.contract.stream_fixtures import COMPLETIONS, OTHER, PROMPT, Relay, events_of
from tests.doors.cost import measured, needs_proc
from tests.each import each
from tests.sse_answer import collect
from tests.sse_client import SseStream
from tests.upstream import Answer, Gate, Tokens, ToolCall, healthy

PIECES = ("One ", "two ", "🦉 three ", "four\u2028")
USAGE = Tokens(prompt=1000, completion=200, cached=640, reasoning=120)
_numbers = count(1)


@pytest.fixture
def key(request: pytest.FixtureRequest) -> dict[str, str]:
    """A header nobody has sent before."""
    return {"Idempotency-Key": f"{request.node.name[:200]} {next(_numbers)}".replace("\u2028", "")}


def said(**fields: Any) -> Answer:
    whole: dict[str, Any] = {"pieces": PIECES, "reasoning": "", "usage": USAGE}
    return Answer(**(whole | fields))


class TestReplay:
    def test_finished_one_from_its_first_event(self, relay: Relay, key: dict[str, str]):
        relay.upstream.script("deepseek", healthy(answer=said()))
        with relay.begin(headers=key, stream_options={"include_usage": True}) as stream:
            first = collect(stream)
            assert "idempotent-replay" not in stream.headers
        with relay.begin(headers=key, stream_options={"include_usage": True}) as stream:
            again = collect(stream)
        assert stream.headers["idempotent-replay"] == "true"
        assert again.ids[0] == 1
        assert (again.text, again.usage, again.finish, again.done) == (first.text, first.usage, "stop", True)
        assert again.chunks[0] == first.chunks[0]
        assert {chunk["id"] for chunk in again.chunks} == {first.chunks[0]["id"]}
        assert len(relay.upstream.exchanges()) == 1

    def test_running_one_from_its_first_event_then_live(self, relay: Relay, key: dict[str, str]):
        gate = Gate()
        relay.upstream.script("deepseek", healthy(answer=said(), gate=gate, gate_after=3))
        with relay.begin(headers=key) as first:
            events_of(first, 3)
            with relay.begin(headers=key) as second:
                assert second.headers["idempotent-replay"] == "true"
                gate.release()
                again, rest = collect(second), collect(first)
        assert (again.text, rest.text) == ("".join(PIECES), PIECES[3])
        assert again.ids[0] == 1
        assert again.done
        assert len(relay.upstream.exchanges()) == 1

    def test_without_streaming(self, relay: Relay, key: dict[str, str]):
        relay.upstream.script("deepseek", healthy(answer=said()))
        _, headers, first = relay.whole(headers=key)
        assert "idempotent-replay" not in headers
        status, headers, again = relay.whole(headers=key)
        assert (status, headers["idempotent-replay"], again) == (200, "true", first)
        assert len(relay.upstream.exchanges()) == 1

    def test_client_that_was_cut_off_posts_again(self, relay: Relay, key: dict[str, str]):
        gate = Gate()
        relay.upstream.script("deepseek", healthy(answer=said(), gate=gate, gate_after=2))
        first = relay.begin(headers=key)
        events_of(first, 2)
        first.reset()
        with relay.begin(headers=key) as second:
            gate.release()
            answer = collect(second)
        assert (answer.text, answer.done) == ("".join(PIECES), True)
        assert len(relay.upstream.exchanges()) == 1

    def test_twenty_at_once_make_one(self, relay: Relay, key: dict[str, str]):
        gate = Gate()
        relay.upstream.script("deepseek", healthy(answer=said(), gate=gate, gate_after=0))
        # At once to the millisecond: all ask the database before the first has begun.
        sockets = relay.send_at_once(20, headers=key, stream=True)
        gate.wait_reached()
        gate.release()
        streams = [SseStream(plain_socket, method="POST") for plain_socket in sockets]
        texts = set()
        for stream in streams:
            with stream:
                stream.read_head()
                answer = collect(stream)
            assert (stream.status, answer.done) == (200, True)
            texts.add(answer.text)
        assert texts == {"".join(PIECES)}
        assert len({stream.headers["x-promptcraft-completion-id"] for stream in streams}) == 1
        assert sum("idempotent-replay" in stream.headers for stream in streams) == 19
        assert len(relay.upstream.exchanges()) == 1

    def test_cancelled_one_stays_cancelled(self, relay: Relay, key: dict[str, str]):
        gate = Gate()
        relay.upstream.script("deepseek", healthy(answer=said(), gate=gate, gate_after=1))
        with relay.begin(headers=key) as stream:
            assert relay.cancel(events_of(stream, 1)[0].json()["id"])[0] == 200
            assert collect(stream).finishes == ["cancelled"]
        with relay.begin(headers=key) as stream:
            again = collect(stream)
        assert (again.text, again.finishes, again.done) == ("One ", ["cancelled"], True)
        assert len(relay.upstream.exchanges()) == 1


class TestRebuilt:
    """Of a completion whose log is gone, the row tells."""

    def test_after_the_retention(self, hasty: Relay, key: dict[str, str]):
        hasty.upstream.script("deepseek", healthy(answer=said()))
        with hasty.begin(headers=key, stream_options={"include_usage": True}) as stream:
            first = collect(stream)
        hasty.wait_gone(first.chunks[0]["id"])
        with hasty.begin(headers=key, stream_options={"include_usage": True}) as stream:
            again = collect(stream)
        assert stream.headers["idempotent-replay"] == "true"
        for name in ("completion-id", "provider", "model", "fallback-count"):
            assert f"x-promptcraft-{name}" in stream.headers
        assert stream.headers["x-promptcraft-completion-id"] == first.chunks[0]["id"]
        assert (again.text, again.usage, again.finish, again.done) == (first.text, first.usage, "stop", True)
        assert again.ids[0] == 1
        for chunk in again.chunks:
            assert (chunk["id"], chunk["created"], chunk["model"]) == tuple(
                first.chunks[0][name] for name in ("id", "created", "model")
            )
        assert [chunk["choices"][0]["delta"].get("role") for chunk in again.chunks if chunk["choices"]][
            0
        ] == "assistant"
        assert len(hasty.upstream.exchanges()) == 1

    def test_by_a_server_that_was_started_again(self, relay: Relay, hasty: Relay, key: dict[str, str]):
        call = ToolCall("call_a", "tide", ('{"port":', '"Brest"}'))
        answer = said(pieces=("Let me see.",), reasoning="Think first.", tool_calls=(call,))
        relay.upstream.script("deepseek", healthy(answer=answer))
        with relay.begin(headers=key, thinking={"type": "enabled"}) as stream:
            first = collect(stream)
        with hasty.begin(headers=key, thinking={"type": "enabled"}) as stream:
            again = collect(stream)
        assert stream.headers["idempotent-replay"] == "true"
        assert (again.text, again.reasoning, again.tool_calls) == (first.text, first.reasoning, first.tool_calls)
        assert (again.finish, again.usage, again.done) == ("tool_calls", None, True)
        assert len(relay.upstream.exchanges()) == 1

    def test_without_streaming(self, relay: Relay, hasty: Relay, key: dict[str, str]):
        _, _, first = relay.whole(headers=key)
        status, headers, again = hasty.whole(headers=key)
        assert (status, headers["idempotent-replay"], again) == (200, "true", first)
        assert headers["x-promptcraft-completion-id"] == first["id"]

    @pytest.mark.parametrize(("age_h", "replayed"), [(23.9, True), (24.1, False)])
    def test_is_kept_for_24_hours(self, relay: Relay, hasty: Relay, key: dict[str, str], age_h: float, replayed: bool):
        _, _, first = relay.whole(headers=key)
        created_at = datetime.now(UTC).replace(tzinfo=None) - timedelta(hours=age_h)
        with closing(sqlite3.connect(relay.accounts.database, timeout=5)) as database, database:
            database.execute(
                "UPDATE chat_completion SET created_at = ? WHERE id = ?",
                [created_at.isoformat(sep=" "), first["id"]],
            )
        status, headers, again = hasty.whole(headers=key)
        assert (status, again["id"] == first["id"], "idempotent-replay" in headers) == (200, replayed, replayed)

    def test_other_body_is_a_conflict_there_too(self, relay: Relay, hasty: Relay, key: dict[str, str]):
        relay.whole(headers=key)
        status, _, body = hasty.whole(headers=key, temperature=0.1)
        assert (status, body["error"]["code"]) == (409, "idempotency_conflict")


class TestConflict:
    @pytest.mark.parametrize("stream", [True, False])
    def test_other_body_is_409(self, relay: Relay, key: dict[str, str], stream: bool):
        assert relay.whole(headers=key)[0] == 200
        status, headers, body = relay.whole(headers=key, stream=stream, max_tokens=3)
        assert (status, body["error"]["type"], body["error"]["code"]) == (409, "conflict_error", "idempotency_conflict")
        assert "idempotent-replay" not in headers
        assert len(relay.upstream.exchanges()) == 1

    def test_other_body_while_running_is_409(self, relay: Relay, key: dict[str, str]):
        gate = Gate()
        relay.upstream.script("deepseek", healthy(answer=said(), gate=gate, gate_after=1))
        with relay.begin(headers=key) as stream:
            assert relay.whole(headers=key)[0] == 409
            gate.release()
            assert collect(stream).done

    def test_anothers_same_key_is_another_key(self, relay: Relay, key: dict[str, str]):
        _, _, mine = relay.whole(headers=key)
        status, headers, theirs = relay.whole(headers=key, as_user=OTHER)
        assert (status, "idempotent-replay" in headers) == (200, False)
        assert theirs["id"] != mine["id"]
        assert relay.whole(headers=key, as_user=OTHER)[2] == theirs
        assert relay.whole(headers=key)[2] == mine


@needs_proc
def test_replays_of_a_former_answer_share_its_text(relay: Relay, hasty: Relay, key: dict[str, str]):
    """Made again of its row, for readers that take nothing; nothing of that is counted."""
    relay.upstream.script("deepseek", healthy(answer=said(pieces=("x" * 100_000,) * 40)))
    with relay.begin(headers=key) as stream:
        relay.wait_stored(collect(stream).chunks[0]["id"])
    with measured(hasty.server) as cost, ExitStack() as streams:
        for _ in range(20):
            stream = streams.enter_context(hasty.begin(headers=key, receive_buffer_bytes=4096))
            assert stream.headers["idempotent-replay"] == "true"
    assert cost.memory_bytes < 40_000_000


class TestFailed:
    """Trying again is what the owner of a failed one wants: its key is free."""

    def assert_free(self, relay: Relay, key: dict[str, str]) -> None:
        relay.upstream.reset()
        with relay.begin(headers=key) as stream:
            answer = collect(stream)
        assert "idempotent-replay" not in stream.headers
        assert (answer.finish, answer.done, answer.error) == ("stop", True, None)
        assert len(relay.upstream.exchanges()) == 1

    def test_before_the_first_content(self, relay: Relay, key: dict[str, str]):
        for vendor in ("deepseek", "zai", "openai"):
            relay.upstream.script(vendor, "status-500")
        with relay.begin(headers=key) as stream:
            assert stream.status == 502
        self.assert_free(relay, key)

    def test_after_it(self, relay: Relay, key: dict[str, str]):
        relay.upstream.script("deepseek", "cut-by-reset")
        with relay.begin(headers=key) as stream:
            answer = collect(stream)
        assert answer.error is not None
        relay.wait_stored(answer.chunks[0]["id"])
        self.assert_free(relay, key)

    def test_without_streaming(self, relay: Relay, key: dict[str, str]):
        relay.upstream.script("deepseek", "cut-by-reset", times=1)
        status, headers, _ = relay.whole(headers=key)
        assert (status, headers["x-should-retry"]) == (502, "false")
        relay.wait_stored(key["Idempotency-Key"], column="idempotency_key")
        status, headers, body = relay.whole(headers=key)
        assert (status, body["status"], "idempotent-replay" in headers) == (200, "completed", False)

    def test_by_a_server_that_was_started_again(self, relay: Relay, hasty: Relay, key: dict[str, str]):
        relay.upstream.script("deepseek", "cut-by-reset")
        with relay.begin(headers=key) as stream:
            answer = collect(stream)
        relay.wait_stored(answer.chunks[0]["id"])
        relay.upstream.reset()
        with hasty.begin(headers=key) as stream:
            again = collect(stream)
        assert (again.finish, again.done) == ("stop", True)
        assert "idempotent-replay" not in stream.headers

    def test_refused_body_leaves_its_key_free(self, relay: Relay, key: dict[str, str]):
        assert relay.whole(headers=key, temperature=9)[0] == 400
        assert relay.whole(headers=key)[0] == 200


class TestLimiter:
    def test_replay_is_not_counted(self, relay: Relay, key: dict[str, str]):
        _, first, _ = relay.whole(headers=key)
        _, again, _ = relay.whole(headers=key)
        # What others had taken may have left the window meanwhile.
        assert int(again["x-ratelimit-remaining"]) >= int(first["x-ratelimit-remaining"])

    def test_replay_when_the_window_is_full(self, hasty: Relay, key: dict[str, str]):
        user = hasty.new_user()
        _, _, first = hasty.whole(headers=key, as_user=user)
        use_up(hasty, user)
        assert hasty.whole(as_user=user)[0] == 429
        status, headers, again = hasty.whole(headers=key, as_user=user)
        assert (status, headers["idempotent-replay"], again["id"]) == (200, "true", first["id"])
        assert headers["x-ratelimit-remaining"] == "0"
        assert hasty.whole(headers=key, as_user=user, max_tokens=3)[0] == 409


def use_up(relay: Relay, user: str) -> None:
    """Fill a user's window with bad requests, which count, over one connection."""
    with closing(http.client.HTTPConnection("127.0.0.1", relay.server.port)) as connection:
        headers = {"Content-Type": "application/json", **relay.headers(user)}
        status = 400
        while status == 400:
            connection.request("POST", COMPLETIONS, b"{}", headers)
            response = connection.getresponse()
            response.read()
            status = response.status
        assert status == 429


class TestKeys:
    @each("wrong", ["", "x" * 256, "caf\u00e9", "a\tb"])
    @each("stream", [True, False])
    def test_wrong_ones_are_400(self, relay: Relay, wrong: str, stream: bool):
        relay.upstream.reset()
        body = {"messages": PROMPT, "stream": stream}
        with relay.open(COMPLETIONS, json=body, headers={"Idempotency-Key": wrong}) as response:
            error = json.loads(response.read())["error"]
        assert (response.status, error["param"]) == (400, "Idempotency-Key")
        assert relay.upstream.exchanges() == ()

    @each("right", ["!", "~" * 255, 'a "b" \\ ;,=%20', "x y"])
    def test_any_printable_ascii_is_one(self, relay: Relay, right: str):
        headers = {"Idempotency-Key": right}
        _, _, first = relay.whole(headers=headers)
        assert relay.whole(headers=headers)[2] == first

    def test_keys_differ_by_case(self, relay: Relay):
        _, _, lower = relay.whole(headers={"Idempotency-Key": "case-of-a-key"})
        _, _, upper = relay.whole(headers={"Idempotency-Key": "CASE-OF-A-KEY"})
        assert lower["id"] != upper["id"]

    def test_no_key_is_no_replay(self, relay: Relay):
        assert relay.whole()[2]["id"] != relay.whole()[2]["id"]
