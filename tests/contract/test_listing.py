"""Contract 3: `GET completions/` and `GET completions/{id}/`, and a row for whatever has ended."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.contract.stream_fixtures import COMPLETIONS, OTHER, Relay, events_of
from tests.each import each
from tests.sse_answer import collect
from tests.upstream import Answer, Gate, healthy
from tests.waiting import HANG_S


def page(relay: Relay, query: str = "", **request: Any) -> dict[str, Any]:
    status, _, body = relay.call(f"{COMPLETIONS}{query}", **request)
    assert status == 200, body
    result: dict[str, Any] = body
    return result


def ids(page: dict[str, Any]) -> list[str]:
    return [one["id"] for one in page["data"]]


class TestList:
    def test_newest_first_and_page_by_page(self, relay: Relay):
        user = relay.new_user()
        made = [relay.whole(as_user=user)[2]["id"] for _ in range(5)][::-1]
        assert ids(page(relay, as_user=user)) == made
        first = page(relay, "?limit=2", as_user=user)
        assert (ids(first), first["has_more"], first["next"]) == (made[:2], True, made[1])
        second = page(relay, f"?limit=2&after={first['next']}", as_user=user)
        assert (ids(second), second["has_more"]) == (made[2:4], True)
        last = page(relay, f"?limit=1&after={second['next']}", as_user=user)
        assert (ids(last), last["has_more"], last["next"]) == (made[4:], False, None)
        none = page(relay, f"?after={made[-1]}", as_user=user)
        assert (none["data"], none["has_more"], none["next"], none["first_id"]) == ([], False, None, None)

    def test_large_answers_make_smaller_pages(self, relay: Relay):
        user = relay.new_user()
        relay.upstream.script("deepseek", healthy(answer=Answer(pieces=("ö" * 100_000,) * 9)))
        made = [relay.whole(as_user=user)[2]["id"] for _ in range(3)][::-1]
        first = page(relay, "?limit=3", as_user=user)
        assert (ids(first), first["has_more"], first["next"]) == (made[:2], True, made[1])
        assert first["data"][0] == relay.detail(made[0], as_user=user)[2]
        last = page(relay, f"?limit=3&after={made[1]}", as_user=user)
        assert (ids(last), last["has_more"]) == (made[2:], False)

    def test_shape(self, relay: Relay):
        _, _, made = relay.whole()
        body = page(relay, "?limit=1")
        assert set(body) == {"object", "data", "first_id", "last_id", "has_more", "next"}
        assert body["object"] == "list"
        assert body["data"] == [made]
        assert body["first_id"] == body["last_id"] == made["id"]

    def test_callers_own_alone(self, relay: Relay):
        _, _, mine = relay.whole()
        _, _, theirs = relay.whole(as_user=OTHER)
        assert mine["id"] not in ids(page(relay, "?limit=100", as_user=OTHER))
        assert theirs["id"] not in ids(page(relay, "?limit=100"))
        status, _, body = relay.call(f"{COMPLETIONS}?after={mine['id']}", as_user=OTHER)
        assert (status, body["error"]["param"]) == (400, "after")

    def test_running_ones_are_among_them(self, relay: Relay):
        gate = Gate()
        relay.upstream.script(
            "deepseek", healthy(answer=Answer(pieces=("a", "b"), reasoning=""), gate=gate, gate_after=1)
        )
        with relay.begin() as stream:
            completion_id = events_of(stream, 1)[0].json()["id"]
            first = page(relay, "?limit=1")["data"][0]
            assert (first["id"], first["status"]) == (completion_id, "in_progress")
            assert first["choices"][0]["message"]["content"] == "a"
            gate.release()
            assert collect(stream).done

    def test_order_is_that_of_their_beginnings(self, relay: Relay):
        """A running one is no newer than one that began after it and has finished."""
        gate = Gate()
        held = healthy(answer=Answer(pieces=("a", "b"), reasoning=""), gate=gate, gate_after=1)
        relay.upstream.script("deepseek", held, times=1)
        with relay.begin() as stream:
            older = events_of(stream, 1)[0].json()["id"]
            newer = relay.whole()[2]["id"]
            listed = ids(page(relay, "?limit=2"))
            one_by_one = ids(page(relay, "?limit=1")) + ids(page(relay, f"?limit=1&after={newer}"))
            gate.release()
            assert collect(stream).done
        assert ids(page(relay, "?limit=2")) == [newer, older]
        assert listed == [newer, older]
        assert one_by_one == [newer, older]

    def test_completions_that_end_meanwhile_are_not_lost_between_pages(self, relay: Relay):
        gate = Gate()
        held = healthy(answer=Answer(pieces=("a", "b"), reasoning=""), gate=gate, gate_after=1)
        relay.upstream.script("deepseek", held, times=2)
        with relay.begin() as first, relay.begin() as second:
            expected = [events_of(stream, 1)[0].json()["id"] for stream in (second, first)]
            found = page(relay, "?limit=1")
            gate.release()
            assert collect(first).done
            assert collect(second).done
            rest = page(relay, f"?limit=1&after={found['next']}")
        assert ids(found) + ids(rest) == expected

    @each("query", ["limit=0", "limit=101", "limit=-1", "limit=x", "limit=", "limit=1.5"])
    def test_wrong_limit_is_400(self, relay: Relay, query: str):
        status, _, body = relay.call(f"{COMPLETIONS}?{query}")
        assert (status, body["error"]["param"]) == (400, "limit")

    @each("after", ["", "nonsense", "chatcmpl-0"])
    def test_wrong_after_is_400(self, relay: Relay, after: str):
        status, _, body = relay.call(f"{COMPLETIONS}?after={after}")
        assert (status, body["error"]["param"]) == (400, "after")

    def test_needs_a_token_and_counts_nothing(self, relay: Relay):
        assert relay.call(COMPLETIONS, as_user=None)[0] == 401
        user = relay.user()
        first = relay.call(COMPLETIONS, as_user=user)[1]["x-ratelimit-remaining"]
        assert relay.call(COMPLETIONS, as_user=user)[1]["x-ratelimit-remaining"] == first


class TestDetail:
    def test_the_answer_so_far(self, relay: Relay):
        gate = Gate()
        held = healthy(answer=Answer(pieces=("a", "b", "c"), reasoning=""), gate=gate, gate_after=2)
        relay.upstream.script("deepseek", held)
        before = time.time()
        with relay.begin() as stream:
            completion_id = events_of(stream, 2)[0].json()["id"]
            status, _, body = relay.detail(completion_id)
            gate.release()
            assert collect(stream).done
        assert (status, body["status"], body["object"]) == (200, "in_progress", "chat.completion")
        assert body["choices"][0]["message"]["content"] == "ab"
        assert body["choices"][0]["finish_reason"] is None
        assert body["usage"] is None
        (attempt,) = body["attempts"]
        assert (attempt["provider"], attempt["model"], attempt["end_reason"]) == ("deepseek", "deepseek-flash", None)
        assert before - 1 < attempt["started_at"] < time.time() + 1
        assert attempt["ttft_ms"] > 0

    def test_before_the_first_content(self, relay: Relay):
        gate = Gate()
        relay.upstream.script("deepseek", healthy(gate=gate, gate_after=0))
        with ThreadPoolExecutor(1) as pool:
            pending = pool.submit(relay.begin)
            gate.wait_reached()
            body = relay.detail(relay.running_id())[2]
            gate.release()
            with pending.result(HANG_S) as stream:
                assert collect(stream).done
        assert body["status"] == "in_progress"
        assert not body["choices"][0]["message"]["content"]
        assert body["attempts"][0]["ttft_ms"] is None

    def test_failed_one_says_how(self, relay: Relay):
        relay.upstream.script("deepseek", "cut-by-reset")
        with relay.begin() as stream:
            answer = collect(stream)
        body = relay.detail(answer.chunks[0]["id"])[2]
        assert (body["status"], body["error_code"]) == ("failed", "stream_interrupted")
        assert body["choices"][0]["finish_reason"] == "error"
        assert body["choices"][0]["message"]["content"] == answer.text
        assert [attempt["end_reason"] for attempt in body["attempts"]] == ["stream_cut"]

    @pytest.mark.parametrize("slash", ["/", ""])
    def test_every_path_with_and_without_its_slash(self, relay: Relay, slash: str):
        _, _, made = relay.whole()
        path = f"{COMPLETIONS}{made['id']}"
        assert relay.call(f"{path}{slash}")[2] == made
        assert relay.call(f"{COMPLETIONS.rstrip('/')}{slash}?limit=1")[2]["data"] == [made]
        assert relay.call(f"{path}/cancel{slash}", method="POST")[0] == 409
        with relay.open(f"{path}/events{slash}?after=1") as stream:
            assert collect(stream).done

    @pytest.mark.parametrize("completion_id", ["chatcmpl-0", "x", "%2e%2e", "a%2Fb", "%00"])
    def test_absent_one_is_404(self, relay: Relay, completion_id: str):
        status, _, body = relay.detail(completion_id)
        assert (status, body["error"]["code"]) == (404, "not_found")


class TestRow:
    """A second process on the same database knows what the first has promised."""

    @pytest.mark.parametrize("model", ["deepseek-flash", "glm-4.7", "gpt-6-luna"])
    def test_is_there_when_done_is_seen(self, relay: Relay, hasty: Relay, model: str):
        with relay.begin(model=model) as stream:
            for event in stream.events():
                if event.data == "[DONE]":
                    break
                completion_id = event.json()["id"]
            status, _, stored = hasty.detail(completion_id)
        assert (status, stored["status"]) == (200, "completed")
        assert stored == relay.detail(completion_id)[2]

    def test_many_that_end_at_once_are_all_there(self, relay: Relay, hasty: Relay):
        gate = Gate()
        held = healthy(answer=Answer(pieces=("a", "b"), reasoning=""), gate=gate, gate_after=1)
        relay.upstream.script("deepseek", held)

        def one(_: int) -> bool:
            with relay.begin() as stream:
                answer = collect(stream)
                return answer.done and hasty.detail(answer.chunks[0]["id"])[2]["status"] == "completed"

        relay.headers()
        with ThreadPoolExecutor(24) as pool:
            completions = [pool.submit(one, number) for number in range(24)]
            gate.wait_reached(24)
            gate.release()
            assert all(completion.result(HANG_S) for completion in completions)

    def test_is_there_when_the_whole_answer_is_seen(self, relay: Relay, hasty: Relay):
        _, _, body = relay.whole()
        assert hasty.detail(body["id"])[2] == body

    def test_keeps_what_no_plain_text_is(self, relay: Relay, hasty: Relay):
        text = "🦉 caf\u00e9 \u2028\u0085\u202e\ufeff'; DROP TABLE completions; --"
        relay.upstream.script("deepseek", healthy(answer=Answer(pieces=(text,), reasoning="")))
        _, _, body = relay.whole()
        assert hasty.detail(body["id"])[2]["choices"][0]["message"]["content"] == text
