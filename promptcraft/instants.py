"""Instants as text, for lines and rows that are written by the thousand in the same second."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

__all__ = ["utc_microseconds", "utc_milliseconds"]


def utc_milliseconds(at_s: float) -> str:
    """Return unix seconds as RFC 3339 in UTC, cut to the millisecond."""
    second, milliseconds = divmod(int(at_s * 1e3), 1_000)
    return f"{_second(second, 'T')}.{milliseconds:03d}+00:00"


def utc_microseconds(at_s: float) -> str:
    """Return unix seconds as SQLite's columns have them: UTC without saying so, to the microsecond.

    To the byte what Django writes, which compares them as text.
    """
    second = int(at_s)
    # As Python's datetime rounds.
    microseconds = round((at_s - second) * 1e6)
    if microseconds == 1_000_000:
        second, microseconds = second + 1, 0
    text = _second(second, " ")
    return f"{text}.{microseconds:06d}" if microseconds else text


@lru_cache(maxsize=8)
def _second(second: int, separator: str) -> str:
    return datetime.fromtimestamp(second, UTC).replace(tzinfo=None).isoformat(separator)
