"""A provider's chunks, made the answer that was asked for: of a tool's arguments, and up to a stop string."""

from __future__ import annotations

from typing import Any

from apps.llm.wire.shaping import AnswerShaper, Shaping
from apps.llm.wire.types import Chunk
from tests.each import each

TOOL = Shaping(answer_tool="answer")


def head(index: int, name: str, arguments: str = "") -> dict[str, Any]:
    return {"index": index, "id": f"c{index}", "type": "function", "function": {"name": name, "arguments": arguments}}


def rest(index: int, arguments: str) -> dict[str, Any]:
    return {"index": index, "function": {"arguments": arguments}}


def calls(*fragments: dict[str, Any], **more: Any) -> Chunk:
    return Chunk(tool_calls=list(fragments), **more)


def finish(reason: str = "tool_calls", **more: Any) -> Chunk:
    return Chunk(finish_reason=reason, **more)


def shaped(shaping: Shaping, *chunks: Chunk) -> list[Chunk]:
    shaper = AnswerShaper(shaping)
    for chunk in chunks:
        shaper.shape(chunk)
    return list(chunks)


def content_of(chunks: list[Chunk]) -> str:
    return "".join(chunk.content for chunk in chunks)


# --- the answer's tool


def test_arguments_are_the_answer_as_they_come():
    chunks = shaped(TOOL, calls(head(0, "answer")), calls(rest(0, '{"hour"')), calls(rest(0, ":6}")), finish())
    assert [chunk.content for chunk in chunks] == ["", '{"hour"', ":6}", ""]
    assert not any(chunk.tool_calls for chunk in chunks)
    assert chunks[-1].finish_reason == "stop"


def test_in_one_piece():
    (chunk,) = shaped(TOOL, calls(head(0, "answer", '{"hour":6}'), finish_reason="tool_calls"))
    assert (chunk.content, chunk.finish_reason, list(chunk.tool_calls)) == ('{"hour":6}', "stop", [])


@each("reason", ["length", "content_filter", "stop"])
def test_other_finishes_stay(reason):
    assert shaped(TOOL, calls(head(0, "answer", '{"ho')), finish(reason))[-1].finish_reason == reason


def test_the_clients_own_calls_stay_and_are_numbered_without_it():
    chunks = shaped(
        TOOL,
        calls(head(0, "answer"), head(1, "tide")),
        calls(rest(0, "{}"), rest(1, '{"port":')),
        calls(rest(1, "1}")),
        finish(),
    )
    assert content_of(chunks) == "{}"
    assert [call["index"] for chunk in chunks for call in chunk.tool_calls] == [0, 0, 0]
    assert [call["function"]["arguments"] for chunk in chunks for call in chunk.tool_calls] == ["", '{"port":', "1}"]
    assert chunks[-1].finish_reason == "tool_calls"


def test_a_second_answer_is_none():
    chunks = shaped(TOOL, calls(head(0, "answer", "{}")), calls(head(1, "answer", "[]")), calls(rest(1, "x")), finish())
    assert content_of(chunks) == "{}"
    assert not any(chunk.tool_calls for chunk in chunks)


def test_text_beside_the_call_is_no_part_of_the_answer():
    chunks = shaped(
        TOOL, Chunk(content="Here it is:"), calls(head(0, "answer", "{}")), Chunk(content="Done."), finish()
    )
    assert content_of(chunks) == "{}"


@each("text", ["I cannot help with that.", "", "6"])
def test_text_without_a_call_is_the_answer_at_its_end(text):
    chunks = shaped(TOOL, *[Chunk(content=letter) for letter in text], finish("stop"))
    assert [chunk.content for chunk in chunks] == [*[""] * len(text), text]


def test_text_that_is_json_comes_at_once():
    pieces = ["\n", ' {"hour"', ":6}"]
    chunks = shaped(TOOL, *[Chunk(content=piece) for piece in pieces], calls(head(0, "answer", "[]")), finish())
    assert [chunk.content for chunk in chunks] == ["", '\n {"hour"', ":6}", "", ""]
    assert chunks[-1].finish_reason == "stop"


def test_a_long_text_is_not_waited_with():
    chunks = shaped(TOOL, *[Chunk(content="x" * 10_000) for _ in range(8)])
    assert len(content_of(chunks)) == 80_000


def test_reasoning_and_refusals_pass():
    chunks = shaped(TOOL, Chunk(reasoning="Hm."), Chunk(refusal="No."), finish("stop"))
    assert [(chunk.reasoning, chunk.refusal) for chunk in chunks] == [("Hm.", ""), ("", "No."), ("", "")]


def test_what_is_held_back_can_be_had():
    shaper = AnswerShaper(Shaping(answer_tool="answer", stop=("END",)))
    shaper.shape(Chunk(content="I am"))
    assert (shaper.rest(), shaper.rest()) == ("I am", "")


# --- stop strings


def test_the_answer_is_cut():
    chunks = shaped(Shaping(stop=("END",)), Chunk(content="one E"), Chunk(content="ND two", extra={"logprobs": {}}))
    assert [chunk.content for chunk in chunks] == ["one ", ""]
    assert (chunks[-1].finish_reason, chunks[-1].extra) == ("stop", None)


@each("kind", ["reasoning", "refusal"])
def test_other_texts_are_not_searched(kind):
    said = Chunk()
    setattr(said, kind, "END")
    chunks = shaped(Shaping(stop=("END",)), said, calls(head(0, "tide", "END")), finish())
    assert chunks[-1].finish_reason == "tool_calls"
    assert getattr(chunks[0], kind) == "END"
    assert chunks[1].tool_calls


@each("reason", ["stop", "length"])
def test_what_only_began_like_one_comes_with_the_finish(reason):
    chunks = shaped(Shaping(stop=("END",)), Chunk(content="one EN"), finish(reason))
    assert (content_of(chunks), chunks[-1].finish_reason) == ("one EN", reason)


def test_the_answer_of_a_tool_is_searched():
    shaping = Shaping(stop=("hour",), answer_tool="answer")
    chunks = shaped(shaping, calls(head(0, "answer", '{"ho')), calls(rest(0, 'ur":6}')))
    assert (content_of(chunks), chunks[-1].finish_reason) == ('{"', "stop")


def test_log_probabilities_come_with_their_text():
    def probable(token: str) -> dict[str, Any]:
        return {"logprobs": {"content": [{"token": token}]}}

    chunks = shaped(
        Shaping(stop=("END",)),
        Chunk(content="E", extra=probable("E")),
        Chunk(content="N", extra=probable("N")),
        Chunk(content="T", extra=probable("T")),
    )
    assert [chunk.content for chunk in chunks] == ["", "", "ENT"]
    assert [chunk.extra for chunk in chunks] == [
        None,
        None,
        {"logprobs": {"content": [{"token": "E"}, {"token": "N"}, {"token": "T"}]}},
    ]
