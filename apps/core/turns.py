"""Fair queuing: in what order work of several callers is done. Pure bookkeeping, without a clock, a lock or a thread.

    owner "user 7"        -> part ""     -> waiting, first come first served
    owner "192.0.2.0/24"  -> part "ada"  -> ...
                          -> part "bob"  -> ...

Owners take turns, and so do the parts of one owner.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from operator import itemgetter
from typing import Generic, NamedTuple, TypeVar

__all__ = ["Share", "Turns"]


class Share(NamedTuple):
    """On whose account work is done: a user or a network, and what is told apart within it, if anything."""

    owner: str
    part: str = ""


T = TypeVar("T")


class _Line(Generic[T]):
    """What one share has: how many of its tickets were called and have not finished, and those that wait."""

    __slots__ = ("running", "waiting")

    def __init__(self) -> None:
        self.running = 0
        self.waiting: deque[T] = deque()


class Turns(Generic[T]):
    """Round-robin between owners and between the parts of each.

    At most `most_running` tickets of a share run at once, and `most_running_of_owner` of all shares of an owner. Holds
    a line for each share with a ticket that waits or runs. How many may wait is for its owner to bound.
    """

    def __init__(self, most_running: int, most_running_of_owner: int) -> None:
        self._most_running = most_running
        self._most_running_of_owner = most_running_of_owner
        self._lines: dict[Share, _Line[T]] = {}
        # The shares with a ticket that may be called, in the order of their turns.
        self._ready: OrderedDict[str, OrderedDict[str, None]] = OrderedDict()
        self._waiting_of_owner: Counter[str] = Counter()
        self._running_of_owner: Counter[str] = Counter()
        self.waiting = 0
        """Tickets that wait, of all shares."""

    def waiting_of(self, share: Share) -> int:
        """Return how many tickets of a share wait."""
        line = self._lines.get(share)
        return 0 if line is None else len(line.waiting)

    def waiting_of_owner(self, owner: str) -> int:
        """Return how many tickets of all parts of an owner wait."""
        return self._waiting_of_owner[owner]

    def is_full(self, share: Share) -> bool:
        """Tell whether a share has as many tickets running as it may."""
        line = self._lines.get(share)
        return line is not None and line.running >= self._most_running

    def add(self, share: Share, ticket: T) -> None:
        """Put a ticket at the end of its share's line."""
        line = self._lines.get(share)
        if line is None:
            line = self._lines[share] = _Line()
        line.waiting.append(ticket)
        self.waiting += 1
        self._waiting_of_owner[share.owner] += 1
        self._enlist(share, line)

    def call(self) -> T | None:
        """Take out the ticket that is next and count it as running; None if there is none that may run."""
        for owner, parts in self._ready.items():
            if self._owner_is_full(owner):
                continue
            share = Share(owner, next(iter(parts)))
            line = self._lines[share]
            ticket = line.waiting.popleft()
            line.running += 1
            self._running_of_owner[owner] += 1
            self._counted_out(owner)
            del parts[share.part]
            if parts:
                self._ready.move_to_end(owner)
            else:
                del self._ready[owner]
            self._enlist(share, line)
            return ticket
        return None

    def finish(self, share: Share) -> None:
        """Count a called ticket of a share as done."""
        line = self._lines[share]
        line.running -= 1
        self._running_of_owner[share.owner] -= 1
        if not self._running_of_owner[share.owner]:
            del self._running_of_owner[share.owner]
        self._enlist(share, line)
        self._forget_if_empty(share, line)

    def withdraw(self, share: Share, ticket: T) -> bool:
        """Take out a ticket that waits; False if it was called already."""
        line = self._lines.get(share)
        if line is None or ticket not in line.waiting:
            return False
        line.waiting.remove(ticket)
        self._counted_out(share.owner)
        if not line.waiting:
            parts = self._ready.get(share.owner)
            if parts is not None:
                parts.pop(share.part, None)
                if not parts:
                    del self._ready[share.owner]
        self._forget_if_empty(share, line)
        return True

    def take_back(self, *, more_than: int) -> T | None:
        """Take out the newest ticket of the longest line of whoever has most that wait, if they have more than that."""
        owner, waiting = max(self._waiting_of_owner.items(), key=itemgetter(1), default=("", 0))
        return None if waiting <= more_than else self.take_back_of(owner, more_than=0)

    def take_back_of(self, owner: str, *, more_than: int) -> T | None:
        """Take out the newest ticket of the longest of an owner's lines, if that has more than so many."""
        theirs = ((share, line) for share, line in self._lines.items() if share.owner == owner)
        share, line = max(theirs, key=lambda one: len(one[1].waiting))
        if len(line.waiting) <= more_than:
            return None
        ticket = line.waiting[-1]
        self.withdraw(share, ticket)
        return ticket

    def _owner_is_full(self, owner: str) -> bool:
        return self._running_of_owner[owner] >= self._most_running_of_owner

    def _enlist(self, share: Share, line: _Line[T]) -> None:
        if line.waiting and line.running < self._most_running:
            self._ready.setdefault(share.owner, OrderedDict()).setdefault(share.part)

    def _counted_out(self, owner: str) -> None:
        self.waiting -= 1
        self._waiting_of_owner[owner] -= 1
        if not self._waiting_of_owner[owner]:
            del self._waiting_of_owner[owner]

    def _forget_if_empty(self, share: Share, line: _Line[T]) -> None:
        if not line.waiting and not line.running:
            del self._lines[share]
