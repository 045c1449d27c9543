"""Stream slots: never more than allowed, and every one comes back exactly once."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.chat.limits.streams import StreamLease, StreamSlots
from apps.llm.errors import Code, RateLimited, ServiceUnavailable

STEPS = st.lists(st.tuples(st.sampled_from(["lease", "release"]), st.integers(0, 5)), max_size=60)


@given(st.integers(1, 3), st.integers(1, 6), STEPS)
def test_any_sequence_keeps_both_bounds_and_loses_nothing(per_user: int, capacity: int, steps) -> None:
    slots = StreamSlots(per_user=per_user, capacity=capacity)
    held: list[tuple[int, StreamLease]] = []
    released: list[StreamLease] = []
    for action, number in steps:
        by_user = Counter(user_id for user_id, _ in held)
        if action == "release":
            if held:
                _, lease = held.pop(number % len(held))
                lease.release()
                released.append(lease)
            for again in released[-2:]:
                again.release()
        elif len(held) >= capacity:
            with pytest.raises(ServiceUnavailable) as full:
                slots.lease(number)
            assert full.value.code is Code.OVERLOADED
            assert full.value.headers["Retry-After"] == "1"
        elif by_user[number] >= per_user:
            with pytest.raises(RateLimited) as taken:
                slots.lease(number)
            assert taken.value.code is Code.TOO_MANY_STREAMS
            assert taken.value.retry_after_s == 1
        else:
            held.append((number, slots.lease(number)))
        assert slots.active == len(held)
        for user_id in range(6):
            assert slots.running_of(user_id) == sum(1 for owner, _ in held if owner == user_id)
    for _, lease in held:
        lease.release()
    assert slots.active == 0


def test_users_whose_streams_ended_are_forgotten() -> None:
    slots = StreamSlots(per_user=1, capacity=10)
    for user_id in range(1_000):
        slots.lease(user_id).release()
        slots.running_of(user_id + 5_000)
    assert not slots._by_user


def test_a_full_process_is_told_before_a_full_user() -> None:
    slots = StreamSlots(per_user=1, capacity=1)
    slots.lease(1)
    with pytest.raises(ServiceUnavailable):
        slots.lease(1)
