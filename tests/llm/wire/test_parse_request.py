from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from apps.llm.errors import Code, InvalidRequest
from apps.llm.wire.json import dumps
from apps.llm.wire.openai import CompletionRequest, parse_request
from tests.each import each
from tests.llm.wire.requests import CALL, HELLO, PIXEL, TOOL, image, parse, user


def test_the_least_request():
    request = parse_request(b'{"messages":[{"role":"user","content":"Hello"}]}')

    (message,) = request.messages
    assert (message.role, message.wire, message.text_chars, message.has_image) == ("user", HELLO, 5, False)
    assert request == CompletionRequest(
        messages=(message,),
        model=None,
        stream=None,
        include_usage=False,
        max_tokens=None,
        stop=(),
        tools=(),
        tool_choice=None,
        response_format=None,
        thinking=None,
        reasoning_effort=None,
        parameters={},
        fallback=True,
        on_interrupt="continue",
        on_disconnect=None,
    )


SCHEMA = {"type": "json_schema", "json_schema": {"name": "tides", "schema": {}, "strict": True}}
CHOICE = {"type": "function", "function": {"name": "tide"}}
EVERYTHING: dict[str, Any] = {
    "model": "deepseek-flash",
    "stream": True,
    "stream_options": {"include_usage": True, "include_obfuscation": False},
    "temperature": 2,
    "top_p": 0.0,
    "max_tokens": 7,
    "max_completion_tokens": 9,
    "stop": ["\n", "END"],
    "tools": [TOOL],
    "tool_choice": CHOICE,
    "response_format": SCHEMA,
    "seed": -(2**63),
    "n": 1,
    "user": "u" * 512,
    "reasoning_effort": "xhigh",
    "thinking": {"type": "enabled", "clear_thinking": False},
    "logprobs": True,
    "top_logprobs": 20,
    "presence_penalty": -2,
    "frequency_penalty": 2.0,
    "logit_bias": {"50256": -100},
    "parallel_tool_calls": False,
    "fallback": False,
    "on_interrupt": "error",
    "on_disconnect": "continue",
    "metadata": {"any": ["thing"]},
}


def test_everything_at_once():
    request = parse(**EVERYTHING)

    assert (request.model, request.stream, request.include_usage) == ("deepseek-flash", True, True)
    assert (request.max_tokens, request.stop, request.thinking) == (9, ("\n", "END"), True)
    assert (request.tools, request.tool_choice, request.response_format) == ((TOOL,), CHOICE, SCHEMA)
    assert (request.reasoning_effort, request.fallback) == ("xhigh", False)
    assert (request.on_interrupt, request.on_disconnect) == ("error", "continue")
    assert request.json_mode
    assert request.parameters == {
        "temperature": 2,
        "top_p": 0.0,
        "seed": -(2**63),
        "user": "u" * 512,
        "logprobs": True,
        "top_logprobs": 20,
        "presence_penalty": -2,
        "frequency_penalty": 2.0,
        "logit_bias": {"50256": -100},
        "parallel_tool_calls": False,
        "metadata": {"any": ["thing"]},
    }


def test_null_is_absent_everywhere():
    names = [*EVERYTHING, "functions", "function_call", "unheard_of", "store", "audio", "web_search_options"]
    assert parse(**dict.fromkeys(names)) == parse()
    assert parse(stream_options={"include_usage": None}) == parse()
    assert parse({**HELLO, "name": None}, {"role": "assistant", "content": "a", "tool_calls": None, "refusal": None})


@each(
    ("name", "least", "most", "step"),
    [
        ("temperature", 0, 2, 0.001),
        ("top_p", 0, 1, 0.001),
        ("presence_penalty", -2, 2, 0.001),
        ("frequency_penalty", -2, 2, 0.001),
        ("seed", -(2**63), 2**63 - 1, 1),
        ("top_logprobs", 0, 20, 1),
        ("max_tokens", 1, 2**31 - 1, 1),
        ("max_completion_tokens", 1, 2**31 - 1, 1),
    ],
)
def test_numbers_are_taken_up_to_their_bounds(name, least, most, step):
    for value in (least, most):
        request = parse(**{name: value})
        assert (request.parameters.get(name), request.max_tokens) in ((value, None), (None, value))
    for value in (least - step, most + step):
        with pytest.raises(InvalidRequest) as caught:
            parse(**{name: value})
        assert caught.value.param == name


@each("model", ["", "auto"])
def test_no_model_in_particular(model):
    assert parse(model=model).model is None


@each(
    ("fields", "expected"),
    [({"max_tokens": 5}, 5), ({"max_completion_tokens": 6}, 6), ({"max_tokens": 5, "max_completion_tokens": 1}, 1)],
)
def test_both_names_of_the_token_limit(fields, expected):
    request = parse(**fields)

    assert request.max_tokens == expected
    assert request.parameters == {}


@each(("stop", "expected"), [("a", ("a",)), (["a"] * 16, ("a",) * 16), ([], ())])
def test_stop(stop, expected):
    assert parse(stop=stop).stop == expected


@each("tools", [[], [TOOL] * 128, [{"type": "function", "function": {"name": "a-Z_0" + "x" * 59}}]])
def test_tools(tools):
    assert parse(tools=tools).tools == tuple(tools)


@each("choice", ["none", "auto"])
def test_a_tool_choice_without_tools_means_nothing(choice):
    assert parse(tool_choice=choice).tool_choice is None
    assert parse(tool_choice=choice, tools=[TOOL]).tool_choice == choice


