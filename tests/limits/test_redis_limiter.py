"""Books in Redis: one for all workers, whatever becomes of Redis, of a worker, or of a request that left."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

import pytest

from apps.limits.limiter import Admission, Limits
from apps.limits.redis_books import LEASE_S
from apps.limits.redis_limiter import BEAT_S, RedisLimiter
from apps.limits.redis_link import RedisLost
from apps.limits.redis_scripts import rate_key, streams_key
from apps.limits.streams import StreamSlots
from tests.limits.redis_server import RedisServer
from tests.limits.stores import Clock, Store, admitted, taken
from tests.limits.test_limiter import most_in_a_window
from tests.limits.workers import FIVE, back, leases, rate_slots, workers

_LASTING_KEYS = """
local lasting = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  if redis.call('PTTL', key) == -1 then table.insert(lasting, key) end
end
return lasting
"""


class TestSeveralWorkers:
    async def test_share_one_window_to_its_edges(
        self, lasting_redis: RedisServer, users: Iterator[int], clock: Clock
    ) -> None:
        choose, user_id, times = random.Random(4417), next(users), list[float]()
        async with workers(lasting_redis, clock, 4) as four:
            for _ in range(600):
                clock.now_s += choose.choice((0, 1 / 1024, 0.5, 3, 60 - 1 / 1024, 60))
                in_window = [one for one in times if one + 60 > clock.now_s]
                granted = await admitted(choose.choice(four), user_id)
                assert granted == (len(in_window) < 5)
                if granted:
                    times.append(clock.now_s)
        assert most_in_a_window(times, 60) == 5

    async def test_a_slot_that_another_took_is_free_at_the_end_of_its_window_and_not_before(
        self, lasting_redis: RedisServer, users: Iterator[int], clock: Clock
    ) -> None:
        user_id = next(users)
        async with workers(lasting_redis, clock, 2) as (one, other):
            for _ in range(5):
                assert await admitted(one, user_id)
            for step in (57, 2.5, 0.5 - 1 / 1024):
                clock.now_s += step
                assert not await admitted(other, user_id)
            clock.now_s += 1 / 1024
            assert await admitted(other, user_id)

    async def test_admit_the_limit_out_of_two_hundred_at_once(
        self, lasting_redis: RedisServer, users: Iterator[int], clock: Clock
    ) -> None:
        async with workers(lasting_redis, clock, 4) as four:
            for user_id in (next(users) for _ in range(5)):
                admissions = await asyncio.gather(*(four[number % 4].admit(user_id) for number in range(200)))
                assert sum(one.lease is not None for one in admissions) == 5

    async def test_an_obedient_client_is_never_refused_whoever_answers(
        self, lasting_redis: RedisServer, users: Iterator[int], clock: Clock
    ) -> None:
        choose, user_id = random.Random(4417), next(users)
        async with workers(lasting_redis, clock, 3) as three:
            for _ in range(2_000):
                admission = await choose.choice(three).admit(user_id)
                assert admission.lease is not None, clock.now_s
                admission.lease.release()
                clock.now_s += choose.choice((0, 0.001, 0.3, 7.77))
                if admission.window.remaining == 0:
                    clock.now_s += admission.window.reset_s

    async def test_see_each_others_slots_leases_and_returns(
        self, lasting_redis: RedisServer, users: Iterator[int], clock: Clock
    ) -> None:
        user_id = next(users)
        async with workers(lasting_redis, clock, 2, Limits(rate=3, window_s=60, streams=1)) as (one, other):
            lease = await taken(one, user_id)
            assert (await other.look(user_id)).remaining == 2
            assert (await other.admit(user_id)).lease is None
            lease.give_back()
            # In turn behind the return, on the same connection.
            assert (await one.look(user_id)).remaining == 3
            (await taken(other, user_id)).release()

    async def test_by_redis_own_clock_too(self, lasting_redis: RedisServer, users: Iterator[int]) -> None:
        """Without a clock of the test's: windows of a second, asked for by two workers as fast as they can."""
        user_id, times = next(users), list[float]()
        limits = Limits(rate=3, window_s=0.25, streams=100)
        loop = asyncio.get_running_loop()
        one, other = (RedisLimiter(lasting_redis.url, limits, StreamSlots(99), loop.time) for _ in range(2))
        try:
            ends_at_s = loop.time() + 1.5
            while loop.time() < ends_at_s:
                for limiter in (one, other):
                    began_at_s = loop.time()
                    if await admitted(limiter, user_id):
                        times.append((began_at_s + loop.time()) / 2)
        finally:
            await one.aclose()
            await other.aclose()
        assert 12 <= len(times) <= 21
        # What is measured here is when the answer came, a little after Redis counted it.
        assert most_in_a_window(times, 0.2) <= 3


