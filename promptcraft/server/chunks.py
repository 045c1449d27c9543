"""A body in chunks, before the parser sees it: how much of it makes how many calls."""

from __future__ import annotations

__all__ = ["some_chunks"]

_LINE_END = b"\r\n"


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