def test_text_is_no_json_mode():
    assert not parse(response_format={"type": "text"}).json_mode
    assert parse(response_format={"type": "json_object"}).json_mode


def test_a_conversation_of_every_role():
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
        {"role": "user", "content": "", "name": "ann"},
        {"role": "assistant", "tool_calls": [{**CALL, "id": "a"}], "reasoning_content": "Hm", "unheard_of": 1},
        {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "low"}]},
        {"role": "assistant", "content": None, "refusal": "No."},
        {"role": "assistant", "content": [{"type": "text", "text": "ab"}, {"type": "refusal", "refusal": "c"}]},
        {"role": "assistant", "content": None, "reasoning_content": ""},
    ]
    request = parse(*messages)

    del messages[3]["unheard_of"], messages[5]["content"], messages[7]["content"]
    assert [message.wire for message in request.messages] == messages
    assert [message.role for message in request.messages] == [message["role"] for message in messages]
    assert [message.text_chars for message in request.messages] == [9, 8, 0, 2 + 4 + 16, 3, 3, 3, 0]
    assert request.prompt_chars == 48
    assert not request.has_images


@each("url", ["https://example.org/a.png", "HTTP://example.org", PIXEL, "data:image/svg+xml;base64,a"])
def test_images(url):
    request = parse(user({"type": "text", "text": "What?"}, image(url, detail="low")), HELLO)

    assert [message.has_image for message in request.messages] == [True, False]
    assert request.has_images
    assert request.prompt_chars == 10


def test_a_thousand_messages_and_64_levels_are_accepted():
    assert len(parse(*[HELLO] * 1000).messages) == 1000
    nested: Any = 1
    for _ in range(63):
        nested = [nested]
    assert parse(metadata=nested).parameters == {"metadata": nested}
    assert parse(unheard_of=nested).unknown == ("unheard_of",)


BAD_JSON = {
    "a key twice": b'{"messages":1,"messages":[{"role":"user","content":"a"}]}',
    "a key twice, deep down": b'{"messages":[{"role":"user","content":[{"type":"text","text":"a","text":"b"}]}]}',
    "a key twice, written in two ways": b'{"messages":[{"role":"user","content":"a"}],"model":"a","m\\u006fdel":"b"}',
    "empty": b"",
    "blank": b" \n",
    "word": b"hello",
    "form": b"messages=hello",
    "cut": b'{"messages":[{"role":"user"',
    "trailing comma": b'{"messages":[],}',
    "two values": b"{}{}",
    "array": b"[]",
    "string": b'"hello"',
    "number": b"1",
    "null": b"null",
    "true": b"true",
    "NaN": b'{"messages":[{"role":"user","content":"a"}],"temperature":NaN}',
    "Infinity": b'{"messages":[{"role":"user","content":"a"}],"temperature":-Infinity}',
    "1e400": b'{"messages":[{"role":"user","content":"a"}],"temperature":1e400}',
    "Latin-1": b'{"messages":[{"role":"user","content":"caf\xe9"}]}',
    "UTF-16": '{"messages":[]}'.encode("utf-16"),
    "byte order mark": b'\xef\xbb\xbf{"messages":[]}',
    "lone surrogate": rb'{"messages":[{"role":"user","content":"\ud83e"}]}',
    "lone surrogate in a name": rb'{"messages":[{"role":"user","content":"a"}],"\udd89":1}',
    "65 levels": b'{"messages":[{"role":"user","content":"a"}],"metadata":' + b"[" * 64 + b"]" * 64 + b"}",
    "deep": b"[" * 500_000,
    "control character": b'{"messages":[{"role":"user","content":"a\nb"}]}',
}


@each("name", BAD_JSON)
def test_a_body_that_is_no_json_object(name):
    with pytest.raises(InvalidRequest) as caught:
        parse_request(BAD_JSON[name])

    assert (caught.value.code, caught.value.param, caught.value.http_status) == (Code.INVALID_JSON, None, 400)


LONG_BYTES = 300_000


@each(
    "fields",
    [
        {"messages": [{"role": "user", "content": "{}"}]},
        {"messages": [user({"type": "text", "text": "{}"}, image(PIXEL))]},
        {"messages": [user(image(f"{PIXEL}{{}}"))]},
        {"messages": [HELLO], "tools": [{"type": "function", "function": {"name": "tide", "description": "{}"}}]},
        {"messages": [HELLO], "metadata": [{"deep": "{}"}]},
        {"messages": [HELLO], "metadata": [{"{}": 1}]},
    ],
    ids=repr,
)
@pytest.mark.parametrize("character", ["x", "\u00e9", "\u20ac", "\U0001f98a", "xxxxxxx\U0001f98a"])
def test_what_it_takes_in_memory_is_known(fields, character):
    text = character * (LONG_BYTES // len(character.encode()))
    body = dumps(fields).replace(b"{}", text.encode())
    del text
    tracemalloc.start()
    try:
        request = parse_request(body)
        said_bytes = request.memory_bytes(len(body))
        # What is written leaves something behind.
        written_bytes = len(dumps([[one.wire for one in request.messages], request.tools, request.parameters]))
        taken_bytes = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert 0.9 * (taken_bytes + written_bytes) <= said_bytes <= 1.1 * (taken_bytes + written_bytes)
