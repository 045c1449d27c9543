"""Memory that callers share: where it is full, the caller who holds most gives up the largest of their pieces."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable

__all__ = ["HeldMemory", "SharedMemory"]


class HeldMemory:
    """What one request or connection holds. Its owner reports the size, and closes it."""

    __slots__ = ("_shared", "caller", "given_up", "on_given_up", "size_bytes")

    def __init__(self, shared: SharedMemory, caller: Hashable, on_given_up: Callable[[], None]) -> None:
        self._shared = shared
        self.caller = caller
        self.on_given_up = on_given_up
        """Called once at the most. Who takes over what is held puts another one in its place."""
        self.size_bytes = 0
        self.given_up = False

    def hold(self, size_bytes: int) -> None:
        """Hold so much in all from now on. At the bound this or another one is given up."""
        if not self.given_up:
            self._shared.resize(self, size_bytes)

    def give_up(self) -> None:
        """Make room for others: the owner is told, and holds nothing any more."""
        self.close()
        self.given_up = True
        self.on_given_up()

    def close(self) -> None:
        """Hold nothing. Safe to call again."""
        self.hold(0)


class SharedMemory:
    """At most `most_bytes` of all together. A piece costs O(1).

    At the bound an eighth of it is made free at once: looking at all pieces takes O(n log n).
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.held_bytes = 0
        self._held: dict[HeldMemory, None] = {}

    def open(self, caller: Hashable, on_given_up: Callable[[], None]) -> HeldMemory:
        """Return a piece of a caller's, which holds nothing yet. `on_given_up` is called once at the most."""
        return HeldMemory(self, caller, on_given_up)

    def resize(self, one: HeldMemory, size_bytes: int) -> None:
        """Count what a piece holds now."""
        more_bytes, one.size_bytes = size_bytes - one.size_bytes, size_bytes
        self.held_bytes += more_bytes
        self._held.pop(one, None)
        if size_bytes:
            # Behind the others: of equals the one that has just grown makes room.
            self._held[one] = None
        if more_bytes > 0 and self.held_bytes > self.most_bytes:
            self._make_room()

    def _make_room(self) -> None:
        pieces: dict[Hashable, list[HeldMemory]] = {}
        for one in sorted(self._held, key=_size):
            pieces.setdefault(one.caller, []).append(one)
        shares = [(-sum(map(_size, theirs)), number, theirs) for number, theirs in enumerate(pieces.values())]
        heapq.heapify(shares)
        while self.held_bytes > self.most_bytes - self.most_bytes // 8:
            share_bytes, number, theirs = shares[0]
            largest = theirs.pop()
            heapq.heapreplace(shares, (share_bytes + largest.size_bytes, number, theirs))
            largest.give_up()


def _size(one: HeldMemory) -> int:
    return one.size_bytes
