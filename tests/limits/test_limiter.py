"""Both limiters alike: never more than the limit in any window, every slot back once, and honest about all of it."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter, defaultdict
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.limits.limiter import Lease, Limits
from apps.limits.streams import StreamSlots
from apps.llm.errors import Code, ServiceUnavailable
from tests.limits.stores import Clock, Store, admitted, refused_for_s, taken

TICKS = 1024
FIVE_A_MINUTE = Limits(rate=5, window_s=60, streams=100)
Steps = list[tuple[float, int, bool]]


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[Limits, Steps]:
    """Draw limits, and arrivals: seconds since the last one, which user, and whether we fail it."""
    window_s = draw(st.integers(60, 64))
    at_edges = st.sampled_from([0, 1, TICKS - 1, TICKS, window_s * TICKS - 1, window_s * TICKS, window_s * TICKS + 1])
    gaps = st.one_of(st.integers(0, window_s * TICKS // 2), at_edges)
    arrival = st.tuples(gaps.map(lambda ticks: ticks / TICKS), st.integers(0, 2), st.booleans())
    limits = Limits(rate=draw(st.integers(1, 4)), window_s=window_s, streams=100)
    return limits, draw(st.lists(arrival, max_size=30))


def most_in_a_window(times: list[float], window_s: float) -> int:
    """Return the most of these ascending times that lie in one window, its end excluded."""
    return max((sum(1 for one in times if start <= one < start + window_s) for start in times), default=0)


class TestAnyArrivals:
    @settings(max_examples=100)
    @given(drawn=arrivals())
    def test_never_more_than_the_limit_and_never_refused_without_need(
        self, store: Store, users: Iterator[int], drawn: tuple[Limits, Steps]
    ) -> None:
        limits, steps = drawn

        async def run() -> None:
            clock, crowd = Clock(), list(itertools.islice(users, 3))
            times: defaultdict[int, list[float]] = defaultdict(list)
            async with store.open(limits, clock) as limiter:
                for gap_s, number, fails in steps:
                    clock.now_s += gap_s
                    user_id = crowd[number]
                    in_window = [one for one in times[user_id] if one > clock.now_s - limits.window_s]
                    admission = await limiter.admit(user_id)
                    assert (admission.lease is not None) == (len(in_window) < limits.rate)
                    if admission.lease is None:
                        continue
                    if fails:
                        admission.lease.give_back()
                    else:
                        times[user_id].append(clock.now_s)
                        admission.lease.release()
            for one in times.values():
                assert most_in_a_window(one, limits.window_s) <= limits.rate

        asyncio.run(run())

    @settings(max_examples=100)
    @given(drawn=arrivals())
    def test_what_it_says_is_true(self, store: Store, users: Iterator[int], drawn: tuple[Limits, Steps]) -> None:
        """What is left, when all is free again and when one is: each is tried, on the clock as it will be then."""
        limits, steps = drawn

        async def run() -> None:
            clock, user_id = Clock(), next(users)
            async with store.open(limits, clock) as limiter:
                times: list[float] = []
                for gap_s, _, _ in steps:
                    clock.now_s += gap_s
                    now = clock.now_s
                    admission = await limiter.admit(user_id)
                    says = await limiter.look(user_id)
                    if admission.refusal is None:
                        assert admission.window == says
                    else:
                        # One truth about when to come back, in all headers.
                        wait = admission.refusal.retry_after_s
                        assert (admission.window.remaining, admission.window.reset_s) == (0, wait)
                    times = [one for one in times if one + limits.window_s > now]
                    if admission.lease is not None:
                        admission.lease.release()
                        times.append(now)
                    else:
                        assert admission.refusal is not None
                        wait_s = admission.refusal.retry_after_s
                        assert isinstance(wait_s, int)
                        assert 1 <= wait_s <= limits.window_s
                        # True, and not a second more than need be.
                        assert times[0] + limits.window_s <= now + wait_s
                        assert wait_s == 1 or times[0] + limits.window_s > now + wait_s - 1
                    assert says.remaining == limits.rate - len(times)
                    assert 1 <= says.reset_s <= limits.window_s
                    assert times[-1] + limits.window_s <= now + says.reset_s
                    assert times[-1] + limits.window_s > now + says.reset_s - 1

        asyncio.run(run())


async def test_any_minute_of_ten_holds_five_at_most(store: Store, users: Iterator[int], clock: Clock) -> None:
    arrive, ends_at_s = random.Random(4417), clock.now_s + 600
    times: defaultdict[int, list[float]] = defaultdict(list)
    crowd = [next(users) for _ in range(3)]
    refused = 0
    async with store.open(FIVE_A_MINUTE, clock) as limiter:
        while clock.now_s < ends_at_s:
            # In turns a trickle and a flood.
            clock.now_s += arrive.expovariate(0.3 if int(clock.now_s) // 45 % 2 else 6)
            user_id = arrive.choice(crowd)
            before = [one for one in times[user_id] if one + 60 > clock.now_s]
            if await admitted(limiter, user_id):
                times[user_id].append(clock.now_s)
                assert len(before) < 5
            else:
                refused += 1
                assert len(before) == 5
    assert refused > 500
    for one in times.values():
        assert most_in_a_window(one, 60) == 5
        assert len(one) >= 40


async def test_whoever_obeys_the_headers_is_never_refused(store: Store, users: Iterator[int], clock: Clock) -> None:
    pause, user_id = random.Random(4417), next(users)
    async with store.open(FIVE_A_MINUTE, clock) as limiter:
        for _ in range(1_000):
            admission = await limiter.admit(user_id)
            assert admission.lease is not None, clock.now_s
            admission.lease.release()
            remaining, reset_s = (int(part[2:]) for part in admission.window.headers["RateLimit"].split(";")[1:])
            assert remaining == int(admission.window.headers["X-RateLimit-Remaining"])
            clock.now_s += pause.choice((0, 0, 0.001, 0.3, 7.77))
            if remaining == 0:
                clock.now_s += reset_s


async def test_whoever_waits_as_a_refusal_says_is_admitted_then(
    store: Store, users: Iterator[int], clock: Clock
) -> None:
    pause, user_id, waits = random.Random(4417), next(users), 0
    async with store.open(FIVE_A_MINUTE, clock) as limiter:
        for _ in range(1_000):
            admission = await limiter.admit(user_id)
            if admission.refusal is not None:
                assert admission.refusal.retry_after_s is not None
                clock.now_s += admission.refusal.retry_after_s
                waits += 1
                assert await admitted(limiter, user_id), clock.now_s
            else:
                assert admission.lease is not None
                admission.lease.release()
            clock.now_s += pause.choice((0, 0.001, 0.3, 7.77))
    assert waits > 150


async def test_many_at_once_are_admitted_up_to_the_limit(store: Store, users: Iterator[int], clock: Clock) -> None:
    user_id, slots = next(users), StreamSlots(50)
    async with store.open(FIVE_A_MINUTE, clock, slots=slots) as limiter:
        admissions = await asyncio.gather(*(limiter.admit(user_id) for _ in range(50)))
        assert sum(one.lease is not None for one in admissions) == 5
        assert sorted(one.window.remaining for one in admissions)[-5:] == [0, 1, 2, 3, 4]
        assert slots.active == 5


class TestTheWindow:
    async def test_looking_takes_nothing(self, store: Store, users: Iterator[int], clock: Clock) -> None:
        user_id = next(users)
        async with store.open(FIVE_A_MINUTE, clock) as limiter:
            for _ in range(6):
                window = await limiter.look(user_id)
                assert (window.limit, window.window_s, window.remaining, window.reset_s) == (5, 60, 5, 0)
            await taken(limiter, user_id)
            clock.now_s += 1
            window = await limiter.look(user_id)
            assert (window.remaining, window.reset_s) == (4, 59)

    async def test_a_slot_is_free_at_the_end_of_its_window_and_not_before(
        self, store: Store, users: Iterator[int], clock: Clock
    ) -> None:
        user_id = next(users)
        async with store.open(Limits(rate=1, window_s=60, streams=9), clock) as limiter:
            assert await admitted(limiter, user_id)
            clock.now_s += 60 - 1 / TICKS
            assert await refused_for_s(limiter, user_id) == 1
            clock.now_s += 1 / TICKS
            assert await admitted(limiter, user_id)

    async def test_users_do_not_share(self, store: Store, users: Iterator[int], clock: Clock) -> None:
        async with store.open(Limits(rate=1, window_s=60, streams=1), clock) as limiter:
            for user_id in itertools.islice(users, 3):
                await taken(limiter, user_id)
                await refused_for_s(limiter, user_id)

    async def test_a_refusal_names_the_seconds_to_the_next_free_slot(
        self, store: Store, users: Iterator[int], clock: Clock
    ) -> None:
        user_id = next(users)
        async with store.open(Limits(rate=2, window_s=60, streams=9), clock) as limiter:
            await admitted(limiter, user_id)
            clock.now_s += 30
            await admitted(limiter, user_id)
            clock.now_s += 10.5
            refusal = (await limiter.admit(user_id)).refusal
            assert refusal is not None
            assert (refusal.code, refusal.retry_after_s) == (Code.RATE_LIMITED, 20)
            assert "20 s" in refusal.message
            # A refusal pushes nothing back.
            assert await refused_for_s(limiter, user_id) == 20


class TestGivingBack:
    async def test_frees_the_slot_that_was_taken_and_no_other(
        self, store: Store, users: Iterator[int], clock: Clock
    ) -> None:
        user_id = next(users)
        async with store.open(Limits(rate=2, window_s=60, streams=9), clock) as limiter:
            first = await taken(limiter, user_id)
            clock.now_s += 4
            second = await taken(limiter, user_id)
            second.give_back()
            window = await limiter.look(user_id)
            assert (window.remaining, window.reset_s) == (1, 56)
            first.give_back()
            assert (await limiter.look(user_id)).remaining == 2

    async def test_again_or_late_changes_nothing(self, store: Store, users: Iterator[int], clock: Clock) -> None:
        user_id = next(users)
        async with store.open(Limits(rate=1, window_s=60, streams=9), clock) as limiter:
            lease = await taken(limiter, user_id)
            clock.now_s += 60
            await taken(limiter, user_id)
            for _ in range(2):
                lease.give_back()
            assert (await limiter.look(user_id)).remaining == 0

    async def test_works_after_the_release(self, store: Store, users: Iterator[int], clock: Clock) -> None:
        user_id, slots = next(users), StreamSlots(1)
        async with store.open(Limits(rate=1, window_s=60, streams=1), clock, slots=slots) as limiter:
            for _ in range(3):
                lease = await taken(limiter, user_id)
                lease.release()
                assert (await limiter.look(user_id)).remaining == 0
                lease.give_back()
                assert (await limiter.look(user_id)).remaining == 1
                assert slots.active == 0

    async def test_many_at_once_give_every_slot_back(self, store: Store, users: Iterator[int], clock: Clock) -> None:
        user_id = next(users)
        async with store.open(FIVE_A_MINUTE, clock) as limiter:

            async def fail() -> None:
                (await taken(limiter, user_id)).give_back()

            for _ in range(20):
                await asyncio.gather(*(fail() for _ in range(5)))
            assert (await limiter.look(user_id)).remaining == 5


STEPS = st.lists(st.tuples(st.sampled_from(["take", "release", "give back"]), st.integers(0, 3)), max_size=30)


class TestStreams:
    @settings(max_examples=100)
    @given(per_user=st.integers(1, 3), capacity=st.integers(1, 6), steps=STEPS)
    def test_any_sequence_keeps_both_bounds_and_loses_nothing(
        self, store: Store, users: Iterator[int], per_user: int, capacity: int, steps: list[tuple[str, int]]
    ) -> None:
        async def run() -> None:
            crowd, slots = list(itertools.islice(users, 4)), StreamSlots(capacity)
            held: list[tuple[int, Lease]] = []
            over: list[Lease] = []
            async with store.open(Limits(rate=1000, window_s=60, streams=per_user), Clock(), slots=slots) as limiter:
                for action, number in steps:
                    user_id = crowd[number]
                    if action != "take":
                        if held:
                            _, lease = held.pop(number % len(held))
                            over.append(lease)
                        for again in over[-2:]:
                            again.release() if action == "release" else again.give_back()
                    elif len(held) >= capacity:
                        with pytest.raises(ServiceUnavailable) as full:
                            await limiter.admit(user_id)
                        assert full.value.code is Code.OVERLOADED
                        assert full.value.headers["Retry-After"] == "1"
                    else:
                        admission = await limiter.admit(user_id)
                        if Counter(owner for owner, _ in held)[user_id] >= per_user:
                            assert admission.lease is None
                            assert admission.refusal is not None
                            assert admission.refusal.code is Code.TOO_MANY_STREAMS
                            assert admission.refusal.retry_after_s == 1
                        else:
                            assert admission.lease is not None
                            held.append((user_id, admission.lease))
                    assert slots.active == len(held)
                for _, lease in held:
                    lease.release()
                assert slots.active == 0
                for user_id in crowd:
                    (await taken(limiter, user_id)).release()

        asyncio.run(run())

    async def test_one_too_many_costs_nothing_of_the_rate(
        self, store: Store, users: Iterator[int], clock: Clock
    ) -> None:
        user_id = next(users)
        async with store.open(Limits(rate=3, window_s=60, streams=1), clock) as limiter:
            lease = await taken(limiter, user_id)
            for _ in range(5):
                admission = await limiter.admit(user_id)
                assert admission.refusal is not None
                assert admission.refusal.code is Code.TOO_MANY_STREAMS
                assert admission.window.remaining == 2
            lease.release()
            await taken(limiter, user_id)

    async def test_a_full_window_is_told_before_full_streams(
        self, store: Store, users: Iterator[int], clock: Clock
    ) -> None:
        user_id = next(users)
        async with store.open(Limits(rate=1, window_s=60, streams=1), clock) as limiter:
            await taken(limiter, user_id)
            assert await refused_for_s(limiter, user_id) == 60

    async def test_a_full_process_is_told_first_and_takes_nothing(
        self, store: Store, users: Iterator[int], clock: Clock
    ) -> None:
        user_id, slots = next(users), StreamSlots(1)
        async with store.open(Limits(rate=2, window_s=60, streams=1), clock, slots=slots) as limiter:
            lease = await taken(limiter, user_id)
            for asking in (user_id, next(users)):
                with pytest.raises(ServiceUnavailable):
                    await limiter.admit(asking)
            assert (await limiter.look(user_id)).remaining == 1
            lease.release()
            await taken(limiter, next(users))
