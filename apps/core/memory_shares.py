"""Memory that callers share: where it is full, the caller who holds most gives up the largest of their pieces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

__all__ = ["HeldMemory", "SharedMemory", "largest_of_who_has_most"]

T = TypeVar("T")


class HeldMemory:
    """What one request or connection holds. Its owner reports the size, and closes it."""

    __slots__ = ("_give_up", "_shared", "caller", "given_up", "size_bytes")

    def __init__(self, shared: SharedMemory, caller: Hashable, give_up: Callable[[], None]) -> None:
        self._shared = shared
        self._give_up = give_up
        self.caller = caller
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
        self._give_up()

    def close(self) -> None:
        """Hold nothing. Safe to call again."""
        self.hold(0)


class SharedMemory:
    """At most `most_bytes` of all together; pieces of at most `small_bytes` are never given up.

    A piece costs O(1), at the bound O(pieces): each of them is at least some KiB there.
    """

    def __init__(self, most_bytes: int, small_bytes: int = 0) -> None:
        self.most_bytes = most_bytes
        self.small_bytes = small_bytes
        self.held_bytes = 0
        self._held: dict[HeldMemory, None] = {}

    def open(self, caller: Hashable, give_up: Callable[[], None]) -> HeldMemory:
        """Return a piece of a caller's, which holds nothing yet. `give_up` is called once at the most."""
        return HeldMemory(self, caller, give_up)

    def resize(self, one: HeldMemory, size_bytes: int) -> None:
        """Count what a piece holds now."""
        more_bytes, one.size_bytes = size_bytes - one.size_bytes, size_bytes
        self.held_bytes += more_bytes
        self._held.pop(one, None)
        if size_bytes:
            # Behind the others: of equals the one that has just grown makes room.
            self._held[one] = None
        while more_bytes > 0 and self.held_bytes > self.most_bytes:
            large = [(one.caller, one.size_bytes, one) for one in self._held if one.size_bytes > self.small_bytes]
            if not large:
                break
            largest_of_who_has_most(large).give_up()


def largest_of_who_has_most(held: Sequence[tuple[Hashable, int, T]]) -> T:
    """Return the piece that makes room, of at least one piece: its caller, its bytes, itself. The last of equals."""
    shares: Counter[Hashable] = Counter()
    for caller, size_bytes, _ in held:
        shares[caller] += size_bytes
    most = max(shares, key=shares.__getitem__)
    *_, largest = sorted((one for one in held if one[0] == most), key=lambda one: one[1])
    return largest[2]
