"""The index of recorded bytes says what is in them."""

from __future__ import annotations

import json
from pathlib import Path

import tests.fixtures
from apps.llm.errors import Failure
from tests.each import each
from tests.fixtures import RESPONSES, STREAMS, WHOLE_JSON
from tests.upstream_tests.reading import dispatch, read

DIRECTORY = Path(tests.fixtures.__file__).parent / "streams"


def test_every_file_is_in_the_index():
    listed = {fixture.file for fixture in STREAMS.values()} | {fixture.file for fixture in RESPONSES.values()}
    there = {path.name for path in DIRECTORY.iterdir() if not path.name.startswith(".")}
    assert there - listed == {"f12b_leading_newlines.json"}
    assert listed <= there


@each("fixture", STREAMS.values(), ids=str)
def test_stream_says_what_the_index_says(fixture):
    answer = read(fixture.content)
    assert len(dispatch(fixture.content)) == fixture.events
    assert (answer.text, answer.reasoning, answer.refusal) == (fixture.text, fixture.reasoning, fixture.refusal)
    assert [(call[0], call[1], call[2]) for call in answer.tool_calls.values()] == [
        (call.id, call.name, call.arguments) for call in fixture.tool_calls
    ]
    assert answer.finishes == ([fixture.finish] if fixture.finish else [])
    assert answer.done == fixture.done
    assert fixture.content.count(b"\n:") + fixture.content.lstrip(b"\xef\xbb\xbf").startswith(b":") == fixture.comments
    assert (fixture.failure is None) == (fixture.ends == "finish")
    # A failing stream says so in an error event, or in a finish_reason that stands for one.
    assert (bool(answer.errors) or fixture.finish is not None) == (fixture.failure in (None, "stream_error"))
    if fixture.failure is not None:
        assert Failure(fixture.failure)


@each("fixture", STREAMS.values(), ids=str)
def test_usage_is_what_the_index_says(fixture):
    usages = read(fixture.content).usages
    if fixture.usage is None:
        assert not usages
        return
    (usage,) = usages
    assert usage["prompt_tokens"] == fixture.usage.prompt_tokens
    assert usage["completion_tokens"] == fixture.usage.completion_tokens
    assert usage["prompt_tokens_details"]["cached_tokens"] == fixture.usage.cached_tokens
    assert usage["completion_tokens_details"]["reasoning_tokens"] == fixture.usage.reasoning_tokens
    assert usage["total_tokens"] == fixture.usage.prompt_tokens + fixture.usage.completion_tokens


@each("fixture", RESPONSES.values(), ids=str)
def test_response_is_whole(fixture):
    assert fixture.wire.startswith(b"HTTP/1.1 %d " % fixture.status)
    assert int(fixture.headers["content-length"]) == len(fixture.body)
    assert json.loads(fixture.body)["error"]["code"]
    assert Failure(fixture.failure)


def test_line_ends_survived_the_checkout():
    assert STREAMS["f5"].content.count(b"\r\n") == 3
    assert b"\r" not in STREAMS["f1"].content
    assert STREAMS["f7b"].content.endswith("🦉".encode()[:2])
    assert b"\\u2028" in STREAMS["f1"].content
    assert "\u2028".encode() in STREAMS["f1b"].content


def test_whole_json_has_empty_lines_in_front():
    assert WHOLE_JSON.startswith(b"\n\n\n{")
    assert json.loads(WHOLE_JSON)["choices"][0]["message"]["content"] == "Half an answer."
