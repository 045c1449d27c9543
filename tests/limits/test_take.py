"""Windows of what is no completion: the same exactness, on the loop and in threads, in the process and in Redis."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from apps.limits import refunds
from apps.limits.limiter import Admission, Limiter, Limits, Rate, settle
from apps.limits.redis_scripts import rate_key, streams_key
from apps.llm.errors import Code
from tests.limits.redis_server import RedisServer
from tests.limits.stores import Clock, Store
from tests.limits.test_limiter import most_in_a_window
from tests.limits.workers import back, workers

COMPLETIONS = Limits(rate=5, window_s=60, streams=100)
THREE = Rate(policy="guesses", limit=3, window_s=60, what="guesses")


async def take(limiter: Limiter, key: int | str, rate: Rate = THREE) -> Admission:
    admission = await limiter.take(rate, key)
    assert (admission.lease is None) != (admission.refusal is None)
    return admission


async def test_never_more_than_the_limit_in_any_window(store: Store, users: Iterator[int], clock: Clock) -> None:
    choose, key, times = random.Random(4417), f"name {next(users)}", list[float]()
    async with store.open(COMPLETIONS, clock) as limiter:
        for _ in range(400):
            clock.now_s += choose.choice((0, 1 / 1024, 0.5, 20, 60 - 1 / 1024, 60))
            in_window = [one for one in times if one + 60 > clock.now_s]
            admission = await take(limiter, key)
            assert (admission.lease is not None) == (len(in_window) < 3)
            if admission.refusal is not None:
                assert (admission.refusal.code, admission.window.remaining) == (Code.RATE_LIMITED, 0)
                wait_s = admission.refusal.retry_after_s
                assert wait_s is not None
                assert in_window[0] + 60 <= clock.now_s + wait_s
                assert wait_s == 1 or in_window[0] + 60 > clock.now_s + wait_s - 1
            else:
                times.append(clock.now_s)
    assert most_in_a_window(times, 60) == 3


async def test_windows_are_apart(store: Store, users: Iterator[int], clock: Clock) -> None:
    """One of another policy, of another key, or of completions takes nothing from this one."""
    user_id = next(users)
    other = Rate(policy="others", limit=1, window_s=10, what="others")
    async with store.open(COMPLETIONS, clock) as limiter:
        for left in (2, 1, 0):
            window = (await take(limiter, user_id)).window
            assert (window.policy, window.limit, window.remaining) == ("guesses", 3, left)
        assert (await take(limiter, user_id)).lease is None
        assert (await take(limiter, user_id, other)).lease is not None
        assert (await take(limiter, f"{user_id} again")).lease is not None
        assert (await limiter.look(user_id)).remaining == 5
        assert (await limiter.admit(user_id)).lease is not None
        clock.now_s += 10
        assert (await take(limiter, user_id, other)).lease is not None
        assert (await take(limiter, user_id)).lease is None


async def test_what_is_given_back_counts_no_more(store: Store, users: Iterator[int], clock: Clock) -> None:
    user_id = next(users)
    async with store.open(COMPLETIONS, clock) as limiter:
        leases = [(await take(limiter, user_id)).lease for _ in range(3)]
        for lease in leases:
            assert lease is not None
            lease.release()
        assert (await take(limiter, user_id)).lease is None, "there is no stream slot to release"
        assert leases[1] is not None
        leases[1].give_back()
        leases[1].give_back()
        assert (await take(limiter, user_id)).lease is not None
        assert (await take(limiter, user_id)).lease is None


async def test_threads_take_no_more_than_the_limit_together(store: Store, users: Iterator[int], clock: Clock) -> None:
    key, loop = f"name {next(users)}", asyncio.get_running_loop()
    async with store.open(COMPLETIONS, clock) as limiter:
        with ThreadPoolExecutor(8) as pool:

            def take_some(_: int) -> list[Admission]:
                return [limiter.take_in_thread(THREE, key) for _ in range(5)]

            def give_back(admissions: list[Admission]) -> None:
                for one in admissions:
                    if one.lease is not None:
                        one.lease.give_back()

            taken = await asyncio.gather(*(loop.run_in_executor(pool, take_some, number) for number in range(8)))
            admissions = [one for some in taken for one in some]
            assert sum(one.lease is not None for one in admissions) == 3
            await loop.run_in_executor(pool, give_back, admissions)
            again = await loop.run_in_executor(pool, take_some, 0)
        assert [one.lease is not None for one in again] == [True] * 3 + [False] * 2


async def test_failures_are_given_back_so_often(
    store: Store, users: Iterator[int], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refunds, "REFUNDS_PER_SLOT", 1)
    user_id, loop = next(users), asyncio.get_running_loop()
    async with store.open(COMPLETIONS, clock) as limiter:
        for status in (503, 429, 503, 429, 503, 429, 429):
            lease = (await take(limiter, user_id)).lease
            assert lease is not None
            settle(lease, status)
        for left in (2, 1):
            window = (await take(limiter, user_id)).window
            assert window.remaining == left
        lease = (await loop.run_in_executor(None, limiter.take_in_thread, THREE, user_id)).lease
        assert lease is not None
        await loop.run_in_executor(None, settle, lease, 500)
        assert (await take(limiter, user_id)).lease is None


async def test_workers_share_them(lasting_redis: RedisServer, users: Iterator[int], clock: Clock) -> None:
    key = f"name {next(users)}"
    async with workers(lasting_redis, clock, 3) as three:
        assert [(await take(one, key)).lease is not None for one in (*three, *three)] == [True] * 3 + [False] * 3
        assert lasting_redis.do("ZCARD", rate_key(f"guesses:{key}")) == 3
        assert lasting_redis.do("EXISTS", streams_key(f"guesses:{key}")) == 0


async def test_without_redis_each_worker_has_its_share_and_forgets_nothing(
    redis_server: RedisServer, users: Iterator[int], clock: Clock
) -> None:
    key = f"name {next(users)}"
    async with workers(redis_server, clock, 2) as (one, other):
        assert (await take(one, key)).lease is not None
        redis_server.kill()
        assert [(await take(each, key)).lease is not None for each in (one, other, other)] == [False, True, False]
        redis_server.start()
        await back(one, other)
        assert redis_server.do("ZCARD", rate_key(f"guesses:{key}")) == 2
        assert [(await take(each, key)).lease is not None for each in (one, other)] == [True, False]
