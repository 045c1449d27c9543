"""Password hashing is slow on purpose: at most three at a time, in threads that let the event loop go first.

Whatever hashes a password for a request is done in a thread of this queue, the whole of it. A share is a name as it is
tried from one network: neither a busy name nor a busy network keeps others out.
"""

from __future__ import annotations

from django.contrib.auth.models import User

from apps.accounts.attempts import name_key
from apps.core.work_queue import Share, WorkQueue

__all__ = ["HASHING", "MOST_HASHING", "MOST_PASSWORD_CHARACTERS", "hashing_share"]

MOST_HASHING = 3
MOST_PASSWORD_CHARACTERS = 4096

HASHING = WorkQueue(
    "hashing",
    threads=MOST_HASHING,
    most_running=1,
    # One for a busy name, one for its neighbours, and one for whoever comes from elsewhere.
    most_running_of_owner=MOST_HASHING - 1,
    most_waiting_of_share=8,
    most_waiting=64,
    is_native=True,
)


def hashing_share(network: str, username: str) -> Share:
    """Return the share of a name that is tried from a network."""
    return Share(network, name_key(User.normalize_username(username)))
