"""How long the database may keep anyone waiting: whoever needs it has an answer, or its 503, within 2 s.

What serves is bounded. Management commands are not: a migration may take as long as it takes.
"""

from __future__ import annotations

from django.db import connections

__all__ = [
    "BRIEF_S",
    "CALL_S",
    "CONNECTION_S",
    "LOCK_S",
    "SILENCE_S",
    "STATEMENT_S",
    "bound_waits",
    "waits_are_bounded",
]

CONNECTION_S = 0.7
"""For a connection of PostgreSQL's pool."""
STATEMENT_S = 1.0
"""For one statement; PostgreSQL itself gives up then, and the connection stays good."""
SILENCE_S = 1.2
"""For PostgreSQL to say anything to a statement. A paused server does not see its own timeouts."""
BRIEF_S = 0.3
"""For a connection of the pool, and for a sign of life from it, while the server is known not to answer."""
LOCK_S = 1.5
"""For SQLite's lock, while another connection writes."""
CALL_S = 1.9
"""For a call through `promptcraft.database`, its turn included."""

_bounded = False


def bound_waits() -> None:
    """Bound every wait for the database in this process from now on. Servers call it before they serve."""
    global _bounded
    for connection in connections.all(initialized_only=True):
        # One that was opened without bounds is not to be used with them. Importing modules on an event loop makes some
        # that were never opened, and closing those is refused there.
        if connection.connection is not None:
            connection.close()
    _bounded = True


def waits_are_bounded() -> bool:
    """Tell whether this process serves."""
    return _bounded
