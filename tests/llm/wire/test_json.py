from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.llm.wire import json as wire
from apps.llm.wire.json import dumps, dumps_in_pieces, dumps_text, join_surrogates, loads
from tests.each import each
from tests.llm.wire.strategies import ANY_TEXT, JSON_VALUES, whole


@settings(max_examples=100)
@given(JSON_VALUES)
def test_what_is_written_reads_back(value):
    data = dumps(value)

    assert loads(data) == whole(value)
    assert loads(data.decode()) == whole(value)
    assert json.loads(data) == whole(value)


@settings(max_examples=100)
@given(JSON_VALUES)
def test_what_is_written_is_one_line_to_the_most_naive_splitter(value):
    text = dumps(value).decode("utf-8")

    assert len(text.splitlines()) == 1


@settings(max_examples=100)
@given(JSON_VALUES, st.integers(1, 3))
def test_what_is_written_in_pieces_is_the_same(value, few):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wire, "_PIECE", 2)
        patch.setattr(wire, "_FEW", few)
        assert b"".join(dumps_in_pieces(value)) == dumps(value)


def test_many_small_values_are_few_pieces():
    token = {"token": " a", "logprob": -0.1, "bytes": [32, 97], "top_logprobs": [{"token": "b", "logprob": -1.5}] * 20}
    answer = {"choices": [{"message": {"content": "x" * 200_000}, "logprobs": {"content": [token] * 7_000}}]}
    pieces = list(dumps_in_pieces(answer))
    assert len(pieces) < 200
    assert max(map(len, pieces)) < 200_000
    assert b"".join(pieces) == dumps(answer)


@settings(max_examples=100)
@given(st.lists(ANY_TEXT, max_size=5))
def test_pieces_of_a_text_join_to_the_text(pieces):
    joined = b"".join([dumps_text(piece) for piece in pieces])

    assert joined == dumps_text("".join(pieces))
    assert loads(b'"' + joined + b'"') == join_surrogates("".join(pieces))


def test_every_character_is_written_the_same_alone_and_beside_a_lone_surrogate():
    for start in range(0, 0x11000, 256):
        text = "".join(map(chr, range(start, start + 256)))
        assert dumps_text(text) + b"\\udfff" == dumps_text(text + "\udfff")


@each(
    ("text", "written"),
    [("\x85", b"\\u0085"), ("\u2028", b"\\u2028"), ("\u2029", b"\\u2029"), ("é", b"\xc3\xa9"), ("\ud83e", b"\\ud83e")],
)
def test_only_what_must_be_is_escaped(text, written):
    assert dumps_text(text) == written
    assert dumps({text: [text]}) == b'{"%b":["%b"]}' % (written, written)


def test_a_surrogate_pair_cut_over_two_events_survives():
    halves = [loads(rb'{"content":"a\ud83e"}')["content"], loads(rb'{"content":"\udd89b"}')["content"]]

    assert join_surrogates("".join(halves)) == "a🦉b"
    assert dumps_text(halves[0]) + dumps_text(halves[1]) == rb"a\ud83e\udd89b"


def test_a_lone_surrogate_stays():
    assert join_surrogates("a\udd89\ud83e b\ud83e\udd89") == "a\udd89\ud83e b🦉"


@each(
    "data",
    [
        b"",
        b" ",
        b"{",
        b"[1,]",
        b"{'a':1}",
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b"1e400",
        b"9" * 5000,
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b'"\n"',
        b'{"a":1}x',
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        rb'["\ud83e", NaN]',
        rb'["\ud83e", -Infinity]',
        rb'["\ud83e", 1e400]',
        rb'["\ud83e", -1e400]',
        rb'["\ud83e", ' + b"9" * 5000 + b"]",
        rb'["\ud83e", ' + b"9" * 400 + b"]",
        rb'["\ud83e", 1,]',
        b'["\\ud83e", "\xff"]',
        b'["\\ud83e", "\xed\xa0\x80"]',
        b'["\\ud83e",' + b"[" * 100_000,
        b'["\\ud83e",' + b"[" * 100_000 + b"]" * 100_000 + b"]",
    ],
)
def test_malformed_input_is_a_value_error_without_the_input(data):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the class alone is the promise
        loads(data)

    assert not hasattr(caught.value, "doc")
    assert len(str(caught.value)) < 120


def test_halves_of_a_pair_can_be_refused():
    assert loads(rb'"\ud83e\udd89"', lone_surrogates=False) == "🦉"
    with pytest.raises(ValueError, match="surrogate"):
        loads(rb'"\ud83e"', lone_surrogates=False)


@each("number", [0, -1, 2**53 + 1, 2**63 - 1, -(2**63), 2**64 - 1, 2**64, -(2**63) - 1, 10**40])
def test_numbers_read_alike_beside_a_lone_surrogate(number):
    alone = loads(b"[%d]" % number)[0]
    beside = loads(b'["\\ud83e",%d]' % number)[1]

    assert type(alone) is type(beside)
    assert math.isclose(alone, number)
    assert alone == beside


def test_what_orjson_refuses_is_written_all_the_same():
    assert dumps([2**70]) == b"[1180591620717411303424]"
    nested: list[object] = []
    for _ in range(300):
        nested = [nested]
    assert dumps(nested) == b"[" * 301 + b"]" * 301


def test_what_json_cannot_say_is_refused():
    with pytest.raises(TypeError):
        dumps(object())
    circle: list[object] = []
    circle.append(circle)
    with pytest.raises(ValueError, match=r"[Cc]ircular|deep"):
        dumps(circle)
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(ValueError, match="deep"):
        dumps(nested)
