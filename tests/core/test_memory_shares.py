"""Who makes room when shared memory is full: the caller who holds most, with the largest piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from apps.core.memory_shares import HeldMemory, SharedMemory

Hold = Callable[[str, int], HeldMemory]


@pytest.fixture
def shared() -> SharedMemory:
    return SharedMemory(most_bytes=100)


@pytest.fixture
def given_up() -> list[tuple[str, int]]:
    return []


@pytest.fixture
def hold(shared: SharedMemory, given_up: list[tuple[str, int]]) -> Iterator[Hold]:
    """Return a function that makes a piece of a caller's, of a size."""
    pieces: list[HeldMemory] = []

    def take(caller: str, size_bytes: int) -> HeldMemory:
        pieces.append(shared.open(caller, lambda: given_up.append((caller, size_bytes))))
        pieces[-1].hold(size_bytes)
        return pieces[-1]

    yield take
    assert shared.held_bytes == sum(piece.size_bytes for piece in pieces)
    for piece in pieces:
        piece.close()
        piece.close()
    assert shared.held_bytes == 0


def test_who_fills_it_makes_room_for_others(shared, hold, given_up):
    for size_bytes in (30, 40, 25):
        hold("mal", size_bytes)
    hold("ann", 20)
    assert given_up == [("mal", 40)]
    assert shared.held_bytes == 75
    hold("mal", 26)
    assert given_up == [("mal", 40), ("mal", 30)]
    assert shared.held_bytes == 71


def test_a_small_piece_passes_among_large_ones_of_the_same_caller(hold, given_up):
    """Behind a proxy that says nothing of its clients, all of them are one."""
    for size_bytes in (30, 30, 35):
        hold("all", size_bytes)
    assert not hold("all", 10).given_up
    assert given_up == [("all", 35)]


def test_several_make_room_for_one(shared, hold, given_up):
    for size_bytes in (10, 11, 12, 13, 14, 15, 16):
        hold("mal", size_bytes)
    hold("ann", 45)
    # And an eighth of it is free then.
    assert given_up == [("mal", 16), ("mal", 15), ("mal", 14), ("mal", 13)]
    assert shared.held_bytes == 78


def test_what_grows_may_be_what_is_given_up(hold, given_up):
    hold("ann", 40)
    piece = hold("mal", 70)
    assert given_up == [("mal", 70)]
    piece.hold(80)
    assert (piece.size_bytes, len(given_up)) == (0, 1)


def test_many_small_pieces_are_a_large_share(hold, given_up):
    for _ in range(30):
        hold("mal", 3)
    assert not hold("ann", 40).given_up
    assert given_up == [("mal", 3)] * 14


def test_callers_take_turns_to_make_room(hold, given_up):
    for caller in ("mal", "bob"):
        for _ in range(5):
            hold(caller, 9)
    hold("ann", 11)
    assert sorted(given_up) == [("bob", 9), ("mal", 9)]
