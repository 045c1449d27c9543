from __future__ import annotations

import json
import random
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from apps.llm.wire.depth import depth_exceeds
from tests.each import each

MEBIBYTE = 1 << 20
TEXT = st.text(alphabet='[]{}"\\, é\n', max_size=8)
VALUES = st.recursive(
    st.none() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=30,
)


def depth_of(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


@settings(max_examples=100)
@given(VALUES, st.booleans(), st.sampled_from([None, 2]))
def test_it_agrees_with_the_parsed_value_at_every_limit(value, ensure_ascii, indent):
    data = json.dumps(value, ensure_ascii=ensure_ascii, indent=indent).encode()
    depth = depth_of(value)

    assert not depth_exceeds(data, depth)
    assert depth == 0 or depth_exceeds(data, depth - 1)


@each("depth", [63, 64, 65, 66, 500])
@each(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}"), (b'[0,{"]":', b"}]")], ids=["array", "object", "both"])
def test_the_limit_is_exact(depth, opening, closing):
    levels = opening.count(b"[") + opening.count(b"{")
    data = opening * (depth // levels) + b"[" * (depth % levels) + b"1" + b"]" * (depth % levels)
    data += closing * (depth // levels)

    assert json.loads(data)
    assert depth_exceeds(data, 64) is (depth > 64)


@each("prefix", range(17))
def test_a_peak_is_found_wherever_it_lies(prefix):
    data = b"[" + b"[]," * prefix + b"[" * 64 + b"]" * 64 + b",[]" * 50 + b"]"

    assert depth_exceeds(data, 64)
    assert not depth_exceeds(data, 65)


@each(
    "data",
    [
        b'["' + b"[" * 100 + b'"]',
        b'["' + b'\\"[' * 100 + b'"]',
        b'["\\\\\\"' + b"[{" * 100 + b'"]',
        '["\\u005b' + "[" * 100 + '\u2028é"]',
        b'{"' + b"{" * 100 + b'":"' + b"}" * 100 + b'"}',
    ],
)
def test_brackets_inside_strings_do_not_count(data):
    data = data if isinstance(data, bytes) else data.encode()
    assert json.loads(data)
    assert not depth_exceeds(data, 1)


@each("backslashes", range(6))
def test_an_even_number_of_backslashes_lets_the_quote_end_the_string(backslashes):
    data = b'["' + b"\\" * backslashes + b'"' + b"[" * 10

    assert depth_exceeds(data, 5) is (backslashes % 2 == 0)


@each("data", [b"", b'"', b"\\", b'"\\', b"]" * 100 + b"[" * 100, b'"' * 201 + b"[" * 99, b"\xff[" * 99])
def test_malformed_input_gets_an_answer(data):
    assert depth_exceeds(data, 64) in (True, False)


HOSTILE = {
    "siblings": b"[]",
    "groups": b"[" * 64 + b"]" * 64,
    "openers": b"[",
    "closers": b"[" * 65 + b"]" * 200,
    "strings": b'"[',
    "long strings": b'"[[',
    "quotes": b'["',
    "backslashes": b"\\",
    "escaped quotes": b'\\"[',
    "alternating": b'[]"[',
    "commas": b"[],",
    "random": bytes(random.Random(7).choices(b'[]{}"\\a,', k=5000)),
}


@each("name", HOSTILE)
def test_a_hostile_mebibyte_costs_little(name):
    unit = HOSTILE[name]
    data = b"[" * 70 + unit * (MEBIBYTE // len(unit))
    spent_s = []
    for _ in range(3):
        before_s = time.process_time()
        depth_exceeds(data, 64)
        spent_s.append(time.process_time() - before_s)

    # Some 10 to 20 ms on the machine it was written on; anything quadratic takes minutes.
    assert min(spent_s) < 0.1