class TestLeases:
    LIMITS = Limits(rate=1000, window_s=60, streams=2)

    async def test_of_a_killed_worker_come_back_by_themselves(
        self, lasting_redis: RedisServer, users: Iterator[int], clock: Clock
    ) -> None:
        user_id = next(users)
        async with workers(lasting_redis, clock, 1, self.LIMITS) as (survivor,):
            async with workers(lasting_redis, clock, 1, self.LIMITS) as (killed,):
                await taken(killed, user_id)
                await taken(killed, user_id)
                # As a kill leaves it: nobody renews, nobody says farewell.
                killed._tending.cancel()
                killed._answers = False
            clock.now_s += LEASE_S - 0.01
            assert not await admitted(survivor, user_id)
            clock.now_s += 0.01
            await taken(survivor, user_id)
            await taken(survivor, user_id)
            assert not await admitted(survivor, user_id)

    async def test_of_a_living_worker_are_renewed(
        self, lasting_redis: RedisServer, users: Iterator[int], clock: Clock
    ) -> None:
        user_id = next(users)
        async with workers(lasting_redis, clock, 2, self.LIMITS) as (one, other):
            held = [await taken(one, user_id) for _ in range(2)]
            for _ in range(10):
                clock.now_s += BEAT_S
                await one._beat()
            assert not await admitted(other, user_id)
            held[0].release()
            await one.look(user_id)
            assert await admitted(other, user_id)

    async def test_that_are_over_are_not_renewed(
        self, lasting_redis: RedisServer, users: Iterator[int], clock: Clock
    ) -> None:
        user_id = next(users)
        async with workers(lasting_redis, clock, 1, Limits(rate=1000, window_s=60, streams=1000)) as (one,):
            held = [await taken(one, user_id) for _ in range(300)]

            async def release() -> None:
                for lease in held:
                    lease.release()
                    await asyncio.sleep(0)

            await asyncio.gather(release(), *(one._beat() for _ in range(20)))
            await one.look(user_id)
            assert leases(lasting_redis, user_id) == 0

    async def test_nothing_is_left_for_ever(self, lasting_redis: RedisServer, users: Iterator[int]) -> None:
        """By the real clock: every key has a time to live, beyond what it holds."""
        user_id, loop = next(users), asyncio.get_running_loop()
        limiter = RedisLimiter(lasting_redis.url, FIVE, StreamSlots(9), loop.time)
        try:
            await taken(limiter, user_id)
            assert 60_000 < lasting_redis.do("PTTL", rate_key(f"chat:{user_id}")) <= 61_000
            assert LEASE_S * 1000 < lasting_redis.do("PTTL", streams_key(f"chat:{user_id}")) <= LEASE_S * 1000 + 1000
            await limiter._beat()
            assert lasting_redis.do("EVAL", _LASTING_KEYS, 0) == []
        finally:
            await limiter.aclose()


class TestRequestsThatLeave:
    async def test_take_nothing_if_they_leave_while_they_are_admitted(
        self, lasting_redis: RedisServer, users: Iterator[int], clock: Clock
    ) -> None:
        user_id, slots = next(users), StreamSlots(100)
        async with Store(lasting_redis.url).open(FIVE, clock, slots=slots) as limiter:
            for turns in range(12):
                asking = [asyncio.ensure_future(limiter.admit(user_id)) for _ in range(3)]
                for _ in range(turns):
                    await asyncio.sleep(0)
                for one in asking:
                    one.cancel()
                for outcome in await asyncio.gather(*asking, return_exceptions=True):
                    if isinstance(outcome, Admission):
                        assert outcome.lease is not None
                        outcome.lease.give_back()
                assert (await limiter.look(user_id)).remaining == 5
                assert slots.active == 0
            assert rate_slots(lasting_redis, user_id) == leases(lasting_redis, user_id) == 0


async def test_a_unix_socket_will_do(redis_server: RedisServer, users: Iterator[int], clock: Clock) -> None:
    user_id = next(users)
    async with workers(redis_server, clock, 1, url=redis_server.unix_url) as (limiter,):
        assert [await admitted(limiter, user_id) for _ in range(6)] == [True] * 5 + [False]
        assert limiter.answers
    assert rate_slots(redis_server, user_id) == 5


async def test_tls_will_do(redis_server: RedisServer, users: Iterator[int], clock: Clock) -> None:
    user_id = next(users)
    async with workers(redis_server, clock, 1, url=redis_server.tls_url) as (limiter,):
        assert [await admitted(limiter, user_id) for _ in range(6)] == [True] * 5 + [False]
        assert limiter.answers
    assert rate_slots(redis_server, user_id) == 5


async def test_a_redis_whose_certificate_is_not_trusted_is_not_spoken_to(
    redis_server: RedisServer, clock: Clock
) -> None:
    with pytest.raises(RedisLost, match="certificate verify failed"):
        async with workers(redis_server, clock, 1, url=redis_server.distrusted_url):
            pass


async def test_a_worker_that_leaves_is_no_longer_counted_after_a_while(
    redis_server: RedisServer, users: Iterator[int], clock: Clock
) -> None:
    async with workers(redis_server, clock, 1) as (lasting,):
        async with workers(redis_server, clock, 3):
            await lasting._beat()
        # As when Redis has lost everything, and this worker is the first to come back.
        await lasting._beat()
        redis_server.kill()
        assert [await admitted(lasting, next(users)) for _ in range(2)] == [True, True]
        user_id = next(users)
        assert [await admitted(lasting, user_id) for _ in range(2)] == [True, False]
        redis_server.start()
        await back(lasting)
        clock.now_s += LEASE_S
        await lasting._beat()
        redis_server.kill()
        user_id = next(users)
        assert [await admitted(lasting, user_id) for _ in range(6)] == [True] * 5 + [False]
