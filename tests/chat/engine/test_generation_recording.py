"""The end of a completion whose row is written late, or never."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from apps.chat.engine.generation import Generation, Status, Stop
from apps.llm.providers.mock import MockProvider
from apps.llm.wire.sse import DONE
from tests.chat.engine.configured import generation_by

PATIENCE_S = 1.0


class Late:
    """A writer that commits when it is told to."""

    def __init__(self) -> None:
        self.records: list[Any] = []
        self.futures: list[asyncio.Future[bool]] = []
        self.submitted = asyncio.Event()

    def submit(self, record: Any) -> asyncio.Future[bool]:
        self.records.append(record)
        self.futures.append(asyncio.get_running_loop().create_future())
        self.submitted.set()
        return self.futures[-1]


@pytest.fixture
def writer() -> Late:
    return Late()


async def ended(writer: Late, scenario: str | None = None, stop: Stop | None = None) -> Generation:
    """Return a completion that is over but for its row."""
    provider = MockProvider(first_token_s=0, token_gap_s=0, long_gap_s=0)
    generation = await generation_by(provider, scenario, writer)
    generation.attach()
    generation.start()
    if stop is not None:
        await generation.ready.wait()
        generation.stop(stop)
    await writer.submitted.wait()
    return generation


async def over(generation: Generation) -> None:
    async with asyncio.timeout(20):
        await generation.done.wait()


def last_event(generation: Generation) -> Any:
    events, _ = generation.log.replay(0, 1_000_000)
    return json.loads(events.rstrip().rpartition(b"data: ")[2])


async def test_a_row_in_time_is_done(writer: Late):
    generation = await ended(writer)
    now = asyncio.get_running_loop().time()
    generation.beat(now)
    assert not generation.done.is_set()
    writer.futures[0].set_result(True)
    await over(generation)
    assert generation.log.terminal == DONE
    assert generation.unrecorded is None


@pytest.mark.parametrize(
    ("stop", "status"), [(None, Status.COMPLETED), (Stop.CANCELLED, Status.CANCELLED)], ids=["whole", "cancelled"]
)
async def test_a_row_that_is_late_is_said_to_its_readers_and_still_awaited_by_the_writer(
    writer: Late, stop: Stop | None, status: Status
):
    generation = await ended(writer, "stall" if stop else None, stop)
    generation.beat(asyncio.get_running_loop().time() + PATIENCE_S)
    await over(generation)
    assert generation.log.terminal == b""
    assert generation.status is status
    error = generation.unrecorded
    assert error is not None
    assert (error.http_status, error.code.value, error.retryable) == (503, "overloaded", False)
    assert generation.order.id in error.message
    assert last_event(generation)["error"]["message"] == error.message
    # What is told and what will be stored agree.
    assert writer.records[0].status == status.value
    assert writer.records[0].error_code == ""
    assert writer.futures[0].result() is False


async def test_a_row_that_is_lost_is_said_at_once(writer: Late):
    generation = await ended(writer)
    writer.futures[0].set_result(False)
    await over(generation)
    assert generation.unrecorded is not None


async def test_a_failure_waits_for_no_row(writer: Late):
    generation = await ended(writer, "error_first")
    await over(generation)
    assert generation.status is Status.FAILED
    assert generation.unrecorded is None
    assert writer.records[0].status == "failed"
