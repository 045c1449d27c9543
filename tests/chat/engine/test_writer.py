"""The writer: groups, one bad row, a database that comes back, and one that does not."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from django.db import IntegrityError, OperationalError

from apps.chat.engine import writer as writer_module
from apps.chat.engine.writer import CompletionWriter

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass
class Record:
    id: int
    bad: bool = False


@dataclass
class Table:
    """Where records go. `away` has it fail until it is cleared; `entered` is set by each try."""

    rows: list[int] = field(default_factory=list)
    tries: list[int] = field(default_factory=list)
    away: threading.Event = field(default_factory=threading.Event)
    entered: threading.Event = field(default_factory=threading.Event)
    held: threading.Event | None = None

    def write(self, records: Sequence[Record]) -> None:
        self.tries.append(len(records))
        self.entered.set()
        if self.held is not None:
            assert self.held.wait(20)
        if self.away.is_set():
            raise OperationalError("away")
        if any(record.bad for record in records):
            raise IntegrityError("bad")
        self.rows += [record.id for record in records]

    async def wait_tried(self) -> None:
        """Wait for a try from now on."""
        self.entered.clear()
        assert await asyncio.to_thread(self.entered.wait, 20)


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Table:
    monkeypatch.setattr(writer_module, "_PAUSE_S", 0.01)
    return Table()


async def begun(table: Table, *records: Record) -> tuple[CompletionWriter, list[asyncio.Future[bool]]]:
    """Return a writer whose thread is busy with the first record while the others wait, and what they were told."""
    table.held = threading.Event()
    writer = CompletionWriter(table.write)
    futures = [writer.submit(records[0])]
    assert await asyncio.to_thread(table.entered.wait, 20)
    futures += [writer.submit(record) for record in records[1:]]
    table.held.set()
    return writer, futures


async def test_a_lone_record_is_committed(table: Table):
    writer = CompletionWriter(table.write)
    assert await writer.submit(Record(1)) is True
    await writer.close()
    assert table.rows == [1]


async def test_what_gathers_while_a_commit_runs_is_one_group(table: Table):
    writer, futures = await begun(table, *map(Record, range(50)))
    assert await asyncio.gather(*futures) == [True] * 50
    await writer.close()
    assert table.tries == [1, 49]
    assert table.rows == list(range(50))


async def test_one_bad_record_does_not_take_the_others(table: Table, caplog: pytest.LogCaptureFixture):
    writer, futures = await begun(table, *(Record(number, bad=number == 12) for number in range(40)))
    assert await asyncio.gather(*futures) == [number != 12 for number in range(40)]
    await writer.close()
    assert table.rows == [number for number in range(40) if number != 12]
    assert len(table.tries) < 20
    (line,) = (record for record in caplog.records if record.levelno == logging.ERROR)
    assert vars(line)["fields"] == {"completion_ids": [12]}


async def test_a_database_that_comes_back_has_all_of_them(table: Table, caplog: pytest.LogCaptureFixture):
    table.away.set()
    writer, futures = await begun(table, *map(Record, range(30)))
    for _ in range(3):
        await table.wait_tried()
    assert not any(future.done() for future in futures)
    table.away.clear()
    assert await asyncio.gather(*futures) == [True] * 30
    await writer.close()
    assert table.rows == list(range(30))
    assert len([record for record in caplog.records if record.name == "promptcraft.writer"]) == 1


async def test_whoever_waits_no_longer_has_the_row_written_all_the_same(table: Table):
    table.away.set()
    writer, (future,) = await begun(table, Record(1))
    await table.wait_tried()
    future.set_result(False)
    table.away.clear()
    assert await writer.submit(Record(2)) is True
    await writer.close()
    assert table.rows == [1, 2]


async def test_a_database_that_does_not_come_back_loses_them_in_one_line(
    table: Table, caplog: pytest.LogCaptureFixture
):
    table.away.set()
    writer = CompletionWriter(table.write, retained_s=0.0)
    assert await asyncio.gather(*(writer.submit(Record(number)) for number in range(30))) == [False] * 30
    # The next outage is another one.
    table.away.clear()
    assert await writer.submit(Record(30)) is True
    await writer.close()
    assert table.rows == [30]
    (line,) = (record for record in caplog.records if record.levelno == logging.ERROR)
    assert line.getMessage().startswith("30 ")
    assert vars(line)["fields"] == {"completion_ids": list(range(20))}


async def test_more_than_may_wait_are_refused_at_once(table: Table, caplog: pytest.LogCaptureFixture):
    table.away.set()
    writer = CompletionWriter(table.write, most=2)
    first = writer.submit(Record(0))
    await table.wait_tried()
    others = [writer.submit(Record(number)) for number in range(1, 5)]
    assert [future.done() for future in others] == [False, False, True, True]
    table.away.clear()
    assert await asyncio.gather(first, *others) == [True, True, True, False, False]
    await writer.close()
    assert table.rows == [0, 1, 2]
    (line,) = (record for record in caplog.records if record.levelno == logging.ERROR)
    assert vars(line)["fields"] == {"completion_ids": [3, 4]}


async def test_closing_writes_what_is_queued(table: Table):
    writer = CompletionWriter(table.write)
    futures = [writer.submit(Record(number)) for number in range(450)]
    await writer.close()
    assert table.rows == list(range(450))
    assert all([await future for future in futures])


async def test_closing_tries_once_more_and_waits_for_no_database(table: Table, caplog: pytest.LogCaptureFixture):
    table.away.set()
    writer, futures = await begun(table, *map(Record, range(450)))
    await table.wait_tried()
    async with asyncio.timeout(9):
        await writer.close()
    assert await asyncio.gather(*futures) == [False] * 450
    assert table.rows == []
    (line,) = (record for record in caplog.records if record.levelno == logging.ERROR)
    assert line.getMessage().startswith("450 ")
