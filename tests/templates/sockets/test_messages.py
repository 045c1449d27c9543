"""Every message over a real socket, under both servers; and those that are none."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest

from tests.each import each
from tests.server import ServerProcess
from tests.templates.sockets.client import CHAT, PROCESSING, SEARCH, Client, bare, frame
from tests.templates.workbench import Workbench, intent_of
from tests.upstream import Answer, healthy

PIECES = ("The tide ", "turns ", "at s\u0131x \U0001f30a.")
ENVELOPE = {"message", "type", "code", "param", "request_id", "retryable", "retry_after"}


def said(*pieces: str) -> Any:
    return healthy(answer=Answer(pieces=pieces or PIECES, reasoning=""))


class TestEveryMessage:
    def test_chat(self, either: Workbench):
        either.upstream.script("deepseek", said())
        history = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Good morning."}]
        with Client(either.server) as client:
            answer = client.ask("chat_message", message="When does the tide turn?", history=history)
        assert answer.started
        assert answer.kind == "chat_result"
        assert answer.last["request_id"] == "r-1"
        result = answer.result()
        assert "".join(answer.pieces) == result["content"] == "".join(PIECES)
        assert set(result) == {"content", "completion_id", "model", "provider", "finish_reason", "usage"}
        assert (result["provider"], result["finish_reason"]) == ("deepseek", "stop")
        assert result["usage"]["completion_tokens"] > 0
        assert result["usage"]["cost"] is not None
        (asked,) = either.asked()
        assert asked["messages"] == [*history, {"role": "user", "content": "When does the tide turn?"}]
        stored = either.server.call(f"/api/v2/chat/completions/{result['completion_id']}/")[2]
        assert stored["choices"][0]["message"]["content"] == result["content"]
        assert stored["usage"] == result["usage"]

    @pytest.mark.parametrize("path", [CHAT, PROCESSING])
    def test_intent(self, either: Workbench, path: str):
        either.says(intent_of("blog_article", 0.93))
        with Client(either.server, path) as client:
            answer = client.ask("process_intent", query="a blog post about sourdough")
        assert (answer.started, answer.pieces, answer.kind) == (True, [], "intent_result")
        assert answer.result()["category"] == "blog_article"
        assert answer.result()["source"] == "model"
        assert answer.result()["suggested_templates"]

    @pytest.mark.parametrize("path", [CHAT, PROCESSING])
    def test_optimize(self, either: Workbench, path: str):
        with Client(either.server, path) as client:
            answer = client.ask(
                "optimize_prompt",
                prompt="write something about {{ product }}",
                intent_data={"category": "product_description", "entities": {"tone": "warm"}},
            )
        assert (answer.started, answer.kind) == (True, "optimization_result")
        assert answer.result()["original"] == "write something about {{ product }}"
        assert answer.result()["source"] in ("model", "rules")
        assert len(answer.result()["criteria"]) == 7

    @pytest.mark.parametrize("path", [CHAT, PROCESSING])
    def test_generate(self, either: Workbench, path: str):
        either.upstream.script("deepseek", said())
        with Client(either.server, path) as client:
            answer = client.ask("generate_content", prompt="Tell of the tide.")
        assert (answer.started, answer.kind) == (True, "content_result")
        assert "".join(answer.pieces) == answer.result()["content"] == "".join(PIECES)

    def test_search(self, either: Workbench):
        with Client(either.server, SEARCH) as client:
            everything = client.ask("search", query="")
            found = client.ask("search", query="newsleter", filters={"category": None, "limit": 3})
        assert (found.started, found.pieces, found.kind) == (True, [], "search_results")
        assert 0 < len(found.result()["results"]) <= 3 < len(everything.result()["results"])

    def test_members_that_nobody_knows_are_ignored(self, workbench: Workbench):
        more: dict[str, Any] = {"session_id": "s-1", "timestamp": 1_690_000_000, "user_id": 7, "tools": "all", "n": 2}
        with Client(workbench.server) as client:
            for kind, member in (
                ("chat_message", "message"),
                ("generate_content", "prompt"),
                ("optimize_prompt", "prompt"),
                ("process_intent", "query"),
            ):
                answer = client.ask(kind, **{member: "Tell of the tide.", **more})
                assert answer.kind.endswith("_result"), answer.last
        assert all("tools" not in body and "session_id" not in body for body in workbench.asked())
        with Client(workbench.server, SEARCH) as client:
            found = client.ask("search", query="newsletter", limit=1, filters={"limit": 3, "kind": "all"})
        assert len(found.result()["results"]) == 3

    def test_ping(self, either: Workbench):
        for path in (CHAT, PROCESSING, SEARCH):
            with Client(either.server, path) as client:
                client.say("ping")
                assert client.next() == {"type": "pong"}
                client.say("ping", "ß\n")
                assert client.next() == {"type": "pong", "request_id": "ß\n"}

    def test_reasoning_is_not_content(self, workbench: Workbench):
        workbench.upstream.script("deepseek", healthy(answer=Answer(pieces=PIECES, reasoning="Hm, hm.")))
        with Client(workbench.server) as client:
            answer = client.ask("chat_message", message="Think.")
        assert "".join(answer.pieces) == answer.result()["content"] == "".join(PIECES)
        assert answer.result()["reasoning_content"] == "Hm, hm."

    def test_mock_is_labelled(self, by_rules: Workbench):
        with Client(by_rules.server) as client:
            result = client.ask("chat_message", message="Hello.").result()
        assert (result["model"], result["provider"], result["promptcraft"]) == ("mock", "mock", {"degraded": True})


BROKEN: dict[str, tuple[Any, str, str | None]] = {
    "no JSON": ("tide", "invalid_json", None),
    "empty": ("", "invalid_json", None),
    "cut": ('{"type": "ping"', "invalid_json", None),
    "a number too large": ('{"type": "ping", "n": 1e999}', "invalid_json", None),
    "half a character": (r'{"type": "ping", "x": "\ud83e"}', "invalid_json", None),
    "deep": ("[" * 30_000, "invalid_json", None),
    "a key twice": ('{"type": "ping", "type": "pong"}', "invalid_json", None),
    "an array": ("[1]", "invalid_value", None),
    "null": ("null", "invalid_value", None),
    "no type": ("{}", "missing_field", "type"),
    "a number for a type": ('{"type": 7}', "invalid_value", "type"),
    "an unknown type": ('{"type": "tide"}', "invalid_value", "type"),
    "another path's": ('{"type": "search", "query": "tide"}', "invalid_value", "type"),
    "a second token": ('{"type": "authenticate", "token": "x"}', "invalid_value", "type"),
    "a fraction for an id": ('{"type": "ping", "request_id": 7.0}', "invalid_value", "request_id"),
    "a flag for an id": ('{"type": "ping", "request_id": true}', "invalid_value", "request_id"),
    "a list for an id": ('{"type": "ping", "request_id": [7]}', "invalid_value", "request_id"),
    "a large number for an id": ('{"type": "ping", "request_id": 18446744073709551616}', "invalid_value", "request_id"),
    "a long id": (json.dumps({"type": "ping", "request_id": "r" * 129}), "invalid_value", "request_id"),
    "binary": (b'{"type": "ping"}', "invalid_value", None),
    "to cancel nothing": ('{"type": "cancel"}', "missing_field", "request_id"),
    "to cancel what is not": ('{"type": "cancel", "request_id": "r-9"}', "not_found", None),
}


class TestBroken:
    @each("name", BROKEN)
    def test_gets_an_error_and_the_connection_lives(self, either: Workbench, name: str):
        sent, code, param = BROKEN[name]
        with Client(either.server) as client:
            client.connection.send(sent)
            answer = client.next()
            assert answer["type"] == "error"
            assert set(answer["error"]) == ENVELOPE
            assert (answer["error"]["code"], answer["error"]["param"]) == (code, param)
            assert answer["error"]["request_id"]
            assert answer.get("request_id") == ("r-9" if "r-9" in str(sent) else None)
            assert client.is_served()

    @each("number", [0, 7, -(2**63), 2**53 + 1, 2**64 - 1])
    def test_id_may_be_a_whole_number(self, either: Workbench, number: int):
        with Client(either.server) as client:
            client.say("ping", number)
            assert client.next() == {"type": "pong", "request_id": number}
            answer = client.ask("process_intent", number)
            assert (type(answer.last["request_id"]), answer.last["request_id"]) == (int, number)
            # Elsewhere ids are texts.
            assert answer.error["request_id"] == str(number)
            client.say("tide", number)
            assert client.next()["request_id"] == number

    def test_id_is_repeated_where_it_can_be_read(self, workbench: Workbench):
        with Client(workbench.server) as client:
            for sent in ('{"request_id": "a b", "type": "tide"}', '{"request_id": "a b", "x": {"y": 1, "y": 2}}'):
                client.connection.send(sent)
                answer = client.next()
                assert (answer["type"], answer["request_id"]) == ("error", "a b")
                # It is no id for logs.
                assert answer["error"]["request_id"].startswith("req_")

    @each(
        ("kind", "members", "code", "param"),
        [
            ("chat_message", {}, "missing_field", "message"),
            ("chat_message", {"message": None}, "missing_field", "message"),
            ("chat_message", {"message": ""}, "invalid_value", "message"),
            ("chat_message", {"message": ["x"]}, "invalid_value", "message"),
            ("chat_message", {"message": "x", "history": "y"}, "invalid_value", "history"),
            (
                "chat_message",
                {"message": "x", "history": [{"role": "bard", "content": "y"}]},
                "invalid_value",
                "messages[0].role",
            ),
            ("chat_message", {"message": "x", "temperature": 9}, "invalid_value", "temperature"),
            ("chat_message", {"message": "x", "messages": []}, "invalid_value", "messages"),
            ("generate_content", {"prompt": "x", "messages": []}, "invalid_value", "messages"),
            ("process_intent", {}, "missing_field", "query"),
            ("process_intent", {"query": " "}, "invalid_value", "query"),
            ("optimize_prompt", {"prompt": 7}, "invalid_value", "prompt"),
            ("optimize_prompt", {"prompt": "x", "intent_data": 7}, "invalid_value", "intent_data"),
            ("generate_content", {}, "missing_field", "prompt"),
            ("generate_content", {"template": "nobody-has-this"}, "not_found", None),
        ],
        ids=str,
    )
    def test_request(self, workbench: Workbench, kind: str, members: dict[str, Any], code: str, param: str | None):
        with Client(workbench.server) as client:
            answer = client.ask(kind, **members)
            assert (answer.started, answer.error["code"], answer.error["param"]) == (True, code, param)
            assert answer.error["request_id"] == "r-1"
            assert client.is_served()

    @each(
        ("members", "code", "param"),
        [
            ({}, "missing_field", "query"),
            ({"query": 7}, "invalid_value", "query"),
            ({"query": "x" * 1001}, "invalid_value", "query"),
            ({"query": "x", "filters": []}, "invalid_value", "filters"),
            ({"query": "x", "filters": {"tag": 1}}, "invalid_value", "filters.tag"),
            ({"query": "x", "filters": {"limit": True}}, "invalid_value", "filters.limit"),
            ({"query": "x", "filters": {"limit": 0}}, "invalid_value", "limit"),
            ({"query": "x", "filters": {"category": "tide"}}, "invalid_value", "category"),
        ],
        ids=str,
    )
    def test_search(self, workbench: Workbench, members: dict[str, Any], code: str, param: str):
        with Client(workbench.server, SEARCH) as client:
            answer = client.ask("search", **members)
            assert (answer.started, answer.error["code"], answer.error["param"]) == (True, code, param)
            assert client.is_served()


def ping_of(size_bytes: int) -> str:
    return json.dumps({"type": "ping", "x": ""}).replace('""', '"' + "x" * (size_bytes - 25) + '"')


class TestSize:
    def test_at_the_bound(self, either: Workbench):
        assert len(ping_of(65_536)) == 65_536
        with Client(either.server) as client:
            client.connection.send(ping_of(65_536))
            assert client.next() == {"type": "pong"}
            assert client.is_served()

    @each("size_bytes", [65_537, 300_000, 5_000_000])
    @each("kind", ["text", "binary", "fragments", "wide"])
    def test_over_it(self, workbench: Workbench, size_bytes: int, kind: str):
        with Client(workbench.server) as client:
            text = ping_of(size_bytes)
            if kind == "wide":
                text = ping_of(size_bytes // 2 + 100).replace("x", "ß")
            try:
                if kind == "fragments":
                    client.connection.send(text[at : at + 10_000] for at in range(0, len(text), 10_000))
                else:
                    client.connection.send(text.encode() if kind == "binary" else text)
            except Exception:  # it may be closed while it sends
                pass
            assert client.close_code() == 1009

    def test_over_it_under_daphne(self, servers: dict[str, ServerProcess]):
        with Client(servers["daphne"]) as client:
            client.connection.send(ping_of(65_537))
            assert client.close_code() == 1009

    def test_fragments_without_end(self, workbench: Workbench):
        plain = bare(workbench.server)
        plain.sendall(frame(b"", fin=False) + frame(b"", opcode=0, fin=False) * 2_000)
        received = plain.recv(4096)
        # A close frame, its code first.
        assert received[0] == 0x88
        assert int.from_bytes(received[2:4], "big") == 1009
        plain.close()

    @pytest.mark.parametrize("opcode", [1, 9, 10], ids=["messages of nothing", "pings", "pongs"])
    def test_flood_of_the_smallest_frames(self, either: Workbench, opcode: int):
        before = either.server.output()
        with bare(either.server) as plain:
            plain.sendall(frame(b"", opcode=opcode) * 40_000)
            with suppress(ConnectionResetError):
                while plain.recv(65_536):
                    pass
        lines = either.server.output().removeprefix(before).splitlines()
        # All but the first are not looked at, and the connection ends.
        assert len([line for line in lines if "closed with 1008" in line]) == 1
        assert "Traceback" not in "".join(lines)

    def test_flood(self, either: Workbench):
        with Client(either.server) as client:
            # Most of the second's allowance is good.
            for _ in range(40):
                client.say("ping")
            for _ in range(40):
                assert client.next() == {"type": "pong"}
            for _ in range(200):
                try:
                    client.say("ping")
                except Exception:
                    break
            assert client.close_code() == 1008
