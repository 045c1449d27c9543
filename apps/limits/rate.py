"""Sliding windows: which slots of each were taken, and when they are free again."""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from typing import Generic, Protocol, TypeVar

from apps.limits.limiter import Subject, Window

__all__ = ["RateWindows"]


class Slot(Protocol):
    """Something that was taken at a time, told from others by what it is."""

    taken_at: float


AnySlot = TypeVar("AnySlot", bound=Slot)


class RateWindows(Generic[AnySlot]):
    """The slots that were taken of each window within its seconds, the oldest first.

    Holds what its owner adds: at most the limit for each key that was active within its window. Windows are forgotten
    when they are empty, looked for one at a time as others are asked for.
    """

    def __init__(self) -> None:
        # Of a plain dict, to find the first behind those that left takes a look at each of their places.
        self._taken: OrderedDict[Subject, deque[AnySlot]] = OrderedDict()

    def live(self, subject: Subject, now: float) -> deque[AnySlot]:
        """Return the slots of a window that still count. What is taken now is for `add`."""
        self._forget_one(now)
        taken = self._taken.get(subject)
        if taken is None:
            return deque()
        window_s = subject.rate.window_s
        while taken and taken[0].taken_at + window_s <= now:
            taken.popleft()
        return taken

    def add(self, subject: Subject, slot: AnySlot) -> None:
        """Add a slot, taken later than all others of its window."""
        taken = self._taken.get(subject)
        if taken is None:
            taken = self._taken[subject] = deque()
        taken.append(slot)

    def remove(self, subject: Subject, slot: AnySlot) -> None:
        """Take a slot out; one that is out already stays out."""
        try:
            self._taken[subject].remove(slot)
        except (KeyError, ValueError):
            pass

    def subjects(self) -> list[Subject]:
        """Return every window with a slot that may still count."""
        return [subject for subject, taken in self._taken.items() if taken]

    def wait_s(self, subject: Subject, now: float, *, limit: int | None = None) -> int:
        """Return the whole seconds until fewer slots count than the limit, or than a lower one."""
        taken = self._taken[subject]
        least = taken[len(taken) - (subject.rate.limit if limit is None else limit)]
        return _whole_s(subject.rate.window_s, now - least.taken_at)

    def reset_s(self, subject: Subject, now: float) -> int:
        """Return the whole seconds until no slot counts."""
        taken = self._taken.get(subject)
        return _whole_s(subject.rate.window_s, now - taken[-1].taken_at) if taken else 0

    def window(self, subject: Subject, now: float) -> Window:
        """Return how a window stands, of which `live` was asked at that moment."""
        rate = subject.rate
        return Window(
            policy=rate.policy,
            limit=rate.limit,
            window_s=rate.window_s,
            remaining=max(0, rate.limit - len(self._taken.get(subject, ()))),
            reset_s=self.reset_s(subject, now),
        )

    def _forget_one(self, now: float) -> None:
        """Look at the window longest in the table: drop it if empty, else send it to the back."""
        if self._taken:
            subject = next(iter(self._taken))
            taken = self._taken[subject]
            if taken and taken[-1].taken_at + subject.rate.window_s > now:
                self._taken.move_to_end(subject)
            else:
                del self._taken[subject]


def _whole_s(window_s: float, age_s: float) -> int:
    # In this order: a time to which a window is added may be rounded up, to more than the window.
    return max(1, math.ceil(window_s - age_s))
