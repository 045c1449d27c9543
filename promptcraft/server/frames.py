"""How many frames of a WebSocket are taken: a ping of six bytes costs a server as much as a message."""

from __future__ import annotations

__all__ = ["MOST_FRAMES_PER_S", "MOST_STEP_BYTES"]

MOST_FRAMES_PER_S = 200
"""Pings, pongs and messages, of which the application allows fewer. A peer that sends more is closed with 1008."""
MOST_STEP_BYTES = 1024
"""Parsed at once, before it is known whether there were too many: some 170 of the smallest frames."""
