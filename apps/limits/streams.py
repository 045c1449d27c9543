"""The stream slots of the process: how many completions it runs at once, whoever asked for them."""

from __future__ import annotations

from apps.llm.errors import Code, ServiceUnavailable

__all__ = ["StreamSlots"]


class StreamSlots:
    """`capacity` slots, `active` of them taken. Each limiter takes one for each lease."""

    __slots__ = ("active", "capacity")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.active = 0

    def take(self) -> None:
        """Take a slot. Raises ServiceUnavailable if there is none."""
        if self.active >= self.capacity:
            raise ServiceUnavailable("All streams are taken. Try again shortly.", code=Code.OVERLOADED)
        self.active += 1

    def give_back(self) -> None:
        """Give one back. Its taker does, once."""
        self.active -= 1
