"""Without Redis, or with one that is not well: a share of the limits, never open and never shut, and a way back."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import Iterator
from typing import cast

import pytest

from apps.limits.limiter import Limits
from apps.limits.redis_limiter import RedisLimiter
from apps.limits.redis_scripts import rate_key
from apps.limits.streams import StreamSlots
from tests.limits.redis_server import PASSWORD, RedisServer
from tests.limits.stores import Clock, Store, admitted, refused_for_s, taken
from tests.limits.test_limiter import most_in_a_window
from tests.limits.workers import CALL_S, FIVE, RECOVERY_S, SLACK_S, back, leases, rate_slots, timed, workers


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
        async with workers(redis_server, clock, 1, call_s=CALL_S) as (limiter,):
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
        async with workers(redis_server, clock, 4, limits, call_s=CALL_S) as (one, *others):
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
        async with workers(redis_server, clock, 2, Limits(rate=9, window_s=60, streams=2), call_s=CALL_S) as (
            one,
            other,
        ):
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

    async def test_what_is_granted_while_it_comes_back_is_written_down_too(
        self, redis_server: RedisServer, users: Iterator[int], clock: Clock
    ) -> None:
        async with workers(redis_server, clock, 1) as (limiter,):
            redis_server.kill()
            for _ in range(3_000):
                await admitted(limiter, next(users))
            redis_server.start()
            late = list[int]()
            while not limiter.answers:
                late.append(next(users))
                await admitted(limiter, late[-1])
                await asyncio.sleep(0.001)
            await limiter.look(late[-1])
            assert redis_server.do("EXISTS", *(rate_key(f"chat:{user_id}") for user_id in late)) == len(late) > 20

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

    @pytest.mark.parametrize(("rate", "streams"), [(5, 100), (100, 5)], ids=["rate", "streams"])
    async def test_many_at_once_after_a_loss_are_held_to_what_the_worker_knows(
        self, redis_server: RedisServer, users: Iterator[int], clock: Clock, rate: int, streams: int
    ) -> None:
        user_id = next(users)
        async with workers(redis_server, clock, 1, Limits(rate=rate, window_s=60, streams=streams)) as (limiter,):
            for _ in range(2):
                await taken(limiter, user_id)
            redis_server.do("FLUSHALL")
            admissions = await asyncio.gather(*(limiter.admit(user_id) for _ in range(20)))
            assert sum(one.lease is not None for one in admissions) == 3

    async def test_data_lost_while_it_answers_is_written_again(
        self, redis_server: RedisServer, users: Iterator[int], clock: Clock
    ) -> None:
        user_id = next(users)
        async with workers(redis_server, clock, 2, Limits(rate=5, window_s=60, streams=3)) as (one, other):
            for _ in range(3):
                await taken(one, user_id)
            redis_server.do("FLUSHALL")
            # Before it is noticed, the worker says at least what it knows itself.
            assert (await one.look(user_id)).remaining == 2
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
            async with Store(f"redis://127.0.0.1:{port}/0").open(FIVE, clock, call_s=CALL_S) as limiter:
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
