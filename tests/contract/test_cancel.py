"""Contract 3: `POST completions/{id}/cancel/`, from anywhere, at any time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.contract.stream_fixtures import COMPLETIONS, OTHER, Relay, events_of
from tests.sse_answer import collect
from tests.upstream import Answer, Gate, Scenario, healthy, scripted
from tests.upstream.framing import response
from tests.upstream.steps import Send
from tests.waiting import HANG_S, soon

PIECES = ("One ", "two ", "three ", "four")


def holding(gate: Gate, after: int) -> Scenario:
    return healthy(answer=Answer(pieces=PIECES, reasoning=""), gate=gate, gate_after=after)


class TestRunning:
    def test_every_reader_is_told_and_upstream_is_closed(self, relay: Relay):
        gate = Gate()
        relay.upstream.script("deepseek", holding(gate, 2))
        with relay.begin(stream_options={"include_usage": True}) as first:
            completion_id = events_of(first, 2)[0].json()["id"]
            with relay.events(completion_id) as second, relay.events(completion_id, 2) as third:
                status, _, body = relay.cancel(completion_id)
                relay.soon_hung_up()
                answers = [collect(stream) for stream in (first, second, third)]
        assert status == 200
        assert [answer.text for answer in answers] == ["", "One two ", ""]
        for answer in answers:
            assert (answer.finishes, answer.done, answer.ended) == (["cancelled"], True, "clean")
            assert answer.usage == body["usage"]
        assert (body["id"], body["status"]) == (completion_id, "cancelled")

    def test_answers_the_settled_usage(self, relay: Relay):
        gate = Gate()
        relay.upstream.script("deepseek", holding(gate, 3))
        with relay.begin() as stream:
            completion_id = events_of(stream, 3)[0].json()["id"]
            usage = relay.cancel(completion_id)[2]["usage"]
            assert collect(stream).done
        assert usage["prompt_tokens"] > 0
        assert usage["completion_tokens"] > 0
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
        assert usage["cost"] > 0
        detail = relay.detail(completion_id)[2]
        assert (detail["status"], detail["usage"], detail["usage_source"]) == ("cancelled", usage, "estimated")
        assert detail["choices"][0] | {"logprobs": None} == {
            "index": 0,
            "message": {"role": "assistant", "content": "One two three ", "refusal": None},
            "logprobs": None,
            "finish_reason": "cancelled",
        }
        assert detail["attempts"][-1]["end_reason"] == "cancelled"

    def test_before_the_first_content(self, relay: Relay):
        gate = Gate()
        relay.upstream.script("deepseek", holding(gate, 0))
        with ThreadPoolExecutor(1) as pool:
            pending = pool.submit(relay.begin)
            gate.wait_reached()
            assert relay.cancel(relay.running_id())[0] == 200
            relay.soon_hung_up()
            with pending.result(HANG_S) as stream:
                answer = collect(stream)
        assert (stream.status, answer.text, answer.finishes, answer.done) == (200, "", ["cancelled"], True)
        assert answer.chunks[0]["choices"][0]["delta"]["role"] == "assistant"
        assert answer.ids == [1, 2]
        assert len(relay.upstream.exchanges()) == 1

    @pytest.mark.parametrize(("after", "text"), [(0, ""), (2, "One two ")])
    def test_one_that_does_not_stream(self, relay: Relay, after: int, text: str):
        gate = Gate()
        relay.upstream.script("deepseek", holding(gate, after))
        with ThreadPoolExecutor(1) as pool:
            pending = pool.submit(relay.whole)
            gate.wait_reached()
            assert relay.cancel(relay.running_id())[0] == 200
            status, _, body = pending.result(HANG_S)
        assert (status, body["status"]) == (200, "cancelled")
        assert body["choices"][0]["finish_reason"] == "cancelled"
        assert body["choices"][0]["message"]["content"] == text

    def test_while_waiting_to_try_again(self, relay: Relay):
        """The pause that a 429 asked for ends with the completion."""
        busy = response(429, b'{"error":{"message":"slow"}}', [("retry-after", "4")])
        relay.upstream.script("deepseek", scripted(Send(busy)))
        with ThreadPoolExecutor(1) as pool:
            pending = pool.submit(relay.begin, fallback=False)
            relay.upstream.wait_for(lambda journal: journal and journal[0].over)
            assert relay.cancel(relay.running_id())[0] == 200
            soon(pending.done, relay.active_streams, "the answer")
            with pending.result(HANG_S) as stream:
                assert collect(stream).finishes == ["cancelled"]
        assert len(relay.upstream.exchanges()) == 1

    def test_from_many_tabs_at_once(self, relay: Relay):
        gate = Gate()
        relay.upstream.script("deepseek", holding(gate, 1))
        with relay.begin() as stream, ThreadPoolExecutor(6) as pool:
            completion_id = events_of(stream, 1)[0].json()["id"]
            answers = list(pool.map(lambda _: relay.cancel(completion_id), range(6)))
            assert collect(stream).finishes == ["cancelled"]
        assert {status for status, _, _ in answers} == {200}
        assert len({str(body) for _, _, body in answers}) == 1

    def test_is_not_counted(self, relay: Relay):
        gate = Gate()
        user = relay.user()
        relay.upstream.script("deepseek", holding(gate, 1))
        with relay.begin(as_user=user) as stream:
            completion_id = events_of(stream, 1)[0].json()["id"]
            _, headers, _ = relay.cancel(completion_id, as_user=user)
            assert headers["x-ratelimit-remaining"] == stream.headers["x-ratelimit-remaining"]
            assert collect(stream).done


class TestOver:
    def test_twice_is_fine(self, relay: Relay):
        gate = Gate()
        relay.upstream.script("deepseek", holding(gate, 1))
        with relay.begin() as stream:
            completion_id = events_of(stream, 1)[0].json()["id"]
            first = relay.cancel(completion_id)
            assert collect(stream).done
        again = relay.cancel(completion_id)
        assert (again[0], again[2]) == (200, first[2])

    def test_twice_is_fine_when_only_the_database_knows(self, relay: Relay, hasty: Relay):
        gate = Gate()
        relay.upstream.script("deepseek", holding(gate, 1))
        with relay.begin() as stream:
            completion_id = events_of(stream, 1)[0].json()["id"]
            first = relay.cancel(completion_id)
            assert collect(stream).done
        again = hasty.cancel(completion_id)
        assert (again[0], again[2]) == (200, first[2])

    @pytest.mark.parametrize("scenario", ["healthy", "cut-by-reset"])
    def test_finished_one_is_409(self, relay: Relay, hasty: Relay, scenario: str):
        relay.upstream.script("deepseek", scenario)
        with relay.begin() as stream:
            answer = collect(stream)
        completion_id = answer.chunks[0]["id"]
        # The second knows of it from the database, where a failure's row follows its last event.
        for server in (relay, hasty) if answer.done else (relay,):
            status, _, body = server.cancel(completion_id)
            assert (status, body["error"]["type"], body["error"]["code"]) == (409, "conflict_error", "already_finished")
        assert relay.detail(completion_id)[2]["status"] == ("completed" if answer.done else "failed")

    def test_method_is_post(self, relay: Relay):
        with relay.begin() as stream:
            completion_id = collect(stream).chunks[0]["id"]
        assert relay.call(f"{COMPLETIONS}{completion_id}/cancel/")[0] == 405


class TestAnothers:
    def test_running_one_is_404_and_runs_on(self, relay: Relay):
        gate = Gate()
        relay.upstream.script("deepseek", holding(gate, 1))
        with relay.begin() as stream:
            completion_id = events_of(stream, 1)[0].json()["id"]
            status, _, body = relay.cancel(completion_id, as_user=OTHER)
            assert (status, body["error"]["code"]) == (404, "not_found")
            assert relay.cancel(completion_id, as_user=None)[0] == 401
            gate.release()
            answer = collect(stream)
        assert (answer.text, answer.finish, answer.done) == ("two three four", "stop", True)
