"""Requests that fail give their slots back, but so often in a window alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from apps.limits import refunds
from apps.limits.limiter import Limits
from apps.limits.streams import StreamSlots
from tests.limits.stores import Clock, Store, refused_for_s, taken

FIVE_A_MINUTE = Limits(rate=5, window_s=60, streams=100)


class TestFailing:
    @pytest.fixture(autouse=True)
    def _one_refund_per_slot(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(refunds, "REFUNDS_PER_SLOT", 1)

    async def test_gives_back_as_many_as_the_limit_in_a_window_and_then_counts(
        self, store: Store, users: Iterator[int], clock: Clock
    ) -> None:
        user_id, other, slots = next(users), next(users), StreamSlots(1)
        async with store.open(Limits(rate=2, window_s=60, streams=1), clock, slots=slots) as limiter:
            for remaining in (2, 2, 1, 0):
                (await taken(limiter, user_id)).fail()
                assert slots.active == 0
                assert (await limiter.look(user_id)).remaining == remaining
                clock.now_s += 4
            # The third failure counts until 68 s after the first, which is refunded until 60 s.
            assert await refused_for_s(limiter, user_id) == 52
            (await taken(limiter, other)).fail()
            assert (await limiter.look(other)).remaining == 2

    async def test_gives_back_again_when_the_window_is_over(
        self, store: Store, users: Iterator[int], clock: Clock
    ) -> None:
        user_id = next(users)
        async with store.open(Limits(rate=1, window_s=60, streams=1), clock) as limiter:
            for _ in range(3):
                (await taken(limiter, user_id)).fail()
                (await taken(limiter, user_id)).fail()
                assert await refused_for_s(limiter, user_id) == 60
                clock.now_s += 60

    async def test_in_a_crowd_admits_no_more_than_twice_the_limit(
        self, store: Store, users: Iterator[int], clock: Clock
    ) -> None:
        user_id, done = next(users), []
        async with store.open(FIVE_A_MINUTE, clock) as limiter:

            async def ask() -> None:
                for _ in range(20):
                    lease = (await limiter.admit(user_id)).lease
                    if lease is not None:
                        done.append(lease)
                        lease.fail()

            await asyncio.gather(*(ask() for _ in range(4)))
        assert len(done) == 10

    async def test_what_does_not_count_is_given_back_without_a_bound(
        self, store: Store, users: Iterator[int], clock: Clock
    ) -> None:
        user_id = next(users)
        async with store.open(Limits(rate=1, window_s=60, streams=1), clock) as limiter:
            for _ in range(5):
                (await taken(limiter, user_id)).give_back()
            (await taken(limiter, user_id)).fail()
            assert (await limiter.look(user_id)).remaining == 1
