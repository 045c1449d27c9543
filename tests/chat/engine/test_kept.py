"""What is kept of finished completions: users share the bounds, and the oldest of who has most goes first."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from itertools import count
from typing import Any

import msgspec
import pytest

from apps.chat.engine.kept import KeptCompletions
from tests.chat.engine.configured import mock_generation

MAL, ANN, BOB = 1, 2, 3


@pytest.fixture
def numbers() -> Iterator[int]:
    return count()


@pytest.fixture
def finish(numbers: Iterator[int]) -> Any:
    async def finished(kept: KeptCompletions, user_id: int, *, size: int = 0, at: float = 0.0) -> str:
        one = await mock_generation(None)
        completion_id = f"{user_id}-{next(numbers)}"
        one.order = msgspec.structs.replace(one.order, id=completion_id, user_id=user_id)
        if size:
            one.log.append(b"x" * size)
        one.finished_monotonic = at
        sizes[completion_id] = one.log.size_bytes
        gone.extend(dropped.order.id for dropped in kept.add(one))
        return completion_id

    gone: list[str] = []
    sizes: dict[str, int] = {}
    finished.gone, finished.sizes = gone, sizes  # type: ignore[attr-defined]
    return finished


async def test_a_crowd_of_one_user_pushes_out_its_own(finish):
    kept = KeptCompletions(most=20)
    anns = [await finish(kept, ANN) for _ in range(5)]
    mals = [await finish(kept, MAL) for _ in range(50)]
    assert len(kept) == 20
    assert finish.gone == mals[:35]
    assert all(kept.get(one) is not None for one in (*anns, *mals[35:]))


async def test_a_crowd_of_bytes_does_the_same(finish):
    kept = KeptCompletions(most=1_000, most_bytes=100_000)
    anns = [await finish(kept, ANN, size=1_000) for _ in range(20)]
    mals = [await finish(kept, MAL, size=9_000) for _ in range(30)]
    assert kept.size_bytes <= 100_000
    assert finish.gone == mals[: len(finish.gone)]
    assert all(kept.get(one) is not None for one in anns)


async def test_a_few_long_ones_do_not_go_for_many_short_ones(finish):
    kept = KeptCompletions(most=50, most_bytes=500_000)
    anns = [await finish(kept, ANN, size=50_000) for _ in range(3)]
    bobs = [await finish(kept, BOB) for _ in range(10)]
    for _ in range(200):
        await finish(kept, MAL, size=100)
    assert all(kept.get(one) is not None for one in (*anns, *bobs))


async def test_who_comes_to_a_full_table_gets_a_share(finish):
    kept = KeptCompletions(most=20)
    for _ in range(20):
        await finish(kept, MAL)
    anns = [await finish(kept, ANN) for _ in range(10)]
    assert all(kept.get(one) is not None for one in anns)
    await finish(kept, ANN)
    assert finish.gone[-1] == anns[0]


async def test_they_expire_in_the_order_of_their_ends(finish):
    kept = KeptCompletions(most=6)
    ids = [await finish(kept, user_id, at=float(at)) for at, user_id in enumerate((ANN, MAL, BOB, MAL, ANN, MAL))]
    ids.append(await finish(kept, BOB, at=6.0))
    assert finish.gone == [ids[1]]
    assert [one.order.id for one in kept.expire(3.0)] == [ids[0], ids[2], ids[3]]
    assert len(kept) == 3
    assert [one.order.id for one in kept.expire(9.0)] == ids[4:]
    assert (len(kept), kept.size_bytes) == (0, 0)
    assert kept.expire(9.0) == []


async def test_against_a_plain_search_for_who_has_most(finish):
    chance = random.Random(3)
    kept = KeptCompletions(most=30, most_bytes=30_000)
    held: dict[int, list[tuple[str, int]]] = defaultdict(list)
    for at in range(600):
        user_id, size = chance.choice((MAL, MAL, MAL, ANN, BOB, at)), chance.choice((0, 10, 1_000, 4_000))
        known = len(finish.gone)
        completion_id = await finish(kept, user_id, size=size, at=float(at))
        found = kept.get(completion_id)
        held[user_id].append((completion_id, finish.sizes[completion_id]))
        for gone in finish.gone[known:]:
            weights = {user: sum(one[1] + 1_000 for one in some) for user, some in held.items() if some}
            user = int(gone.partition("-")[0])
            assert weights[user] == max(weights.values())
            assert held[user].pop(0)[0] == gone
        assert (found is None) == (completion_id in finish.gone)
        assert kept.size_bytes == sum(one[1] for some in held.values() for one in some)
        if at % 50 == 49:
            for expired in kept.expire(at - 40.0):
                assert held[expired.order.user_id].pop(0)[0] == expired.order.id
        assert len(kept._heaviest) <= 2 * max(len(kept._shares), 31) + 64
