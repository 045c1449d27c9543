"""Requests side by side, and stopped."""

from __future__ import annotations

from tests.each import each
from tests.templates.sockets.client import CHAT, Client
from tests.templates.workbench import Workbench, intent_of
from tests.upstream import Answer, Gate, healthy

PIECES = ("One ", "two ", "three ", "four")


def held(gate: Gate, after: int = 2) -> object:
    return healthy(answer=Answer(pieces=PIECES, reasoning=""), gate=gate, gate_after=after)


class TestSideBySide:
    def test_answers_do_not_mix(self, either: Workbench):
        gate = Gate()
        either.upstream.script("deepseek", held(gate), 1)  # type: ignore[arg-type]
        with Client(either.server) as client:
            client.say("chat_message", "slow", message="Wait.")
            client.until("content_chunk")
            assert client.ask("generate_content", "quick", prompt="At once.").last["request_id"] == "quick"
            assert client.is_served()
            gate.release()
            assert client.until("chat_result")["content"] == "".join(PIECES)

    def test_without_ids(self, workbench: Workbench):
        with Client(workbench.server) as client:
            for _ in range(2):
                client.say("generate_content", prompt="Tell.")
            kinds = [client.next()["type"] for _ in range(2)]
            while kinds.count("content_result") < 2:
                message = client.next()
                assert "request_id" not in message
                kinds.append(message["type"])
        assert kinds.count("processing_started") == 2

    def test_id_in_use(self, workbench: Workbench):
        gate = Gate()
        workbench.upstream.script("deepseek", held(gate), 1)  # type: ignore[arg-type]
        with Client(workbench.server) as client:
            client.say("chat_message", "r-1", message="Wait.")
            client.until("content_chunk")
            client.say("chat_message", "r-1", message="Again.")
            error = client.until("error")
            assert (error["request_id"], error["error"]["param"]) == ("r-1", "request_id")
            gate.release()
            assert client.until("chat_result")["finish_reason"] == "stop"
            assert client.ask("chat_message", "r-1", message="Now.").kind == "chat_result"
        assert len(workbench.asked()) == 2

    def test_a_number_and_its_digits_are_two_ids(self, workbench: Workbench):
        gate = Gate()
        workbench.upstream.script("deepseek", held(gate), 2)  # type: ignore[arg-type]
        with Client(workbench.server) as client:
            for request_id in (1, "1"):
                client.say("chat_message", request_id, message="Wait.")
            gate.wait_reached(2)
            client.say("chat_message", 1, message="Again.")
            assert client.until("error")["request_id"] == 1
            client.say("cancel", 1)
            stopped = client.until("chat_result")
            gate.release()
            ended = client.until("chat_result")
        assert [(one["request_id"], one["finish_reason"]) for one in (stopped, ended)] == [
            (1, "cancelled"),
            ("1", "stop"),
        ]

    def test_too_many(self, workbench: Workbench):
        gate = Gate()
        workbench.upstream.script("deepseek", held(gate), 16)  # type: ignore[arg-type]
        with Client(workbench.server) as client:
            for number in range(16):
                client.say("chat_message", f"r-{number}", message="Wait.")
            gate.wait_reached(16)
            client.say("chat_message", "r-16", message="One more.")
            error = client.until("error")
            assert (error["request_id"], error["error"]["code"]) == ("r-16", "too_many_streams")
            assert error["error"]["retry_after"] == 1
            gate.release()
            ended = {client.until("chat_result")["request_id"] for _ in range(16)}
        assert ended == {f"r-{number}" for number in range(16)}


class TestCancel:
    @each(("kind", "members"), [("chat_message", "message"), ("generate_content", "prompt")])
    def test_mid_stream(self, either: Workbench, kind: str, members: str):
        either.upstream.script("deepseek", held(Gate()), 1)  # type: ignore[arg-type]
        user = either.new_user()
        with Client(either.server, user=user) as client:
            client.say(kind, "r-1", **{members: "Wait."})
            said = client.until("content_chunk")["content"]
            client.say("cancel", "r-1")
            answer = client.answer()
            assert answer.kind == kind.replace("message", "result").replace("generate_content", "content_result")
            result = answer.result()
            assert (result["finish_reason"], result["content"]) == ("cancelled", said + "".join(answer.pieces))
            either.soon_hung_up()
            client.say("cancel", "r-1")
            assert client.next()["error"]["code"] == "not_found"
            assert client.is_served()
        (row,) = either.completions(user)
        assert row["status"] == "cancelled"

    def test_before_the_first_content(self, workbench: Workbench):
        workbench.upstream.script("deepseek", held(Gate(), 0), 1)  # type: ignore[arg-type]
        with Client(workbench.server) as client:
            client.say("chat_message", "r-1", message="Wait.")
            workbench.upstream.wait_for(lambda journal: len(journal) == 1)
            client.say("cancel", "r-1")
            result = client.answer().result()
            assert (result["finish_reason"], result["content"]) == ("cancelled", "")
            workbench.upstream.wait_hung_up("deepseek")

    def test_at_once(self, workbench: Workbench):
        workbench.upstream.script("deepseek", held(Gate(), 0))  # type: ignore[arg-type]
        with Client(workbench.server) as client:
            for number in range(5):
                client.say("chat_message", f"r-{number}", message="Wait.")
                client.say("cancel", f"r-{number}")
            assert [answer.result()["finish_reason"] for answer in client.answers(5)] == ["cancelled"] * 5

    def test_before_it_begins(self, workbench: Workbench):
        """The template is still being read from the database when the client thinks better of it."""
        workbench.upstream.script("deepseek", held(Gate(), 0))  # type: ignore[arg-type]
        values = {"offer": "boats", "keywords": ["boat", "tide"], "proof": "None."}
        with Client(workbench.server) as client:
            client.say("generate_content", "r-1", template="google-responsive-search-ad", variables=values)
            client.say("cancel", "r-1")
            assert client.answer().result()["finish_reason"] == "cancelled"

    @each(
        ("kind", "member", "result"),
        [("process_intent", "query", "intent_result"), ("optimize_prompt", "prompt", "optimization_result")],
    )
    def test_where_a_model_helps(self, workbench: Workbench, kind: str, member: str, result: str):
        """The model is stopped, and the rules answer at once in its place."""
        workbench.upstream.reset()
        workbench.upstream.script("deepseek", healthy(text=intent_of(), gate=Gate(), gate_after=0))
        user = workbench.new_user()
        with Client(workbench.server, CHAT, user=user) as client:
            client.say(kind, "r-1", **{member: "write something about rye bread"})
            workbench.upstream.wait_for(lambda journal: len(journal) == 1)
            client.say("cancel", "r-1")
            answer = client.answer()
            assert (answer.kind, answer.result()["source"]) == (result, "rules")
        (row,) = workbench.completions(user)
        assert row["status"] == "cancelled"
