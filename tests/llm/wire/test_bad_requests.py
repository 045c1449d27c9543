from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.llm.errors import Code, InvalidRequest
from apps.llm.wire.openai import parse_request
from tests.each import each
from tests.llm.wire.requests import BAD_BODIES, HELLO, INVALID, MISSING, PIXEL, UNSUPPORTED, parse


@each(("changes", "code", "param"), BAD_BODIES)
def test_a_bad_field_is_named(changes, code, param):
    with pytest.raises(InvalidRequest) as caught:
        parse(**changes)

    assert (caught.value.code, caught.value.param or "") == (code, param)
    assert caught.value.message.endswith((".", "…"))
    assert len(caught.value.message) < 250


@each(
    ("body", "message"),
    [
        (b" ", "The body is empty. Send a JSON object with `messages`."),
        (b"[]", "The body must be a JSON object, not an array."),
        (b"[" * 65 + b"]" * 65, "The body nests deeper than 64 levels. Send a flatter JSON object."),
        (b"{}", "`messages` is missing. Send an array with at least one message."),
        (
            b'{"messages":[{"role":"bot"}]}',
            "`messages[0].role` must be one of system, developer, user, assistant, tool, not 'bot'.",
        ),
        (b'{"messages":[null]}', "`messages[0]` must be an object, not null."),
        (
            b'{"messages":[{"role":"user","content":false}]}',
            "`messages[0].content` must be a string or an array of parts, not false.",
        ),
        (b'{"messages":[{"role":"user","content":"a"}],"top_p":1.5}', "`top_p` must be a number from 0 to 1, not 1.5."),
        (
            b'{"messages":[{"role":"user","content":"a"}],"n":2}',
            "`n` must be 1, not 2. Send one request for each answer.",
        ),
        (
            b'{"messages":[{"role":"user","content":"a"}],"stop":{}}',
            "`stop` must be a string or an array of strings, not an object.",
        ),
    ],
)
def test_the_message_says_what_to_send(body, message):
    with pytest.raises(InvalidRequest) as caught:
        parse_request(body)

    assert caught.value.message == message


@each(
    ("value", "echo"),
    [("y" * 58, f"'{'y' * 58}'"), ("y" * 59, f"'{'y' * 58}…"), ("é\n" * 500, "'" + "é\\n" * 19 + "é…")],
)
def test_a_value_is_echoed_up_to_sixty_characters(value, echo):
    with pytest.raises(InvalidRequest) as caught:
        parse(stream=value)

    assert caught.value.message == f"`stream` must be true or false, not {echo}."


@each("fields", [{"model": "sk-secret " * 50}, {"stream": "y" * 5000}, {"stop": ["x"] * 5000}])
def test_a_long_value_is_not_echoed(fields):
    with pytest.raises(InvalidRequest) as caught:
        parse(**fields)

    assert len(caught.value.message) < 150


NAMES = st.sampled_from(
    re.findall(
        r"\w+",
        "messages model stream stream_options include_usage temperature top_p max_tokens max_completion_tokens stop "
        "tools tool_choice response_format seed n user reasoning_effort thinking logprobs top_logprobs logit_bias "
        "fallback on_interrupt role content type text image_url url function name arguments tool_calls tool_call_id id "
        "parameters json_schema schema refusal strict unheard_of",
    )
)
WORDS = st.sampled_from(
    ["system", "user", "assistant", "tool", "text", "image_url", "function", "auto", "required", "json_schema", PIXEL]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text() | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(max_size=3), inner, max_size=6),
    max_leaves=12,
)


class TestFuzz:
    @settings(max_examples=120)
    @given(VALUES)
    def test_any_json_is_taken_or_refused(self, value):
        self.take_or_refuse(json.dumps(value).encode())

    @settings(max_examples=120)
    @given(
        st.dictionaries(NAMES, VALUES, max_size=3),
        st.lists(st.dictionaries(NAMES, VALUES | WORDS, max_size=4), max_size=2),
    )
    def test_any_fields_are_taken_or_refused(self, fields, messages):
        self.take_or_refuse(json.dumps({**fields, "messages": [*messages, HELLO]}).encode())

    @settings(max_examples=120)
    @given(st.binary(max_size=50) | st.text(alphabet='{}[]",:\\u0dn1e. ').map(str.encode))
    def test_any_bytes_are_taken_or_refused(self, body):
        self.take_or_refuse(body)

    @settings(max_examples=120)
    @given(st.sampled_from(BAD_BODIES), VALUES)
    def test_any_value_in_any_place_is_taken_or_refused(self, bad, value):
        changes, _, param = bad
        self.take_or_refuse(json.dumps({"messages": [HELLO], **changes, (param or "a").split(".")[0]: value}).encode())

    @staticmethod
    def take_or_refuse(body: bytes) -> None:
        try:
            request = parse_request(body)
        except InvalidRequest as error:
            assert error.code in (Code.INVALID_JSON, MISSING, INVALID, UNSUPPORTED)  # noqa: PT017 - both ways are right
            error.message.encode()
        else:
            assert request.messages
