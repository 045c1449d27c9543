"""A body in chunks: how many calls of the parser's it makes, and when the next few small chunks are parsed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

__all__ = ["CHUNK_TURNS", "ChunkTurns", "some_chunks"]

_LINE_END = b"\r\n"
_REST_S = 0.001
"""Between two steps of one network's: a loop that never rests keeps the interpreter from the threads."""


def some_chunks(data: bytes | bytearray, start: int, end: int, *, most: int) -> tuple[int, int]:
    """Return an end, up to `end`, before which no more than `most` chunks end, and how many may.

    A chunk has two line ends; those of its text are counted with them. Costs as much as to look for line ends in what
    is returned, and in twice as much once.
    """
    size = end - start
    while (lines := data.count(_LINE_END, start, start + size)) > 2 * most:
        # Where they are close together everywhere, a single division finds it.
        size = max(min(size // 2, size * 2 * most // lines), 1)
    return start + size, (lines + 1) // 2


class ChunkTurns:
    """Turns for small chunks: the connections of a network have one after the other, and rest a millisecond between.

    A connection waits in one place at the most, which it sees to; one that has closed does nothing with its turn.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lines: dict[str, deque[Callable[[], None]]] = {}

    def wait(self, network: str, go_on: Callable[[], None]) -> None:
        """Have `go_on` called when it is its turn."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            # The last one was closed, and whatever waited there with it.
            self._loop, self._lines = loop, {}
        line = self._lines.get(network)
        if line is None:
            line = self._lines[network] = deque()
            loop.call_later(_REST_S, self._turn, network)
        line.append(go_on)

    def _turn(self, network: str) -> None:
        line = self._lines[network]
        go_on = line.popleft()
        # First, as it may wait again at once.
        asyncio.get_running_loop().call_later(_REST_S, self._rested, network)
        go_on()

    def _rested(self, network: str) -> None:
        if self._lines[network]:
            self._turn(network)
        else:
            del self._lines[network]


CHUNK_TURNS = ChunkTurns()
"""Of this process's event loop."""
