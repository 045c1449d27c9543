"""Contract 3: `GET completions/{id}/events/`, every event after one that was seen, none twice."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.contract.stream_fixtures import COMPLETIONS, OTHER, Relay, events_of
from tests.each import each
from tests.sse_answer import Collected, collect
from tests.upstream import Answer, Gate, ToolCall, healthy
from tests.waiting import HANG_S

PIECES = ("The ", "owl ", "🦉 ", "counts ", "caf\u00e9s\u2028, ", "hens ", "and ", "tides.")
ABSENT = "chatcmpl-00000000000000000000000000000000"


def said(*pieces: str) -> Answer:
    return Answer(pieces=pieces or PIECES, reasoning="")


def finished(relay: Relay, **fields: Any) -> Collected:
    with relay.begin(**fields) as stream:
        answer = collect(stream)
    assert answer.done
    return answer


def completion_of(answer: Collected) -> str:
    completion_id: str = answer.chunks[0]["id"]
    return completion_id


def without_stamp(body: bytes, request_id: str) -> bytes:
    return body.replace(request_id.encode(), b"")


class TestFinished:
    def test_rest_after_every_event(self, relay: Relay):
        relay.upstream.script("deepseek", healthy(answer=said()))
        answer = finished(relay, stream_options={"include_usage": True})
        last = answer.ids[-1]
        assert last == len(PIECES) + 2
        for after in range(last):
            with relay.events(completion_of(answer), after) as stream:
                rest = collect(stream)
            assert stream.status == 200
            assert rest.text == "".join(PIECES[after:])
            assert min(rest.ids) > after
            assert rest.ids[-1] == last
            assert (rest.finish, rest.usage, rest.done) == (
                "stop" if after <= len(PIECES) else None,
                answer.usage,
                True,
            )

    def test_from_the_first_event_without_a_position(self, relay: Relay):
        answer = finished(relay)
        with relay.events(completion_of(answer)) as stream:
            again = collect(stream)
        assert (again.text, again.finish, again.ids[-1]) == (answer.text, answer.finish, answer.ids[-1])
        assert again.chunks[0] == answer.chunks[0]

    def test_mixed_kinds_of_events_keep_their_order(self, relay: Relay):
        calls = (ToolCall("call_a", "tide", ('{"a"', ":1}")), ToolCall("call_b", "moon", ("{}",)))
        mixed = Answer(pieces=("Let ", "me ", "see."), reasoning="First think. Then ask.", tool_calls=calls)
        relay.upstream.script("deepseek", healthy(answer=mixed))
        answer = finished(relay, thinking={"type": "enabled"})
        deltas = [chunk["choices"][0]["delta"] for chunk in answer.chunks]
        for after in range(answer.ids[-1]):
            with relay.events(completion_of(answer), after) as stream:
                rest = collect(stream)
            seen, left = deltas[:after], deltas[after:]
            for name, joined in (("reasoning_content", rest.reasoning), ("content", rest.text)):
                assert joined == "".join(delta.get(name) or "" for delta in left)
                assert not any(delta.get(name) for delta in left) or joined
            fragments = [one for delta in left for one in delta.get("tool_calls", ())]
            arguments = {
                index: "".join(one["function"].get("arguments", "") for one in fragments if one["index"] == index)
                for index in {one["index"] for one in fragments}
            }
            assert {index: call["arguments"] for index, call in rest.tool_calls.items()} == arguments
            assert len(seen) == after

    def test_last_event_id_says_it_as_well(self, relay: Relay):
        relay.upstream.script("deepseek", healthy(answer=said()))
        answer = finished(relay)
        with relay.events(completion_of(answer), headers={"Last-Event-ID": "3"}) as stream:
            assert collect(stream).text == "".join(PIECES[3:])

    def test_query_wins_over_the_header(self, relay: Relay):
        relay.upstream.script("deepseek", healthy(answer=said()))
        answer = finished(relay)
        for header in ("2", "nonsense"):
            with relay.events(completion_of(answer), 5, headers={"Last-Event-ID": header}) as stream:
                assert collect(stream).text == "".join(PIECES[5:])

    @each("beyond", [0, 1, 1000])
    def test_nothing_new_is_204_with_nothing_in_it(self, relay: Relay, beyond: int):
        answer = finished(relay)
        with relay.events(completion_of(answer), answer.ids[-1] + beyond) as stream:
            assert (stream.status, stream.read()) == (204, b"")
            assert "content-type" not in stream.headers or "event-stream" not in stream.headers["content-type"]

    def test_stream_headers(self, relay: Relay):
        answer = finished(relay)
        with relay.events(completion_of(answer), headers={"Accept-Encoding": "gzip"}) as stream:
            headers = stream.headers
        assert headers["content-type"] == "text/event-stream; charset=utf-8"
        assert headers["cache-control"] == "no-cache, no-transform"
        assert headers["x-accel-buffering"] == "no"
        assert headers["x-promptcraft-completion-id"] == completion_of(answer)
        assert {"content-encoding", "content-length"} & set(headers) == set()

    def test_failed_one_ends_as_it_failed(self, relay: Relay):
        relay.upstream.script("deepseek", "cut-by-reset")
        with relay.begin() as stream:
            answer = collect(stream)
        assert answer.error is not None
        completion_id = completion_of(answer)
        with relay.events(completion_id, 1) as stream:
            again = collect(stream)
        assert (again.done, again.finish) == (False, "error")
        assert again.error == answer.error
        with relay.events(completion_id, answer.ids[-1]) as stream:
            assert stream.status == 204

    def test_resumes_are_not_counted(self, relay: Relay):
        user = relay.user()
        answer = finished(relay, as_user=user)
        with relay.events(completion_of(answer), as_user=user) as stream:
            first = stream.headers["x-ratelimit-remaining"]
        with relay.events(completion_of(answer), as_user=user) as stream:
            assert stream.headers["x-ratelimit-remaining"] == first


class TestRunning:
    def test_replay_then_live_to_the_end(self, relay: Relay):
        gate = Gate()
        relay.upstream.script("deepseek", healthy(answer=said(), gate=gate, gate_after=4))
        with relay.begin() as first:
            seen = events_of(first, 4)
            completion_id = seen[0].json()["id"]
            with relay.events(completion_id, 1) as second:
                # Before the provider says any more, all that was said is there.
                replayed = ""
                while replayed != "".join(PIECES[1:4]):
                    (event,) = events_of(second, 1)
                    replayed += event.json()["choices"][0]["delta"]["content"]
                gate.release()
                rest, own = collect(second), collect(first)
        assert rest.text == own.text == "".join(PIECES[4:])
        assert rest.ids == own.ids == [5, 6, 7, 8, 9]
        assert rest.done
        assert own.done

    def test_nothing_new_yet_waits_for_more(self, relay: Relay):
        gate = Gate()
        relay.upstream.script("deepseek", healthy(answer=said(), gate=gate, gate_after=2))
        with relay.begin() as first:
            completion_id = events_of(first, 2)[0].json()["id"]
            with relay.events(completion_id, 2) as second:
                assert second.status == 200
                gate.release()
                assert collect(second).text == "".join(PIECES[2:])
            assert collect(first).done

    def test_position_ahead_of_the_log_is_kept(self, relay: Relay):
        """`every event after n`: one that was numbered n or less is not sent, whenever it comes."""
        gate = Gate()
        relay.upstream.script("deepseek", healthy(answer=said(), gate=gate, gate_after=2))
        with relay.begin() as first:
            completion_id = events_of(first, 2)[0].json()["id"]
            with relay.events(completion_id, 4) as second:
                assert second.status == 200
                gate.release()
                rest = collect(second)
            assert collect(first).done
        assert min(rest.ids) > 4
        assert rest.text == "".join(PIECES[4:])

    def test_many_readers_from_many_places(self, relay: Relay):
        gate = Gate()
        pieces = tuple(f"{number} " for number in range(40))
        relay.upstream.script("deepseek", healthy(answer=said(*pieces), gate=gate))
        gate.release(10)
        with relay.begin() as first, ThreadPoolExecutor(8) as pool:
            completion_id = events_of(first, 10)[0].json()["id"]
            streams = [relay.events(completion_id, after) for after in range(0, 10, 2)]
            readers = [pool.submit(collect, stream) for stream in streams]
            for _ in pieces[10:]:
                gate.release(1)
            late = [relay.events(completion_id, after) for after in (0, 9)]
            readers += [pool.submit(collect, stream) for stream in late]
            gate.release()
            answers = [reader.result(HANG_S) for reader in readers]
            assert collect(first).done
            for stream in (*streams, *late):
                stream.close()
        for after, answer in zip((*range(0, 10, 2), 0, 9), answers, strict=True):
            assert answer.text == "".join(pieces[after:])
            assert min(answer.ids) > after
            assert (answer.finishes, answer.done) == (["stop"], True)
        assert len(relay.upstream.exchanges()) == 1

    def test_before_the_first_content(self, relay: Relay):
        gate = Gate()
        relay.upstream.script("deepseek", healthy(answer=said(), gate=gate, gate_after=0))
        with ThreadPoolExecutor(1) as pool:
            pending = pool.submit(relay.begin)
            gate.wait_reached()
            with relay.events(relay.running_id()) as second:
                gate.release()
                assert collect(second).text == "".join(PIECES)
            with pending.result(HANG_S) as first:
                assert collect(first).text == "".join(PIECES)

    def test_completion_that_is_not_streamed_can_be_followed(self, relay: Relay):
        gate = Gate()
        relay.upstream.script("deepseek", healthy(answer=said(), gate=gate, gate_after=3))
        with ThreadPoolExecutor(1) as pool:
            pending = pool.submit(relay.whole)
            gate.wait_reached()
            with relay.events(relay.running_id()) as second:
                gate.release()
                assert collect(second).text == "".join(PIECES)
            assert pending.result(HANG_S)[2]["choices"][0]["message"]["content"] == "".join(PIECES)


class TestRefused:
    @each("position", ["abc", "-1", "1.5", "", "+1", "1e3", "0x1", "9" * 17, "%201", "%EF%BC%91", "1,2", "null", "%00"])
    def test_malformed_position_is_400(self, relay: Relay, position: str):
        answer = finished(relay)
        status, _, body = relay.call(f"{COMPLETIONS}{completion_of(answer)}/events/?after={position}")
        assert (status, body["error"]["code"], body["error"]["param"]) == (400, "invalid_value", "after")

    @each("position", ["abc", "-1", "1.5", "\u00b2"])
    def test_malformed_header_is_400(self, relay: Relay, position: str):
        answer = finished(relay)
        path = f"{COMPLETIONS}{completion_of(answer)}/events/"
        status, _, body = relay.call(path, headers={"Last-Event-ID": position})
        assert (status, body["error"]["param"]) == (400, "Last-Event-ID")

    @each("tail", ["", "events/", "cancel/"])
    def test_anothers_is_the_same_bytes_as_an_absent_one(self, relay: Relay, tail: str):
        answer = finished(relay)
        bodies = set()
        for completion_id in (completion_of(answer), ABSENT, "nonsense"):
            method = "POST" if tail == "cancel/" else "GET"
            with relay.open(f"{COMPLETIONS}{completion_id}/{tail}", as_user=OTHER, method=method) as response:
                body = response.read()
            assert response.status == 404
            bodies.add(without_stamp(body, response.headers["x-request-id"]))
        assert len(bodies) == 1
        assert b"not_found" in bodies.pop()

    def test_anothers_running_one_is_404(self, relay: Relay):
        gate = Gate()
        relay.upstream.script("deepseek", healthy(answer=said(), gate=gate, gate_after=1))
        with relay.begin() as stream:
            completion_id = events_of(stream, 1)[0].json()["id"]
            with relay.events(completion_id, as_user=OTHER) as response:
                assert response.status == 404
                assert b"owl" not in response.read()
            gate.release()
            assert collect(stream).done

    @each("tail", ["", "events/"])
    def test_nobodys_is_401(self, relay: Relay, tail: str):
        answer = finished(relay)
        assert relay.call(f"{COMPLETIONS}{completion_of(answer)}/{tail}", as_user=None)[0] == 401

    def test_no_longer_kept_is_410_and_the_text_is_still_there(self, hasty: Relay):
        answer = finished(hasty)
        completion_id = completion_of(answer)
        assert b"no_longer_kept" in hasty.wait_gone(completion_id)
        detail = hasty.detail(completion_id)[2]
        assert detail["choices"][0]["message"]["content"] == answer.text
        # It is nothing to another, and malformed positions stay malformed.
        with hasty.events(completion_id, as_user=OTHER) as stream:
            assert stream.status == 404
        with hasty.events(completion_id, "x") as stream:
            assert stream.status == 400
