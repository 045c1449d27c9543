"""Names with several addresses: the one that answers is taken, and nobody waits long for the others."""

from __future__ import annotations

import asyncio

import pytest

from apps.llm.providers.push_dial import addresses_of, first_to_connect
from tests.each import each
from tests.llm.providers.transport.peer import turns


class Attempts:
    """Addresses that behave as they are called; notes what was tried and what was hung up on."""

    def __init__(self, head_start_s: float = 60) -> None:
        self.tried: list[str] = []
        self.cancelled: list[str] = []
        self.hung_up: list[str] = []
        self.gate = asyncio.Event()
        self._head_start_s = head_start_s

    async def connect(self, address: str) -> str:
        self.tried.append(address)
        try:
            match address.partition(" ")[0]:
                case "refuses":
                    raise ConnectionRefusedError(address)
                case "silent":
                    await asyncio.get_running_loop().create_future()
                case "gated":
                    await self.gate.wait()
                case "slow":
                    await turns(3)
        except asyncio.CancelledError:
            self.cancelled.append(address)
            raise
        return address

    async def first(self, *addresses: str) -> str:
        return await first_to_connect(addresses, self.connect, self.hung_up.append, head_start_s=self._head_start_s)


async def test_only_address() -> None:
    attempts = Attempts()
    assert await attempts.first("good") == "good"
    with pytest.raises(ConnectionRefusedError):
        await attempts.first("refuses")


async def test_address_that_answers_in_time_is_the_only_one_tried() -> None:
    attempts = Attempts()
    assert await attempts.first("slow", "good") == "slow"
    assert attempts.tried == ["slow"]


async def test_address_that_refuses_is_passed_over_at_once() -> None:
    attempts = Attempts()
    assert await attempts.first("refuses", "refuses 2", "good") == "good"
    assert attempts.tried == ["refuses", "refuses 2", "good"]


async def test_address_that_does_not_answer_has_a_head_start() -> None:
    attempts = Attempts(head_start_s=0.01)
    assert await attempts.first("silent", "silent 2", "good", "good 2") == "good"
    await turns()
    assert attempts.tried == ["silent", "silent 2", "good"]
    assert sorted(attempts.cancelled) == ["silent", "silent 2"]


async def test_refusal_beside_one_that_does_not_answer() -> None:
    attempts = Attempts(head_start_s=0.01)
    assert await attempts.first("silent", "refuses", "good") == "good"
    await turns()
    assert attempts.cancelled == ["silent"]


async def test_first_failure_is_told() -> None:
    with pytest.raises(ConnectionRefusedError, match="refuses 1"):
        await Attempts().first("refuses 1", "refuses 2")


async def test_name_without_addresses() -> None:
    with pytest.raises(OSError, match="without addresses"):
        await Attempts().first()


async def test_what_connects_too_late_is_hung_up_on() -> None:
    attempts = Attempts(head_start_s=0)
    task = asyncio.ensure_future(attempts.first("gated 1", "gated 2", "gated 3"))
    await turns(20)
    assert len(attempts.tried) == 3
    attempts.gate.set()
    first = await task
    await turns()
    assert {first, *attempts.hung_up} == {"gated 1", "gated 2", "gated 3"}
    assert not attempts.cancelled


@each("count", range(6))
async def test_cancelling_ends_every_attempt(count: int) -> None:
    attempts = Attempts(head_start_s=0)
    task = asyncio.ensure_future(attempts.first("silent 1", "silent 2", "slow"))
    await turns(count)
    task.cancel()
    got = await asyncio.gather(task, return_exceptions=True)
    await turns()
    assert {*attempts.cancelled, *attempts.hung_up, *(one for one in got if isinstance(one, str))} == {*attempts.tried}


@each("literal", ["127.0.0.1", "::1", "2001:db8::7"])
async def test_literals_are_their_own_address(literal: str) -> None:
    assert list(await addresses_of(literal, 443)) == [literal]


async def test_names_are_looked_up() -> None:
    assert set(await addresses_of("localhost", 80)) <= {"127.0.0.1", "::1"}
    with pytest.raises((OSError, UnicodeError)):
        await addresses_of("a" * 64, 80)
