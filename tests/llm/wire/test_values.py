"""Counting values without parsing: exact where it matters, and never fooled by what stands in strings."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from apps.llm.wire.values import MAX_VALUES, values_exceed
from tests.each import each

MIB = 1024 * 1024
TEXT = st.text(st.sampled_from('ab"\\[]{},: \n'), max_size=30)
VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(TEXT, inner, max_size=8),
    max_leaves=60,
)


def marks_of(value: Any) -> int:
    """Count what a value is written with: one for each container, one between each two of its members."""
    if isinstance(value, dict):
        return 1 + max(0, len(value) - 1) + sum(map(marks_of, value.values()))
    if isinstance(value, list):
        return 1 + max(0, len(value) - 1) + sum(map(marks_of, value))
    return 0


@given(VALUES, st.integers(0, 40))
def test_it_is_exact_for_json(value: Any, limit: int) -> None:
    data = json.dumps(value).encode()
    assert values_exceed(data, limit) == (marks_of(value) > limit and len(data) > limit)


@each(
    ("data", "exceeds"),
    [
        (b"[" + b",".join([b"[]"] * (MAX_VALUES // 2)) + b"]", False),
        (b"[" + b",".join([b"[]"] * (MAX_VALUES // 2 + 1)) + b"]", True),
        (b"[" + b",".join([b"1"] * (MAX_VALUES + 1)) + b"]", True),
        (json.dumps({"messages": [{"role": "user", "content": "[{,"} for _ in range(1000)]}).encode(), False),
        (json.dumps('[{,\\"' * 200_000).encode(), False),
        (json.dumps({"content": json.dumps([[1, "a,b"]] * 40_000)}).encode(), False),
        (b'"' + b"A" * 20 * MIB + b'"', False),
        (b'"' + b"[" * 2 * MIB + b'"', True),
        (b"", False),
    ],
    ids=["at the limit", "over it", "numbers", "messages", "a string", "json in a string", "image", "marks", "nothing"],
)
def test_prompts_are_taken_and_heaps_of_values_are_not(data: bytes, exceeds: bool) -> None:
    assert values_exceed(data) is exceeds
