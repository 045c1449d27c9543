"""The memory of bodies that are arriving, shared: one caller's large bodies never refuse another's."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Hashable

__all__ = ["MOST_HELD_BYTES", "Arriving", "ArrivingBodies"]

MOST_HELD_BYTES = 256 * 1024 * 1024
"""Of bodies that are still arriving, all together."""


class Arriving:
    """One body. Whoever reads it reports its size and closes this."""

    __slots__ = ("_bodies", "_deadline", "caller", "crowded_out", "size_bytes")

    def __init__(self, bodies: ArrivingBodies, caller: Hashable, deadline: asyncio.Timeout) -> None:
        self._bodies = bodies
        self._deadline = deadline
        self.caller = caller
        self.size_bytes = 0
        self.crowded_out = False
        """Whether it had to make room: its deadline is over then."""

    def grow(self, size_bytes: int) -> None:
        """Take so much memory in all. At the bound this or another body is crowded out."""
        self._bodies.resize(self, size_bytes)

    def crowd_out(self) -> None:
        """Give its memory to others: its reader is woken by its deadline."""
        self.crowded_out = True
        self._deadline.reschedule(asyncio.get_running_loop().time())
        self.close()

    def close(self) -> None:
        """Give its memory back. Safe to call again."""
        self._bodies.resize(self, 0)


class ArrivingBodies:
    """At most `most_bytes` of all bodies together; at the bound the caller who holds most gives up the largest."""

    def __init__(self, most_bytes: int = MOST_HELD_BYTES) -> None:
        self.most_bytes = most_bytes
        self.held_bytes = 0
        self._held: set[Arriving] = set()

    def open(self, caller: Hashable, deadline: asyncio.Timeout) -> Arriving:
        """Return a body of a caller, which holds nothing yet; its deadline is one of the running task."""
        return Arriving(self, caller, deadline)

    def resize(self, body: Arriving, size_bytes: int) -> None:
        """Count what a body holds now."""
        if body.crowded_out:
            size_bytes = 0
        self.held_bytes += size_bytes - body.size_bytes
        body.size_bytes = size_bytes
        if size_bytes:
            self._held.add(body)
        else:
            self._held.discard(body)
        # One of few hundreds or thousands is looked for, and it has taken as much as there is room for to come here.
        while self.held_bytes > self.most_bytes:
            self._largest_of_who_has_most().crowd_out()

    def _largest_of_who_has_most(self) -> Arriving:
        shares: Counter[Hashable] = Counter()
        for body in self._held:
            shares[body.caller] += body.size_bytes
        most = max(shares, key=shares.__getitem__)
        return max((body for body in self._held if body.caller == most), key=lambda body: body.size_bytes)
