"""What reads texts and events takes no more than they are large, counted in blocks that the processor executes."""

from __future__ import annotations

import platform

import pytest

from tests.doors.growth.checking import check
from tests.doors.growth.counting import MACHINE
from tests.operations.programs import need_program


def test_readers_take_no_more_than_they_are_given():
    need_program("valgrind", "valgrind")
    if platform.machine() != MACHINE:
        pytest.skip(f"blocks are counted on {MACHINE} alone")
    check("blocks")
