"""What a scripted answer is made of: bytes, pauses, and ways to end.

A step is anything with `async def play(self, wire)`; a scenario is a sequence of them. Bytes are sent as
given: nothing adds a status line, a header or a chunk size.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from tests.upstream.gate import Gate
from tests.upstream.journal import Tokens

__all__ = ["Fin", "Flood", "Forever", "Hold", "Pause", "Rst", "Send", "Silence", "Step", "Trickle", "Wire"]


class Wire(Protocol):
    """The connection as a step sees it."""

    async def send(self, data: bytes, *, tokens: int = 0, usage: Tokens | None = None) -> None:
        """Send bytes and wait until the kernel has them. `tokens` are what the vendor would bill for them."""

    async def delivered(self) -> None:
        """Wait until the peer's kernel has acknowledged every byte sent."""

    async def until_peer_leaves(self) -> None:
        """Wait for the peer to hang up; never returns, the script ends with it."""

    def fin(self) -> None:
        """Close in order."""

    def rst(self) -> None:
        """Close with a reset."""


class Step(Protocol):
    """One step of a script."""

    async def play(self, wire: Wire) -> None:
        """Do it; cancelled when the peer hangs up."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send exactly these bytes in one write."""

    data: bytes
    tokens: int = 0
    usage: Tokens | None = None
    """The usage that these bytes tell the peer."""

    async def play(self, wire: Wire) -> None:
        await wire.send(self.data, tokens=self.tokens, usage=self.usage)


@dataclass(frozen=True, slots=True)
class Trickle:
    """Send the bytes in pieces of `piece_bytes`, each in a write and, as a rule, a segment of its own."""

    data: bytes
    piece_bytes: int = 1
    delay_s: float = 0.0
    tokens: int = 0
    usage: Tokens | None = None

    async def play(self, wire: Wire) -> None:
        for start in range(0, len(self.data), self.piece_bytes):
            await wire.send(self.data[start : start + self.piece_bytes])
            await asyncio.sleep(self.delay_s)
        await wire.send(b"", tokens=self.tokens, usage=self.usage)


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait for a real while."""

    seconds: float

    async def play(self, wire: Wire) -> None:
        await asyncio.sleep(self.seconds)


@dataclass(frozen=True, slots=True)
class Hold:
    """Wait at a gate until the test releases it."""

    gate: Gate

    async def play(self, wire: Wire) -> None:
        await self.gate.passage()


@dataclass(frozen=True, slots=True)
class Silence:
    """Send nothing more and keep the connection until the peer gives up."""

    async def play(self, wire: Wire) -> None:
        await wire.until_peer_leaves()


@dataclass(frozen=True, slots=True)
class Forever:
    """Send the same bytes again and again until the peer gives up."""

    data: bytes
    interval_s: float = 0.05
    tokens: int = 0

    async def play(self, wire: Wire) -> None:
        while True:
            await wire.send(self.data, tokens=self.tokens)
            await asyncio.sleep(self.interval_s)


@dataclass(frozen=True, slots=True)
class Flood:
    """Send `size_bytes` of repeated bytes; holds 64 KiB of them in memory, whatever the size."""

    size_bytes: int
    fill: bytes = b"x"

    async def play(self, wire: Wire) -> None:
        piece = self.fill * (65_536 // len(self.fill))
        for start in range(0, self.size_bytes, len(piece)):
            await wire.send(piece[: self.size_bytes - start])


@dataclass(frozen=True, slots=True)
class Fin:
    """Close the connection in order, after everything sent."""

    async def play(self, wire: Wire) -> None:
        wire.fin()


@dataclass(frozen=True, slots=True)
class Rst:
    """Reset the connection once the peer's kernel has what was sent, so that the bytes before it are not lost."""

    async def play(self, wire: Wire) -> None:
        await wire.delivered()
        wire.rst()
