from __future__ import annotations

import json
import time

from hypothesis import given
from hypothesis import strategies as st

from apps.llm.wire.keys import keys_repeat
from apps.llm.wire.values import MAX_VALUES
from tests.each import each


class Pairs(list):
    """An object as its members are written, twice the same key or not."""


TEXT = st.text(st.sampled_from('ab:"\\{}[],\u2028\x00 é'), max_size=6)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.lists(st.tuples(TEXT, inner), max_size=4).map(Pairs),
    max_leaves=20,
)


def written(value: object, spaces: str, colon: str = ":") -> str:
    """Write a value; `colon` is how one is written within a string."""
    if isinstance(value, Pairs):
        members = (
            f"{written(key, spaces, colon)}{spaces}:{spaces}{written(inner, spaces, colon)}" for key, inner in value
        )
        return "{" + f"{spaces},{spaces}".join(members) + "}"
    if isinstance(value, list):
        return "[" + f",{spaces}".join(written(inner, spaces, colon) for inner in value) + "]"
    return json.dumps(value, ensure_ascii=False).replace(":", colon)


def repeats(value: object) -> bool:
    if isinstance(value, Pairs):
        return len({key for key, _ in value}) < len(value) or any(repeats(inner) for _, inner in value)
    return isinstance(value, list) and any(repeats(inner) for inner in value)


@given(VALUE, st.sampled_from(["", " ", "\n\t"]), st.sampled_from([":", "\\u003a", "\\u003A"]))
def test_tells_exactly_the_texts_that_repeat_one(value, spaces, colon):
    text = written(value, spaces, colon).encode()
    assert keys_repeat(text, json.loads(text)) is repeats(value)


@each(
    "text",
    [
        b'{"a":1,"a":1}',
        b'{"a":1,"\\u0061":1}',
        b'{"a":{"b":1},"a":{"b":1}}',
        b'[{"a":[{"":0,"":0}]}]',
        b'{"a\\"b":1,"a\\"b":2}',
        b'{"\\\\":1,"\\\\":2}',
        b'{"a:":":","a:":":"}',
        b'{"a":":\\u003a","a":1}',
        b'{"\\u003A":1,":":1}',
    ],
)
def test_one_twice(text):
    assert keys_repeat(text, json.loads(text))


@each(
    "text",
    [
        b"{}",
        b"1",
        b'":"',
        b'{"a":{"a":{"a":":"}}}',
        b'[{"a":1},{"a":1}]',
        b'{":":"::","\\":":":\\\\"}',
        b'{"a":"\\u003a\\u003A\\\\u003a:"}',
        b'[":",{":":[":"]}]',
        b'{"a":":\\u003a"}',
        b'{":":["\\u003A\\u003c"],"\\u003a\\u003A":":"}',
    ],
)
def test_none_twice(text):
    assert not keys_repeat(text, json.loads(text))


def test_the_worst_takes_little_time():
    text = b"{" + b",".join(b'"%x":":"' % number for number in range(MAX_VALUES)) + b"}"
    value = json.loads(text)
    took_s = []
    for _ in range(5):
        began_s = time.thread_time()
        assert not keys_repeat(text, value)
        took_s.append(time.thread_time() - began_s)
    assert min(took_s) < 0.05
