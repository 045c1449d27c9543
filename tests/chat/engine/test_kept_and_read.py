"""What is kept no more and still read: bounded together, whoever reads it, and whose readers are let go of."""

from __future__ import annotations

import asyncio
import gc
import math
import weakref
from collections.abc import Iterator
from itertools import count
from typing import Any

import msgspec
import pytest

from apps.chat.engine.generation import Generation
from apps.chat.engine.kept import KeptCompletions
from apps.chat.engine.reader import QUEUE_BYTES, Reader
from apps.llm.wire.sse import DONE
from tests.chat.engine.configured import mock_generation

MAL, ANN = 1, 2
SIZE = 100_000
NUMBERS = count()


class Peer:
    """One that takes the first piece of an answer, and nothing more before it is asked to."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.takes = asyncio.Event()
        self.bodies: list[bytes] = []
        self.driving = asyncio.ensure_future(reader.drive(self.send))

    async def send(self, message: Any) -> None:
        await self.takes.wait()
        self.bodies.append(message["body"])

    async def was_let_go(self) -> bool:
        """Tell whether its answer was broken off; with whatever that has to be done for it."""
        for _ in range(5):
            await asyncio.sleep(0)
        return self.driving.cancelled() and self.reader.detached


async def finished(user_id: int, readers: int = 1, *, size: int = SIZE) -> tuple[Generation, list[Peer]]:
    """Return a completion that is over, and those who read it and take nothing."""
    one = await mock_generation(None)
    one.order = msgspec.structs.replace(one.order, id=f"{next(NUMBERS)}", user_id=user_id)
    peers = [Peer(one.attach()) for _ in range(readers)]
    await asyncio.sleep(0)
    one.log.append(b"x" * size)
    one.log.close(DONE)
    one.finished_monotonic = 0.0
    return one, peers


def kept_for(logs: int) -> KeptCompletions:
    """Return a table that keeps one completion, and lets go where more than so many are read that it dropped."""
    # Where it is full an eighth is made free.
    return KeptCompletions(most=1, most_read_bytes=logs * (SIZE + QUEUE_BYTES + 1_000) * 8 // 7)


async def dropped(kept: KeptCompletions, user_id: int, readers: int = 1, *, size: int = SIZE) -> list[Peer]:
    """Have a completion dropped for the next of the same user, and return its readers."""
    one, peers = await finished(user_id, readers, size=size)
    kept.add(one)
    gone = kept.expire(0.0)
    assert gone == [one]
    return peers


@pytest.fixture
def without_cycles() -> Iterator[None]:
    """Have nothing collected that is not free by itself."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def test_one_too_many_is_let_go():
    kept = kept_for(3)
    peers = [peer for _ in range(3) for peer in await dropped(kept, MAL)]
    assert not any([await peer.was_let_go() for peer in peers])
    peers += await dropped(kept, MAL)
    assert sum([await peer.was_let_go() for peer in peers]) == 1
    assert kept._read.held_bytes <= kept._read.most_bytes
    for peer in peers:
        peer.takes.set()
    await asyncio.gather(*(peer.driving for peer in peers), return_exceptions=True)
    assert sum(b"".join(peer.bodies).endswith(DONE) for peer in peers) == 3
    assert kept._read.held_bytes == 0


async def test_who_has_most_makes_room_and_not_who_comes():
    kept = kept_for(4)
    mals = [peer for _ in range(4) for peer in await dropped(kept, MAL)]
    # The largest of all, and less than Mal has.
    (ann,) = await dropped(kept, ANN, size=SIZE * 2)
    assert not await ann.was_let_go()
    assert 1 <= sum([await peer.was_let_go() for peer in mals]) < 4
    for peer in (ann, *mals):
        peer.reader.close()


async def test_all_readers_of_one_are_counted_and_let_go_together():
    kept = kept_for(1)
    peers = await dropped(kept, MAL, 2)
    assert [await peer.was_let_go() for peer in peers] == [True, True]
    assert kept._read.held_bytes == 0


async def test_nobody_is_let_go_of_what_is_kept_or_was_read():
    kept = KeptCompletions(most_read_bytes=0)
    one, (peer,) = await finished(MAL)
    kept.add(one)
    assert not await peer.was_let_go()
    peer.takes.set()
    await peer.driving
    kept.expire(0.0)
    assert not peer.reader.detached
    assert kept._read.held_bytes == 0


async def test_one_that_has_not_begun_to_send_ends_when_it_does():
    kept = KeptCompletions(most_read_bytes=0)
    one, _ = await finished(MAL, 0)
    reader = one.attach()
    kept.add(one)
    kept.expire(0.0)
    assert reader.detached
    peer = Peer(reader)
    peer.takes.set()
    assert await peer.was_let_go()
    assert peer.bodies == []


@pytest.mark.parametrize("bound", ["most", "most_bytes"])
async def test_what_makes_room_is_counted_as_what_expires(bound):
    kept = KeptCompletions(**{bound: 1 if bound == "most" else SIZE})
    first, (peer,) = await finished(MAL, size=SIZE // 2)
    kept.add(first)
    assert kept._read.held_bytes == 0
    kept.add((await finished(MAL, 0, size=SIZE - 1_000))[0])
    assert kept._read.held_bytes == first.log.size_bytes + QUEUE_BYTES
    peer.reader.close()
    assert kept._read.held_bytes == 0


@pytest.mark.parametrize("way", ["let go", "cancelled", "gone"])
async def test_one_that_is_cut_short_holds_nothing_any_more(way, without_cycles):
    """Not until somebody looks for cycles: that may be long after, and a log is large."""
    leaves = asyncio.Event()

    async def send(message: Any) -> None:
        await leaves.wait()
        raise OSError

    kept = KeptCompletions(most_read_bytes=0 if way == "let go" else 10 * SIZE)
    one = await mock_generation(None)
    gone = weakref.ref(one)
    driving = asyncio.ensure_future(one.attach().drive(send))
    await one.start()
    kept.add(one)
    del one
    kept.expire(math.inf)
    if way == "cancelled":
        driving.cancel()
    elif way == "gone":
        leaves.set()
    await asyncio.gather(driving, return_exceptions=True)
    del driving
    for _ in range(3):
        await asyncio.sleep(0)
    assert gone() is None
