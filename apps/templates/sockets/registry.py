"""The open sockets of this process, and what ends many at once: a drain, a log-out, a user who was disabled."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Hashable
from typing import Protocol

from django.db import DatabaseError
from django.dispatch import receiver

from apps.accounts.families import families_alive, family_ended
from apps.chat.runtime import get_supervisor
from apps.llm.errors import PromptCraftError
from promptcraft.database import run_in_database

__all__ = [
    "MOST_SOCKETS",
    "MOST_SOCKETS_OF_USER",
    "MOST_UNKNOWN_OF_CALLER",
    "Registered",
    "SocketRegistry",
    "sockets",
]

MOST_SOCKETS = 10_000
"""Handshakes past it are refused with 503."""
MOST_SOCKETS_OF_USER = 20
"""A further one is closed with 4429 a second after its token is known."""
MOST_UNKNOWN_OF_CALLER = 1_000
"""Sockets from one network that have not said yet whose they are; further handshakes get 429."""
_BEAT_S = 0.5
_BEATS_BETWEEN_LOOKS = 7
"""A disabled user's sockets are closed within 5 s: this pause, the look, and some room."""
_LOOKED_AT_ONCE = 500


class Registered(Protocol):
    """A socket, as far as it is ended from outside."""

    family_id: uuid.UUID | None
    """Of the log-in that its token belongs to; None until there is one."""

    def drain(self) -> None:
        """Close as soon as nothing is being answered."""

    def token_died(self) -> None:
        """Close at once."""


class SocketRegistry:
    """Every open socket. One timer serves all of them, and runs while there is any."""

    def __init__(self) -> None:
        self._sockets: set[Registered] = set()
        self._users: dict[Registered, int] = {}
        self._counts: Counter[int] = Counter()
        self._unknown: dict[Registered, Hashable] = {}
        self._unknown_counts: Counter[Hashable] = Counter()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._beats = 0
        self._look: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._sockets)

    def unknown_of(self, caller: Hashable) -> int:
        """Return how many sockets on somebody's account have no user yet."""
        return self._unknown_counts[caller]

    def add(self, socket: Registered, caller: Hashable) -> None:
        """Take care of a socket, whose user is not known yet; call it inside the event loop."""
        self._sockets.add(socket)
        self._unknown[socket] = caller
        self._unknown_counts[caller] += 1
        if self._timer is None:
            self._loop = asyncio.get_running_loop()
            self._timer = self._loop.call_later(_BEAT_S, self._beat)

    def discard(self, socket: Registered) -> None:
        """Forget one; no error if it is not known."""
        self._sockets.discard(socket)
        self._known(socket)
        user_id = self._users.pop(socket, None)
        if user_id is not None:
            self._counts[user_id] -= 1
            if not self._counts[user_id]:
                del self._counts[user_id]

    def name_user(self, socket: Registered, user_id: int) -> bool:
        """Count a socket that was added for its user; return False, nothing counted, if the user has too many."""
        if self._counts[user_id] >= MOST_SOCKETS_OF_USER:
            return False
        self._known(socket)
        self._users[socket] = user_id
        self._counts[user_id] += 1
        return True

    def _known(self, socket: Registered) -> None:
        if socket in self._unknown:
            caller = self._unknown.pop(socket)
            self._unknown_counts[caller] -= 1
            if not self._unknown_counts[caller]:
                del self._unknown_counts[caller]

    def tell_ended(self, family_id: uuid.UUID) -> None:
        """Close the sockets of a log-in that has ended; safe to call from any thread."""
        if self._sockets and self._loop is not None:
            self._loop.call_soon_threadsafe(self._end, {family_id})

    def _end(self, family_ids: set[uuid.UUID]) -> None:
        for socket in tuple(self._sockets):
            if socket.family_id in family_ids:
                socket.token_died()

    def _beat(self) -> None:
        if not self._sockets or self._loop is None:
            self._timer = None
            return
        self._timer = self._loop.call_later(_BEAT_S, self._beat)
        if get_supervisor().draining:
            for socket in tuple(self._sockets):
                socket.drain()
            return
        self._beats += 1
        if self._beats % _BEATS_BETWEEN_LOOKS == 0 and (self._look is None or self._look.done()):
            self._look = self._loop.create_task(self._look_for_dead())

    async def _look_for_dead(self) -> None:
        """Close the sockets whose log-in the database no longer has, or whose user is disabled."""
        known = list({one.family_id for one in self._sockets if one.family_id is not None})
        for start in range(0, len(known), _LOOKED_AT_ONCE):
            some = known[start : start + _LOOKED_AT_ONCE]
            try:
                alive = await run_in_database(families_alive, ids=some)
            except (DatabaseError, PromptCraftError):
                # Asked again soon; whatever a client asks meanwhile asks for itself.
                return
            dead = set(some) - alive
            if dead:
                self._end(dead)


sockets = SocketRegistry()


@receiver(family_ended)
def _tell_ended(*, family_id: uuid.UUID, **_: object) -> None:
    sockets.tell_ended(family_id)
