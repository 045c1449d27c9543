"""How much of a body in chunks is parsed at once."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from promptcraft.server.chunks import ChunkTurns, some_chunks


def written(sizes: list[int]) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (size, b"a" * size) for size in sizes)


@given(st.lists(st.integers(1, 3_000), max_size=300), st.integers(0, 100))
def test_no_more_than_so_many_end_in_it(sizes: list[int], start: int) -> None:
    data = written(sizes)
    start = min(start, len(data))
    end, chunks = some_chunks(data, start, len(data), most=16)
    assert start <= end <= len(data)
    assert data.count(b"\r\n", start, end) <= 2 * 16
    assert chunks <= 16
    assert end == len(data) or end - start >= min(16, len(data) - start)


def test_large_chunks_are_taken_whole() -> None:
    data = written([4_000] * 4)
    assert some_chunks(data, 0, len(data), most=16) == (len(data), 4)


async def test_connections_of_a_network_take_turns_and_others_do_not_wait() -> None:
    turns, begun = ChunkTurns(), asyncio.Event()
    order: list[str] = []

    def again(name: str, times: int) -> None:
        def go_on() -> None:
            order.append(name)
            if times > 1:
                again(name, times - 1)
            if len(order) == 7:
                begun.set()

        turns.wait(name[0], go_on)

    for name in ("a1", "a2", "a3"):
        again(name, 2)
    again("b", 1)
    await asyncio.wait_for(begun.wait(), 60)
    assert [name for name in order if name != "b"] == ["a1", "a2", "a3"] * 2
    assert order.index("b") <= 1
