"""How often something may happen on a WebSocket."""

from __future__ import annotations

__all__ = ["Frequency"]


class Frequency:
    """Counts what happens, second by second: at most `most_per_s` of it have room."""

    __slots__ = ("_began_s", "_count", "_most_per_s")

    def __init__(self, most_per_s: int) -> None:
        self._most_per_s = most_per_s
        self._began_s = 0.0
        self._count = 0

    def has_room(self, now_s: float) -> bool:
        """Count one more; tell whether this second has room for it."""
        if now_s - self._began_s >= 1:
            self._began_s, self._count = now_s, 0
        self._count += 1
        return self._count <= self._most_per_s
