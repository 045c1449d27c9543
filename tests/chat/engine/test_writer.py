"""The writer: groups, one bad row, a database that comes back, and one that does not."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass

import pytest
from django.db import OperationalError

from apps.chat.engine.writer import CompletionWriter

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass
class Record:
    id: int
    bad: bool = False


async def test_a_lone_record_is_committed():
    groups: list[list[int]] = []
    writer = CompletionWriter(lambda records: groups.append([record.id for record in records]))
    assert await writer.submit(Record(1)) is True
    await writer.close()
    assert groups == [[1]]


async def test_what_gathers_while_a_commit_runs_is_one_group():
    groups: list[list[int]] = []
    release, entered = threading.Event(), threading.Event()

    def write(records) -> None:
        groups.append([record.id for record in records])
        if len(groups) == 1:
            entered.set()
            assert release.wait(5)

    writer = CompletionWriter(write)
    first = writer.submit(Record(0))
    assert await asyncio.to_thread(entered.wait, 5)
    others = [writer.submit(Record(number)) for number in range(1, 50)]
    release.set()
    assert await first is True
    assert [await other for other in others] == [True] * 49
    await writer.close()
    assert groups == [[0], list(range(1, 50))]


async def test_one_bad_record_does_not_take_the_others():
    written: list[int] = []
    release, entered = threading.Event(), threading.Event()

    def write(records) -> None:
        if not entered.is_set():
            entered.set()
            assert release.wait(5)
        if any(record.bad for record in records):
            raise ValueError("bad")
        written.extend(record.id for record in records)

    writer = CompletionWriter(write)
    futures = [writer.submit(Record(0))]
    assert await asyncio.to_thread(entered.wait, 5)
    futures += [writer.submit(Record(number, bad=number == 2)) for number in range(1, 5)]
    release.set()
    assert [await future for future in futures] == [True, True, False, True, True]
    await writer.close()
    assert sorted(written) == [0, 1, 3, 4]


async def test_a_database_that_comes_back_is_asked_again():
    tries: list[int] = []

    def write(records) -> None:
        tries.append(len(records))
        if len(tries) < 2:
            raise OperationalError("locked")

    writer = CompletionWriter(write)
    assert await writer.submit(Record(1)) is True
    await writer.close()
    assert tries == [1, 1]


async def test_closing_writes_what_is_queued():
    written: list[int] = []
    writer = CompletionWriter(lambda records: written.extend(record.id for record in records))
    futures = [writer.submit(Record(number)) for number in range(450)]
    await writer.close()
    assert written == list(range(450))
    assert all([await future for future in futures])
