"""How many sockets there may be: in all, of a user, and of a network that has not said whose they are."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from apps.chat.body import CALLER
from apps.templates.sockets import opening
from apps.templates.sockets.opening import account_of, handshake_refusal
from apps.templates.sockets.registry import MOST_SOCKETS_OF_USER, SocketRegistry
from tests.doors.in_process import bearer

NETWORK, OTHER = "192.0.2.1", "192.0.2.2"


class Socket:
    family_id: uuid.UUID | None = None

    def drain(self) -> None:
        raise AssertionError("nothing is drained here")

    def token_died(self) -> None:
        raise AssertionError("no token died")


@pytest.fixture
async def registry(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SocketRegistry]:
    """An empty one, which handshakes are asked of; three sockets of a network may have no user."""
    one = SocketRegistry()
    monkeypatch.setattr(opening, "sockets", one)
    monkeypatch.setattr(opening, "MOST_UNKNOWN_OF_CALLER", 3)
    yield one
    for socket in tuple(one._sockets):
        one.discard(socket)


def status_for(caller: object) -> int | None:
    scope: dict[str, Any] = {"headers": [(b"host", b"127.0.0.1")], CALLER: caller}
    refusal = handshake_refusal(scope)
    return None if refusal is None else refusal.http_status


def added(registry: SocketRegistry, count: int, caller: object = NETWORK) -> list[Socket]:
    made = [Socket() for _ in range(count)]
    for socket in made:
        registry.add(socket, caller)
    return made


async def test_a_network_that_says_nothing_has_a_part_of_the_places(registry: SocketRegistry) -> None:
    added(registry, 2)
    assert status_for(NETWORK) is None
    added(registry, 1)
    assert (status_for(NETWORK), status_for(OTHER)) == (429, None)


@pytest.mark.parametrize("leaves", [True, False])
async def test_one_that_leaves_or_says_who_it_is_makes_room(registry: SocketRegistry, leaves: bool) -> None:
    for socket in added(registry, 3):
        if leaves:
            registry.discard(socket)
            registry.discard(socket)
        else:
            assert registry.name_user(socket, 1)
    assert (registry.unknown_of(NETWORK), status_for(NETWORK), len(registry)) == (0, None, 0 if leaves else 3)


async def test_one_too_many_of_a_user_stays_its_networks(registry: SocketRegistry) -> None:
    *good, last = added(registry, MOST_SOCKETS_OF_USER + 1)
    assert all(registry.name_user(socket, 1) for socket in good)
    assert not registry.name_user(last, 1)
    assert registry.unknown_of(NETWORK) == 1


@pytest.mark.django_db(transaction=True)
async def test_a_signature_is_enough_not_to_be_the_networks(registry: SocketRegistry) -> None:
    added(registry, 3)
    token = (await sync_to_async(bearer)()).removeprefix("Bearer ")
    accounts = {
        offered: account_of({CALLER: NETWORK, "subprotocols": ["promptcraft.v1", f"bearer.{offered}"]})
        for offered in (token, f"{token}x", "\u00e9", "")
    }
    signed = accounts.pop(token)
    assert set(accounts.values()) == {NETWORK} == {account_of({CALLER: NETWORK, "subprotocols": []})}
    assert status_for(signed) is None
    added(registry, 3, signed)
    assert (status_for(signed), status_for(OTHER)) == (429, None)


async def test_more_than_all_are_refused(registry: SocketRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "MOST_SOCKETS", 2)
    added(registry, 2, OTHER)
    assert status_for(NETWORK) == 503
