"""The check that both ways of counting share."""

from __future__ import annotations

from tests.doors.growth.__main__ import Way, measure, table

__all__ = ["check"]

_HUNG_S = 1_800.0


def check(way: Way) -> None:
    """Measure everything; fail for what grows faster than its input."""
    results = measure(way, timeout_s=_HUNG_S)
    fast = [one for one in results if one.grows_too_fast]
    assert results
    assert not fast, f"This work grows faster than its input:\n{table(fast)}"
