"""How many frames of a WebSocket are taken: a ping of six bytes costs a server as much as a message."""

from __future__ import annotations

__all__ = ["MOST_FRAMES_PER_S", "MOST_STEP_BYTES", "FrameCount"]

MOST_FRAMES_PER_S = 200
"""Pings, pongs and messages, of which the application allows fewer. A peer that sends more is closed with 1008."""
MOST_STEP_BYTES = 1024
"""Parsed at once, before it is known whether there were too many: some 170 of the smallest frames."""


class FrameCount:
    """Counts the frames of one connection, second by second."""

    __slots__ = ("_began_s", "_frames")

    def __init__(self) -> None:
        self._began_s = 0.0
        self._frames = 0

    def has_room(self, now_s: float) -> bool:
        """Count a frame; tell whether this second has room for it."""
        if now_s - self._began_s >= 1:
            self._began_s, self._frames = now_s, 0
        self._frames += 1
        return self._frames <= MOST_FRAMES_PER_S
