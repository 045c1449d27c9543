"""Books in Redis: one for all workers, whatever becomes of Redis, of a worker, or of a request that left."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import cast

import pytest

from apps.chat.limits.limiter import Admission, Limits
from apps.chat.limits.redis_books import LEASE_S
from apps.chat.limits.redis_limiter import BEAT_S, RedisLimiter
from apps.chat.limits.redis_scripts import rate_key, streams_key
from apps.chat.limits.streams import StreamSlots
from tests.chat.limits.redis_server import PASSWORD, RedisServer
from tests.chat.limits.stores import Clock, Store, admitted, refused_for_s, taken
from tests.chat.limits.test_limiter import most_in_a_window

FIVE = Limits(rate=5, window_s=60, streams=100)
CALL_S = 0.25
# What the machine may add to a call that was cut.
SLACK_S = 0.15
RECOVERY_S = 5.0


@asynccontextmanager
async def workers(
    server: RedisServer, clock: Clock, count: int, limits: Limits = FIVE, *, url: str | None = None
) -> AsyncIterator[list[RedisLimiter]]:
    """Open limiters as so many workers have them, each known to all."""
    async with AsyncExitStack() as stack:
        opened = [
            cast(RedisLimiter, await stack.enter_async_context(Store(url or server.url).open(limits, clock)))
            for _ in range(count)
        ]
        for _ in range(2):
            for one in opened:
                await one._beat()
        yield opened


async def until(is_so: Callable[[], bool], within_s: float, what: str) -> float:
    """Wait until something is so, and return the seconds that it took."""
    began_at_s = time.monotonic()
    while not is_so():
        assert time.monotonic() - began_at_s < within_s, f"not within {within_s} s: {what}"
        await asyncio.sleep(0.005)
    return time.monotonic() - began_at_s


async def back(*limiters: RedisLimiter) -> float:
    """Wait until all ask Redis again, and return the seconds that it took."""
    return await until(lambda: all(one.answers for one in limiters), RECOVERY_S, "recovery")


async def timed(step: Awaitable[Admission]) -> tuple[Admission, float]:
    began_at_s = time.monotonic()
    return await step, time.monotonic() - began_at_s


def rate_slots(server: RedisServer, user_id: int) -> int:
    return int(server.do("ZCARD", rate_key(user_id)))


def leases(server: RedisServer, user_id: int) -> int:
    return int(server.do("ZCARD", streams_key(user_id)))


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
            assert 60_000 < lasting_redis.do("PTTL", rate_key(user_id)) <= 61_000
            assert LEASE_S * 1000 < lasting_redis.do("PTTL", streams_key(user_id)) <= LEASE_S * 1000 + 1000
            await limiter._beat()
            keys = lasting_redis.do("KEYS", "*")
            assert all(lasting_redis.do("PTTL", key) != -1 for key in keys)
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


class TestRedisAway:
    async def test_from_the_start(self, users: Iterator[int], clock: Clock, redis_server: RedisServer) -> None:
        redis_server.kill()
        user_id = next(users)
        async with Store(redis_server.url).open(FIVE, clock, workers=2) as limiter:
            admission, took_s = await timed(limiter.admit(user_id))
            assert took_s < CALL_S + SLACK_S
            assert admission.lease is not None
            assert admission.window.headers["RateLimit"] == '"chat";r=1;t=60'
            assert await admitted(limiter, user_id)
            assert await refused_for_s(limiter, user_id) == 60
            assert (await limiter.look(user_id)).remaining == 0
            redis_server.start()
            assert await back(cast(RedisLimiter, limiter)) < RECOVERY_S
            assert (await limiter.look(user_id)).remaining == 3
            assert rate_slots(redis_server, user_id) == 2

    async def test_hangs_for_a_quarter_of_a_second_once(
        self, redis_server: RedisServer, users: Iterator[int], clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        users_asking = [next(users) for _ in range(20)]
        async with workers(redis_server, clock, 1) as (limiter,):
            redis_server.pause()
            both = await asyncio.gather(*(timed(limiter.admit(user_id)) for user_id in users_asking))
            for admission, took_s in both:
                assert admission.lease is not None
                assert CALL_S - 0.05 < took_s < CALL_S + SLACK_S
            for user_id in users_asking:
                _, took_s = await timed(limiter.admit(user_id))
                assert took_s < 0.05
                await limiter.look(user_id)
            redis_server.resume()
            assert await back(limiter) < RECOVERY_S
            assert [(await limiter.look(user_id)).remaining for user_id in users_asking] == [3] * 20
        said = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
        assert [line.split("(")[0].split(":")[0].strip() for line in said] == ["Redis is away", "Redis is back"]
        assert PASSWORD not in caplog.text

    async def test_what_was_sent_to_it_and_refused_meanwhile_leaves_no_trace(
        self, redis_server: RedisServer, users: Iterator[int], clock: Clock
    ) -> None:
        """It does what it was asked for while it hung, when it goes on."""
        user_id = next(users)
        limits = Limits(rate=4, window_s=60, streams=100)
        async with workers(redis_server, clock, 4, limits) as (one, *others):
            await admitted(one, user_id)
            redis_server.pause()
            # The share is 1, and it is used up.
            admission, _ = await timed(one.admit(user_id))
            assert admission.lease is None
            redis_server.resume()
            await back(one, *others)
            await one.look(user_id)
            assert rate_slots(redis_server, user_id) == 1
            assert leases(redis_server, user_id) == 0

    async def test_a_completion_that_ends_meanwhile_gives_back_what_it_held(
        self, redis_server: RedisServer, users: Iterator[int], clock: Clock
    ) -> None:
        user_id = next(users)
        async with workers(redis_server, clock, 2, Limits(rate=9, window_s=60, streams=2)) as (one, other):
            ended, failed = await taken(one, user_id), await taken(one, user_id)
            redis_server.pause()
            await one.look(user_id)
            ended.release()
            failed.give_back()
            redis_server.resume()
            await back(one, other)
            assert (await one.look(user_id)).remaining == 8
            await taken(other, user_id)
            await taken(other, user_id)

    async def test_each_worker_grants_its_share_and_never_none(
        self, redis_server: RedisServer, users: Iterator[int], clock: Clock
    ) -> None:
        fresh = [next(users) for _ in range(3)]
        for count, share in ((1, 5), (2, 2), (4, 1)):
            user_id = fresh.pop()
            async with workers(redis_server, clock, count) as some:
                redis_server.kill()
                for one in some:
                    granted = [await admitted(one, user_id) for _ in range(8)]
                    assert granted == [True] * share + [False] * (8 - share)
                redis_server.start()
                await back(*some)
                await asyncio.gather(*(one._beat() for one in some))
                assert rate_slots(redis_server, user_id) == share * count

    async def test_the_share_is_never_none(self, redis_server: RedisServer, users: Iterator[int], clock: Clock) -> None:
        user_id = next(users)
        async with workers(redis_server, clock, 3, Limits(rate=2, window_s=60, streams=2)) as three:
            redis_server.kill()
            for one in three:
                lease = await taken(one, user_id)
                assert (await one.admit(user_id)).lease is None
                lease.give_back()
                await taken(one, user_id)

    async def test_no_window_of_one_worker_holds_more_through_kills_and_losses(
        self, redis_server: RedisServer, users: Iterator[int], clock: Clock
    ) -> None:
        choose = random.Random(4417)
        crowd, times = [next(users) for _ in range(2)], defaultdict[int, list[float]](list)
        async with workers(redis_server, clock, 1) as (limiter,):
            for step in range(900):
                match step % 90:
                    case 20:
                        redis_server.kill()
                    case 45:
                        redis_server.start()
                    case 46:
                        await back(limiter)
                    case 70:
                        redis_server.do("FLUSHALL")
                    case 80:
                        redis_server.do("SCRIPT", "FLUSH")
                clock.now_s += choose.expovariate(1)
                user_id = choose.choice(crowd)
                in_window = [one for one in times[user_id] if one + 60 > clock.now_s]
                # Alone, it has the whole limit for its share, and forgets nothing: never open, never shut.
                granted = await admitted(limiter, user_id)
                assert granted == (len(in_window) < 5), step
                if granted:
                    times[user_id].append(clock.now_s)
        assert [most_in_a_window(one, 60) for one in times.values()] == [5, 5]

    async def test_many_at_once_after_a_loss_are_held_to_what_the_worker_knows(
        self, redis_server: RedisServer, users: Iterator[int], clock: Clock
    ) -> None:
        user_id = next(users)
        async with workers(redis_server, clock, 1, Limits(rate=5, window_s=60, streams=4)) as (limiter,):
            for _ in range(2):
                await taken(limiter, user_id)
            redis_server.do("FLUSHALL")
            admissions = await asyncio.gather(*(limiter.admit(user_id) for _ in range(20)))
            assert sum(one.lease is not None for one in admissions) == 2

    async def test_data_lost_while_it_answers_is_written_again(
        self, redis_server: RedisServer, users: Iterator[int], clock: Clock
    ) -> None:
        user_id = next(users)
        async with workers(redis_server, clock, 2, Limits(rate=5, window_s=60, streams=3)) as (one, other):
            for _ in range(3):
                await taken(one, user_id)
            redis_server.do("FLUSHALL")
            await one._beat()
            assert (await other.look(user_id)).remaining == 2
            admission = await other.admit(user_id)
            assert admission.refusal is not None
            assert admission.refusal.code.value == "too_many_streams"

    async def test_scripts_lost_are_loaded_again(
        self, redis_server: RedisServer, users: Iterator[int], clock: Clock
    ) -> None:
        async with workers(redis_server, clock, 1) as (limiter,):
            for _ in range(3):
                user_id = next(users)
                redis_server.do("SCRIPT", "FLUSH")
                admissions = await asyncio.gather(*(limiter.admit(user_id) for _ in range(20)))
                assert sum(one.lease is not None for one in admissions) == 5
                assert limiter.answers

    @pytest.mark.parametrize(
        ("unwell", "well"),
        [
            (("REPLICAOF", "127.0.0.1", 1), ("REPLICAOF", "NO", "ONE")),
            (("CONFIG", "SET", "min-replicas-to-write", 1), ("CONFIG", "SET", "min-replicas-to-write", 0)),
        ],
        ids=["READONLY", "NOREPLICAS"],
    )
    async def test_a_redis_that_will_not_write_is_away(
        self,
        redis_server: RedisServer,
        users: Iterator[int],
        clock: Clock,
        unwell: tuple[str | int, ...],
        well: tuple[str | int, ...],
    ) -> None:
        user_id = next(users)
        async with workers(redis_server, clock, 1) as (limiter,):
            redis_server.do(*unwell)
            granted = [await admitted(limiter, user_id) for _ in range(7)]
            assert granted == [True] * 5 + [False] * 2
            assert not limiter.answers
            redis_server.do(*well)
            assert await back(limiter) < RECOVERY_S
            assert (await limiter.look(user_id)).remaining == 0
            assert rate_slots(redis_server, user_id) == 5

    async def test_a_redis_out_of_memory_counts_on(
        self, redis_server: RedisServer, users: Iterator[int], clock: Clock
    ) -> None:
        user_id = next(users)
        async with workers(redis_server, clock, 2) as (one, other):
            redis_server.do("CONFIG", "SET", "maxmemory", 1)
            await taken(one, user_id)
            await one._beat()
            assert [await admitted(other, user_id) for _ in range(5)] == [True] * 4 + [False]
            assert one.answers
            assert other.answers

    @pytest.mark.parametrize(
        "answer",
        [
            b"-LOADING Redis is loading the dataset in memory\r\n",
            b"-WRONGPASS invalid username-password pair or user is disabled.\r\n",
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            b"+OK\r\n",
            b"*4\r\n:9\r\n:1\r\n:1\r\n:1\r\n",
            b"*2\r\n+OK\r\n+OK\r\n",
            b"$-1\r\n",
            b"",
        ],
        ids=["loading", "wrong password", "http", "ok", "unknown verdict", "words", "nothing", "silence"],
    )
    async def test_whatever_answers_in_its_place_decides_nothing(
        self, users: Iterator[int], clock: Clock, answer: bytes
    ) -> None:
        connections = list[asyncio.StreamWriter]()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connections.append(writer)
            while words := await reader.read(65536):
                # One answer for each command of a batch.
                writer.write(answer * words.count(b"*"))

        user_id = next(users)
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            async with Store(f"redis://127.0.0.1:{port}/0").open(FIVE, clock) as limiter:
                admission, took_s = await timed(limiter.admit(user_id))
                assert took_s < CALL_S + SLACK_S
                assert admission.lease is not None
                assert [await admitted(limiter, user_id) for _ in range(5)] == [True] * 4 + [False]
        finally:
            server.close()
            for connection in connections:
                connection.close()
                await connection.wait_closed()
            await server.wait_closed()

    async def test_a_clock_of_redis_set_back_shuts_nobody_out(
        self, lasting_redis: RedisServer, users: Iterator[int]
    ) -> None:
        user_id, ours, theirs = next(users), Clock(), Clock()
        limiter = RedisLimiter(lasting_redis.url, FIVE, StreamSlots(99), ours, clock_us=theirs.microseconds)
        try:
            for _ in range(5):
                await admitted(limiter, user_id)
            theirs.now_s -= 600
            ours.now_s += 60
            theirs.now_s += 60
            assert await refused_for_s(limiter, user_id) == 60
            ours.now_s += 60
            theirs.now_s += 60
            assert await admitted(limiter, user_id)
        finally:
            await limiter.aclose()


async def test_a_unix_socket_will_do(redis_server: RedisServer, users: Iterator[int], clock: Clock) -> None:
    user_id = next(users)
    async with workers(redis_server, clock, 1, url=redis_server.unix_url) as (limiter,):
        assert [await admitted(limiter, user_id) for _ in range(6)] == [True] * 5 + [False]
        assert limiter.answers
    assert rate_slots(redis_server, user_id) == 5


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
