"""The queue of work: threads that are the test's own, so that nothing here takes time."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import pytest

from apps.core.loop_turns import LOOP_TURNS
from apps.core.work_queue import Share, WorkQueue
from apps.llm.errors import Code, RateLimited, ServiceUnavailable
from tests.waiting import HANG_S

ANN, BOB = Share("ann"), Share("bob")


class Threads(Executor):
    """Does what it is given when the test says so."""

    def __init__(self) -> None:
        self.given: deque[Callable[[], object]] = deque()

    def submit(self, function, /, *args, **kwargs):
        self.given.append(lambda: function(*args, **kwargs))
        return Future()

    def work(self) -> None:
        """Let one thread do all that there is for it."""
        self.given.popleft()()


@pytest.fixture
def threads() -> Threads:
    return Threads()


def queue_of(executor: Executor, **bounds: float) -> WorkQueue:
    sizes = {"threads": 2, "most_running": 1, "most_waiting_of_share": 3, "most_waiting": 8} | bounds
    return WorkQueue("test", executor=executor, **sizes)  # type: ignore[arg-type]


def fail() -> None:
    raise KeyError("x")


async def begun(*works: Any) -> list[asyncio.Task[Any]]:
    """Begin to wait for some work, and return the tasks."""
    tasks = [asyncio.ensure_future(work) for work in works]
    await asyncio.sleep(0)
    return tasks


async def test_returns_and_raises_what_the_work_does(threads):
    queue = queue_of(threads)
    good, bad = await begun(queue.run(ANN, lambda: 7), queue.run(BOB, fail))
    threads.work()
    threads.work()
    assert await good == 7
    with pytest.raises(KeyError):
        await bad


async def test_sees_the_callers_context(threads):
    variable = contextvars.ContextVar("variable", default="")
    variable.set("here")
    (work,) = await begun(queue_of(threads).run(ANN, variable.get))
    threads.work()
    assert await work == "here"


async def test_one_callers_crowd_leaves_the_other_a_thread(threads):
    queue, done = queue_of(threads), []

    def first() -> None:
        # The other thread works meanwhile.
        threads.work()
        done.append("ann")

    crowd = await begun(queue.run(ANN, first), *(queue.run(ANN, lambda: done.append("ann")) for _ in range(3)))
    assert len(threads.given) == 1, "ann has one of the two, whatever she asks for"
    (other,) = await begun(queue.run(BOB, lambda: done.append("bob")))
    threads.work()
    assert done == ["bob", *["ann"] * 4]
    await asyncio.gather(other, *crowd)


async def test_a_full_share_is_refused_at_once_and_no_other(threads):
    queue = queue_of(threads)
    waiting = await begun(*(queue.run(ANN, int) for _ in range(4)))
    with pytest.raises(RateLimited) as refused:
        await queue.run(ANN, int)
    assert (refused.value.code, refused.value.retry_after_s) == (Code.RATE_LIMITED, 2)
    other = await begun(queue.run(BOB, int))
    while threads.given:
        threads.work()
    assert await asyncio.gather(*waiting, *other) == [0] * 5


async def test_a_full_queue_is_refused_with_503(threads):
    queue = queue_of(threads, most_waiting=4, most_waiting_of_share=1)
    waiting = await begun(*(queue.run(Share(str(number)), int) for number in range(6)))
    with pytest.raises(ServiceUnavailable) as refused:
        await queue.run(BOB, int)
    assert (refused.value.code, refused.value.retry_after_s) == (Code.OVERLOADED, 2)
    while threads.given:
        threads.work()
    assert await asyncio.gather(*waiting) == [0] * 6


async def test_one_owner_never_has_more_than_half_of_the_places(threads):
    queue = queue_of(threads, most_waiting=4)
    waiting = await begun(*(queue.run(Share("net", str(number)), int) for number in range(4)))
    with pytest.raises(ServiceUnavailable):
        await queue.run(Share("net", "another"), int)
    waiting += await begun(*(queue.run(Share(name), int) for name in ("ann", "bob")))
    while threads.given:
        threads.work()
    assert await asyncio.gather(*waiting) == [0] * 6


async def test_whoever_has_most_places_gives_up_the_newest_for_one_with_fewer(threads):
    queue = WorkQueue("test", executor=threads, threads=1, most_running=1, most_waiting_of_share=3, most_waiting=6)
    shares = [Share("cid"), *[ANN] * 3, *[BOB] * 3]
    running, *waiting = await begun(*(queue.run(share, str) for share in shares))
    dora = await begun(*(queue.run(Share("dora"), str) for _ in range(2)))
    await asyncio.wait([waiting[2], waiting[5]], timeout=HANG_S)
    # The last of ann's and the last of bob's: now all three have two, and one more would be no fairer.
    assert [one.done() for one in waiting] == [False, False, True, False, False, True]
    (third,) = await begun(queue.run(Share("dora"), str))
    for one in (waiting[2], waiting[5], third):
        with pytest.raises(ServiceUnavailable) as refused:
            await one
        assert (refused.value.code, refused.value.retry_after_s) == (Code.OVERLOADED, 2)
    threads.work()
    assert await asyncio.gather(running, *waiting[:2], *waiting[3:5], *dora) == [""] * 7


async def test_where_an_owner_has_all_of_theirs_the_longest_part_gives_one_up(threads):
    queue = queue_of(threads, most_waiting=8, most_waiting_of_share=4)
    old, new = Share("net", "old"), Share("net", "new")
    running, *waiting = await begun(*(queue.run(old, str) for _ in range(5)))
    running_new, *waiting_new = await begun(*(queue.run(new, str) for _ in range(4)))
    await asyncio.wait([waiting[2], waiting[3]], timeout=HANG_S)
    assert [one.done() for one in (*waiting, *waiting_new)] == [False, False, True, True, False, False, True]
    for one in (*waiting[2:], waiting_new[2]):
        with pytest.raises(ServiceUnavailable) as refused:
            await one
        assert (refused.value.code, refused.value.retry_after_s) == (Code.OVERLOADED, 2)
    (bob,) = await begun(queue.run(BOB, str))
    while threads.given:
        threads.work()
    assert await asyncio.gather(running, running_new, bob, *waiting[:2], *waiting_new[:2]) == [""] * 7


async def test_work_that_waits_too_long_is_refused(threads):
    """Its own share's fault is a 429, everybody's a 503; what has begun is waited for."""
    queue = queue_of(threads, wait_s=0.01)
    first, own, other = await begun(queue.run(ANN, int), queue.run(ANN, int), queue.run(BOB, int))
    (third,) = await begun(queue.run(Share("eve"), int))
    with pytest.raises(RateLimited):
        await own
    with pytest.raises(ServiceUnavailable):
        await third
    threads.work()
    threads.work()
    assert [await first, await other] == [0, 0]
    assert not threads.given
    assert not queue._turns._lines


async def test_a_caller_who_leaves_takes_their_work_back(threads):
    queue, done = queue_of(threads), []
    first, second = await begun(queue.run(ANN, lambda: done.append(1)), queue.run(ANN, lambda: done.append(2)))
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    assert queue._turns.waiting == 0
    (third,) = await begun(queue.run(ANN, lambda: done.append(3)))
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    threads.work()
    await third
    assert done == [3], "what was given to a thread and not begun is not begun"


async def test_an_error_leaves_no_garbage(threads):
    queue = queue_of(threads)

    async def ask():
        try:
            await queue.run(ANN, fail)
        except KeyError:
            return "failed"

    (task,) = await begun(ask())
    gc.collect()
    gc.disable()
    try:
        threads.work()
        assert await task == "failed"
        del task
        assert gc.collect() == 0
    finally:
        gc.enable()


async def test_real_threads_do_it_side_by_side_and_off_the_loop():
    together = threading.Barrier(2)

    def meet():
        together.wait(10)
        return threading.current_thread()

    with ThreadPoolExecutor(2) as pool:
        queue = queue_of(pool)
        seen = await asyncio.gather(queue.run(ANN, meet), queue.run(BOB, meet))
    assert len({*seen, threading.current_thread()}) == 3


async def rests_of(threads: Threads, *askers: str, count: int = 2, of_bob: int = 0, is_to: bool = True) -> list[float]:
    """Return what one of `count` threads rests, in seconds, between three pieces of Ann's work.

    So many pieces of Bob's, one after the other, are worked on meanwhile.
    """
    for asker in askers:
        await LOOP_TURNS.wait(asker)
    rests: list[float] = []
    queue = queue_of(threads, threads=count, rests=is_to, sleep=rests.append)  # type: ignore[arg-type]
    works = [queue.run(ANN, lambda: sum(range(1_000))) for _ in range(3)]
    tasks = await begun(*works, *(queue.run(BOB, int) for _ in range(of_bob)))
    while threads.given:
        threads.work()
    await asyncio.gather(*tasks)
    return rests


async def test_a_crowd_leaves_the_interpreter_to_others_for_as_long_as_it_had_it(threads):
    rests = await rests_of(threads, "ann", "bob")
    # Not behind the last: nothing of hers waits.
    assert len(rests) == 2
    assert all(0 < rest_s <= 0.5 for rest_s in rests)


async def test_a_queue_of_short_work_never_rests(threads):
    assert await rests_of(threads, "ann", "bob", is_to=False) == []


async def test_whoever_is_alone_rests_nowhere(threads):
    assert await rests_of(threads, "ann", "ann") == []


async def test_no_thread_rests_that_somebody_could_want(threads):
    # The other thread has work: it is not begun before the first has done Ann's.
    assert await rests_of(threads, "ann", "bob", of_bob=1) == []


@pytest.mark.parametrize(("of_bob", "rest_s"), [(0, 0.125), (1, 0.25)])
async def test_two_who_compute_leave_as_much_as_one(threads, monkeypatch, of_bob, rest_s):
    # Each piece of work takes an eighth of a second.
    monkeypatch.setattr(time, "thread_time", map((0.125).__mul__, itertools.count()).__next__)
    assert await rests_of(threads, "ann", "bob", count=3, of_bob=of_bob) == [rest_s] * 2
