"""Users who ask the application in this process, and work that holds their places."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from django.contrib.auth.models import User

from apps.accounts import identity
from apps.accounts.families import family_open
from apps.accounts.tokens import verify_refresh
from apps.core.work_queue import Share, WorkQueue
from tests.doors.in_process import Answer, ask

__all__ = ["API", "PASSWORD", "Person", "held"]

API = "/api/v2/"
PASSWORD = "a lantern on the pier"


class Person:
    """A user with a token."""

    def __init__(self, name: str) -> None:
        self.user = User.objects.create_user(name, password=PASSWORD)
        self.pair = family_open(user=self.user)

    @property
    def signed_share(self) -> Share:
        """On whose account their log-in works while nobody has looked whether it lives."""
        return identity.share_of_claims(verify_refresh(self.pair.refresh))

    async def ask(self, path: str, body: object = None, *, method: str = "", known: bool = True) -> Answer:
        headers = {b"content-type": b"application/json"}
        if known:
            headers[b"authorization"] = b"Bearer " + self.pair.access.encode()
        path, _, query = path.partition("?")
        return await ask(
            API + path,
            method=method or ("GET" if body is None else "POST"),
            headers=headers,
            pieces=(b"" if body is None else json.dumps(body).encode(),),
            query=query.encode(),
            timeout_s=60,
        )

    async def log_in(self) -> Answer:
        return await self.ask("auth/token/", {"username": self.user.username, "password": PASSWORD}, known=False)


@asynccontextmanager
async def held(*places: tuple[WorkQueue, Any]) -> AsyncIterator[None]:
    """Have work of these shares run until the end of the block: one piece is all that a share may have."""
    over = threading.Event()
    running = [asyncio.create_task(queue.run(share, lambda: over.wait(60))) for queue, share in places]
    await asyncio.sleep(0)
    try:
        yield
    finally:
        over.set()
        assert await asyncio.gather(*running) == [True] * len(running)
