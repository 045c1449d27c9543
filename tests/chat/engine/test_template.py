"""Templates: what matches is what parsing would say, and nothing else matches."""

from __future__ import annotations

import json as standard

from hypothesis import given
from hypothesis import strategies as st

from apps.chat.engine.log import Frame
from apps.chat.engine.template import Template, learn
from apps.llm.wire import json
from apps.llm.wire.openai import parse_chunk
from tests.each import each

FRAME = Frame(b"<", b">", "content")
OPENAI = (
    '{"id":"c1","object":"chat.completion.chunk","created":1,"model":"gpt","system_fingerprint":null,'
    '"choices":[{"index":0,"delta":{"content":%s},"finish_reason":null}],"usage":null}'
)
SPACED = '{"choices": [{"delta": {"role": "assistant", "content" : %s}, "index": 0}], "id": "7"}'
DEEPSEEK = '{"id":"d","choices":[{"index":0,"delta":{"content":null,"reasoning_content":%s},"finish_reason":null}]}'


def taught(shape: str, kind: str = "content", text: str = "hello") -> Template | None:
    payload = (shape % standard.dumps(text)).encode()
    return learn(payload, parse_chunk(payload), FRAME, kind)


@each(("shape", "kind"), [(OPENAI, "content"), (SPACED, "content"), (DEEPSEEK, "reasoning_content")])
@given(text=st.text(min_size=1), ascii_only=st.booleans())
def test_a_matching_event_says_its_text(shape, kind, text, ascii_only):
    template = taught(shape, kind)
    assert template is not None
    payload = (shape % standard.dumps(text, ensure_ascii=ascii_only)).encode("utf-8", "surrogatepass")
    fragment = template.fragment_of(payload)
    assert fragment == json.dumps_text(text)


@given(inside=st.text(alphabet='ab",:{}[]\\u0\n\x01é\u2028', max_size=12))
def test_whatever_stands_in_the_slot_means_what_parsing_says(inside):
    template = taught(OPENAI)
    assert template is not None
    payload = (OPENAI % f'"{inside}"').encode()
    fragment = template.fragment_of(payload)
    if fragment is None:
        return
    chunk = parse_chunk(payload)
    assert json.loads(b'"%b"' % fragment) == chunk.content
    assert (chunk.finish_reason, chunk.tool_calls, chunk.usage, chunk.error) == (None, (), None, None)


@each(
    "inside",
    [
        '","tool_calls":[{"index":0}],"x":"',
        '"},"finish_reason":"stop"}],"x":[{"y":{"z":"',
        "\x01",
        "\t",
        "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
    ],
)
def test_what_is_more_than_a_text_does_not_match(inside):
    template = taught(OPENAI)
    assert template is not None
    assert template.fragment_of((OPENAI % f'"a{inside}b"').encode("latin-1")) is None


@each(
    "other",
    [
        OPENAI % '""',
        OPENAI % "null",
        (OPENAI % '"x"').replace('"finish_reason":null', '"finish_reason":"stop"'),
        (OPENAI % '"x"').replace('"usage":null', '"usage":{"prompt_tokens":1}'),
        (OPENAI % '"x"').replace('"id":"c1"', '"id":"c2"'),
        "[DONE]",
        "",
    ],
)
def test_another_shape_does_not_match(other):
    template = taught(OPENAI)
    assert template is not None
    assert template.fragment_of(other.encode()) is None


def test_line_separators_are_escaped_and_bad_utf8_does_not_match():
    template = taught(OPENAI)
    assert template is not None
    assert template.fragment_of((OPENAI % '"a\u2028b"').encode()) == b"a\\u2028b"
    assert template.fragment_of((OPENAI % '"a\xe9b"').encode("latin-1")) is None


def test_a_text_whose_place_is_doubtful_is_not_learnt():
    shape = OPENAI.replace('"model":"gpt"', '"note":{"content":"hello"}')
    assert taught(shape) is None
