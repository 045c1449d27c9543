"""Nothing that is done for a request grows with the streams that are open."""

from __future__ import annotations

from benchmarks.native import Native, Plan
from tests.load.conftest import Watched, needs_native

pytestmark = needs_native

FEW, MANY = 20, 320
REQUESTS = 6
LINES_OF_A_STREAM = 0.5
"""A step for each open stream is a line of Python at the least, for each of them."""


def lines_of_a_request(native: Native, watched: Watched, streams: int) -> int:
    """Return the lines of Python that a request runs while so many silent streams are open.

    It is the least of several: once a second the service looks at its streams, whatever is asked of it.
    """
    asked = Plan(tokens=1, interval_us=2000)
    counted: list[int] = []
    with native.held(watched, Plan(tokens=1, hold=True), streams=streams, hold=1, limit_s=60) as held:
        for _ in range(REQUESTS):
            watched.look("lines=begin")
            assert native.run(watched, asked, streams=1, requests=1, limit_s=30).faults == {}
            counted.append(watched.look("lines=end")["lines"])
        assert watched.look()["counts"]["running"] == streams
    assert held.load.faults == {}
    return min(counted)


def test_a_request_is_the_same_for_few_and_for_many(native: Native, watched: Watched):
    few = lines_of_a_request(native, watched, FEW)
    many = lines_of_a_request(native, watched, MANY)
    assert few > 500, "nothing was counted"
    assert many - few < LINES_OF_A_STREAM * (MANY - FEW), f"{few} lines among {FEW}, {many} among {MANY}"
