"""Slots of readers: exact for each user, and nothing is kept of those who left."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.limits.streams import MAX_READERS_PER_USER, ReaderSlots
from apps.llm.errors import Code, RateLimited

MOST = 3


def test_the_bound() -> None:
    slots = ReaderSlots()
    for _ in range(MAX_READERS_PER_USER):
        slots.take(1)
    with pytest.raises(RateLimited) as refusal:
        slots.take(1)
    assert (refusal.value.code, refusal.value.http_status) == (Code.TOO_MANY_STREAMS, 429)
    assert refusal.value.retry_after_s == 1
    slots.take(2)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 2)), max_size=60))
def test_a_refusal_takes_nothing(steps: list[tuple[bool, int]]) -> None:
    slots = ReaderSlots(MOST)
    held: dict[int, list[Callable[[], None]]] = {1: [], 2: []}
    for takes, user_id in steps:
        if not takes and held[user_id]:
            held[user_id].pop()()
        elif takes and len(held[user_id]) < MOST:
            held[user_id].append(slots.take(user_id))
        elif takes:
            with pytest.raises(RateLimited):
                slots.take(user_id)
    for give_back in held[1] + held[2]:
        give_back()
    assert not slots._open
