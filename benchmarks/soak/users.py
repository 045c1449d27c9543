"""The users of a soak: registered, signed in, and refreshed while it runs, as real ones are."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass

from benchmarks.native import LoadFailed
from benchmarks.soak.client import Client

__all__ = ["User", "keep_signed_in", "sign_up"]

_PASSWORD = "eleven-lamps-along-a-quay"
_AUTH = "/api/v2/auth/"


@dataclass(slots=True)
class User:
    """One user and the tokens they have now."""

    name: str
    access: str
    refresh: str


async def sign_up(client: Client, count: int) -> list[User]:
    """Register and sign in so many users. Raises LoadFailed. An address may register 20 in a minute."""
    return [await _sign_up(client, f"soak-{number}") for number in range(count)]


async def keep_signed_in(client: Client, users: list[User], every_s: float) -> None:
    """Refresh one user's tokens after the other, each once in so many seconds, until cancelled."""
    for user in itertools.cycle(users):
        await asyncio.sleep(every_s / len(users))
        answer = await _post(client, "token/refresh/", {"refresh": user.refresh}, 200)
        user.access, user.refresh = answer["access"], answer["refresh"]


async def _sign_up(client: Client, name: str) -> User:
    credentials = {"username": name, "password": _PASSWORD}
    await _post(client, "register/", {**credentials, "email": f"{name}@example.org"}, 201)
    answer = await _post(client, "token/", credentials, 200)
    return User(name=name, access=answer["access"], refresh=answer["refresh"])


async def _post(client: Client, path: str, body: dict[str, str], expected: int) -> dict[str, str]:
    status, answer = await client.call("POST", _AUTH + path, body=body)
    if status != expected:
        raise LoadFailed(f"{path} answered {status}: {answer}")
    assert isinstance(answer, dict)
    return answer
