"""Two thousand strange bodies; `python -m tests.doors.body_fuzz` takes as many as one has time for."""

from __future__ import annotations

import logging
import random

import pytest
from asgiref.sync import sync_to_async

from tests.doors.body_fuzz import COMPLETIONS, Found, fuzz
from tests.doors.in_process import ask, bearer
from tests.doors.strange_bodies import strange_body

COUNT = 2_000
SEED = 20_261_122


@pytest.mark.usefixtures("runtime")
async def test_strange_bodies_are_refused_and_nothing_breaks(caplog: pytest.LogCaptureFixture) -> None:
    authorization = await sync_to_async(bearer)()
    with caplog.at_level(logging.WARNING):
        statuses = await fuzz(COUNT, seed=SEED, authorization=authorization)
    assert statuses.total() == COUNT
    # Some of them are good, most are not: else it would show little.
    assert statuses[200] > COUNT / 20
    assert statuses[400] > COUNT / 2
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_the_same_seed_gives_the_same_bodies() -> None:
    bodies = [[strange_body(random.Random(f"{SEED}:{number}")) for number in range(2_000)] for _ in range(2)]
    # Whatever was made before: a value that is shared between bodies would grow, and with it the bodies.
    assert bodies[0] == bodies[1]
    assert len(set(bodies[0])) > 1_200


@pytest.mark.usefixtures("runtime")
async def test_a_5xx_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The judge judges: an answer that no body deserves is one."""
    authorization = await sync_to_async(bearer)()
    scenario = {b"authorization": authorization.encode(), b"x-mock-scenario": b"error_first"}
    assert (
        await ask(COMPLETIONS, headers=scenario, pieces=[b'{"messages":[{"role":"user","content":"x"}]}'])
    ).status == 502
    monkeypatch.setattr(
        "tests.doors.strange_bodies.strange_headers", lambda chance: {b"x-mock-scenario": b"error_first"}
    )
    with pytest.raises(ExceptionGroup) as raised:
        await fuzz(100, seed=SEED, authorization=authorization)
    assert raised.group_contains(Found)
